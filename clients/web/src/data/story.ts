/** The one history of a task: what was done and what was said, in the order of time. */
import { type Message, MessageKind } from "@client/generated/dovetail/messaging/v1/messaging_pb.js";
import { TaskVerb } from "@client/generated/dovetail/types/v1/types_pb.js";
import { millis } from "../lib/time.js";
import type { EventRow } from "./rows.js";

export type Entry =
  | {
      readonly kind: "event";
      readonly time: number;
      readonly event: EventRow;
      readonly message: Message | undefined;
    }
  | { readonly kind: "progress"; readonly time: number; readonly events: readonly EventRow[] }
  | { readonly kind: "message"; readonly time: number; readonly message: Message };

/** Reports of progress that follow each other are one entry; a notice stands with its event. */
export function story(events: readonly EventRow[], messages: readonly Message[]): Entry[] {
  const notices = new Map(messages.map((each) => [each.messageId, each]));
  const said = messages
    .filter((each) => each.kind !== MessageKind.NOTICE || each.mailNotice)
    .map((message): Entry => ({
      kind: "message",
      time: millis(message.createTime) ?? 0,
      message,
    }));
  const done = events.map((event): Entry => {
    if (event.verb === TaskVerb.HEARTBEAT)
      return { kind: "progress", time: event.time, events: [event] };
    return { kind: "event", time: event.time, event, message: notices.get(event.messageId) };
  });
  const entries: Entry[] = [];
  for (const entry of [...done, ...said].sort((one, other) => one.time - other.time)) {
    const last = entries.at(-1);
    if (entry.kind === "progress" && last?.kind === "progress") {
      entries[entries.length - 1] = { ...entry, events: [...last.events, ...entry.events] };
    } else {
      entries.push(entry);
    }
  }
  return entries;
}
