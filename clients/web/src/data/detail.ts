/** One task with all that belongs to it: its history, talk, attempts, parts and links. */
import { DovetailError } from "@client/errors.js";
import type { Message } from "@client/generated/dovetail/messaging/v1/messaging_pb.js";
import type { Task, TaskAttempt } from "@client/generated/dovetail/tasks/v1/tasks_pb.js";
import { Order } from "@client/generated/dovetail/types/v1/types_pb.js";
import { useEffect, useState } from "preact/hooks";
import { SECOND } from "../lib/time.js";
import { anew, onEvents } from "./live.js";
import { type EventRow, eventRow, type TaskRow, taskRow } from "./rows.js";
import { type Session, session } from "./session.js";
import { team } from "./team.js";

const EVENTS = 200;
const EVENTS_MAX = 2_000;
const MESSAGES = 100;
const OTHERS = 50;

export interface Detail {
  readonly task: Task | undefined;
  readonly events: readonly EventRow[];
  /** Where older events go on; empty: there are none. */
  readonly olderToken: string;
  readonly messages: readonly Message[];
  readonly attempts: readonly TaskAttempt[];
  readonly parts: readonly TaskRow[];
  readonly linked: readonly TaskRow[];
  readonly error: Error | undefined;
}

const NONE: Detail = {
  ...{
    task: undefined,
    events: [],
    olderToken: "",
    messages: [],
    attempts: [],
    parts: [],
    linked: [],
  },
  error: undefined,
};

export interface Following extends Detail {
  readonly isLoaded: boolean;
  again(): void;
  older(): void;
}

/** The task, read again when an event says that it has changed, at most once a second. */
export function useDetail(taskId: string): Following {
  const [detail, setDetail] = useState<Detail | undefined>();
  const [asked, setAsked] = useState(0);
  useEffect(() => {
    const here = session.value;
    if (!here) return undefined;
    let isOver = false;
    let isRunning = false;
    let isWanted = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const load = async () => {
      isRunning = true;
      isWanted = false;
      const found = await read(here, taskId);
      if (!isOver) setDetail((last) => merged(last, found));
      timer = setTimeout(() => {
        isRunning = false;
        if (isWanted && !isOver) void load();
      }, SECOND);
    };
    const end = onEvents((events) => {
      if (!events.some((each) => each.taskId === taskId)) return;
      isWanted = true;
      if (!isRunning) void load();
    });
    void load();
    return () => {
      isOver = true;
      clearTimeout(timer);
      end();
    };
  }, [taskId, asked, anew.value]);
  const older = () => {
    const here = session.value;
    if (here && detail?.olderToken)
      void readOlder(here, taskId, detail.olderToken).then((found) =>
        setDetail((last) => withOlder(last, found)),
      );
  };
  return {
    ...(detail ?? NONE),
    isLoaded: detail !== undefined,
    again: () => setAsked((count) => count + 1),
    older,
  };
}

async function read(here: Session, taskId: string): Promise<Detail> {
  const { client } = here;
  const newest = { order: Order.NEWEST_FIRST };
  try {
    const [task, events, attempts, parts, linked] = await Promise.all([
      client.tasks.getTask({ taskId }).catch(nothing),
      client.tasks.listTaskEvents({ ...newest, filter: { taskId }, pageSize: EVENTS }),
      client.tasks.listTaskAttempts({ ...newest, taskId, pageSize: OTHERS }),
      client.tasks.listTasks({ filter: { parentTaskId: taskId }, pageSize: OTHERS }),
      client.tasks.listTasks({ filter: { linkedTaskId: taskId }, pageSize: OTHERS }),
    ]);
    if (task?.task) team.value.put(taskRow(task.task));
    return {
      task: task?.task,
      events: events.events.map(eventRow).reverse(),
      olderToken: events.nextPageToken,
      messages: await talk(here, taskId, task?.task?.threadId || taskId),
      attempts: attempts.attempts,
      parts: parts.tasks.map(taskRow),
      linked: linked.tasks.map(taskRow),
      error: undefined,
    };
  } catch (reason) {
    if (!(reason instanceof Error)) throw reason;
    return { ...NONE, error: reason };
  }
}

/** A task that was deleted has a history still. */
function nothing(reason: unknown): undefined {
  if (reason instanceof DovetailError && reason.reason === "TASK_NOT_FOUND") return undefined;
  throw reason;
}

/** What was said in the task's thread, and about the task elsewhere. */
async function talk(
  { client, role }: Session,
  taskId: string,
  threadId: string,
): Promise<Message[]> {
  if (role === "observer") return [];
  const list = (filter: { taskId?: string; threadId?: string }) =>
    client.messaging.listMessages({ filter, order: Order.NEWEST_FIRST, pageSize: MESSAGES });
  const pages = await Promise.all([list({ threadId }), list({ taskId })]);
  const found = new Map<string, Message>();
  for (const { message } of pages.flatMap((each) => each.records)) {
    if (message) found.set(message.messageId, message);
  }
  return [...found.values()];
}

/** What is new, with the older events that were read before. */
function merged(last: Detail | undefined, found: Detail): Detail {
  if (found.error && last) return { ...last, error: found.error };
  const first = found.events[0]?.number ?? 0n;
  const older = last?.events.filter((each) => each.number < first) ?? [];
  if (!older.length || !last) return found;
  return {
    ...found,
    events: [...older, ...found.events].slice(-EVENTS_MAX),
    olderToken: last.olderToken,
  };
}

async function readOlder({ client }: Session, taskId: string, pageToken: string) {
  return client.tasks.listTaskEvents({
    ...{ order: Order.NEWEST_FIRST, filter: { taskId }, pageSize: EVENTS, pageToken },
  });
}

function withOlder(
  last: Detail | undefined,
  found: Awaited<ReturnType<typeof readOlder>>,
): Detail | undefined {
  if (!last) return last;
  const events = [...found.events.map(eventRow).reverse(), ...last.events];
  const isFull = events.length >= EVENTS_MAX;
  return {
    ...last,
    events: events.slice(-EVENTS_MAX),
    olderToken: isFull ? "" : found.nextPageToken,
  };
}
