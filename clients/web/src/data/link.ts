/** What the page sees of its stream: whether it is there, and its marks. */
import type { Interceptor } from "@connectrpc/connect";
import { signal } from "@preact/signals";
import {
  StreamMark,
  type WatchTasksResponse,
} from "@client/generated/dovetail/tasks/v1/tasks_pb.js";

/** The state of the one stream of events. */
export type Link = "connecting" | "live" | "reconnecting";

export const link = signal<Link>("connecting");

/** Called when the server says that it is alive though nothing happened. */
export const heartbeat: { listener: () => void } = { listener: () => undefined };

/** Observes WatchTasks: the client resumes it by itself, and here is seen that it has to. */
export const observed: Interceptor = (next) => async (request) => {
  if (request.method.name !== "WatchTasks") return next(request);
  try {
    const response = await next(request);
    if (!response.stream) return response;
    return {
      ...response,
      message: marked(response.message as AsyncIterable<WatchTasksResponse>),
    } as typeof response;
  } catch (reason) {
    lost();
    throw reason;
  }
};

async function* marked(
  messages: AsyncIterable<WatchTasksResponse>,
): AsyncGenerator<WatchTasksResponse> {
  try {
    for await (const message of messages) {
      link.value = message.mark === StreamMark.CLOSING ? "reconnecting" : "live";
      if (message.mark === StreamMark.HEARTBEAT) heartbeat.listener();
      yield message;
    }
  } finally {
    lost();
  }
}

function lost(): void {
  link.value = "reconnecting";
}
