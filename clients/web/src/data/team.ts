/** What the page knows of the team. Changed by loads alone, which then move `revision` on. */
import type { Agent } from "@client/generated/dovetail/messaging/v1/messaging_pb.js";
import type { Report } from "@client/generated/dovetail/tasks/v1/tasks_pb.js";
import { signal } from "@preact/signals";
import { Ring } from "../lib/rings.js";
import { type EventRow, isOpen, type TalkRow, type TaskRow } from "./rows.js";

/** Bounds of what is kept. Lists beyond them are read page by page where they are shown. */
const TASKS_MAX = 4_000;
const EVENTS_MAX = 4_000;
const TALK_MAX = 2_000;

/** The oldest open delivery of an agent. */
export interface Unread {
  readonly agentId: string;
  readonly count: number;
  readonly oldest: TalkRow;
}

export class Team {
  /** Open tasks, failed ones, and those that changed while the page was open. */
  readonly tasks = new Map<string, TaskRow>();
  /** Up to when all changes of tasks were read; 0: they were not. Set by the loads of lists alone. */
  changesThrough = 0;
  agents = new Map<string, Agent>();
  /** Whether there are more agents than are kept. */
  moreAgents = false;
  readonly events = new Ring<EventRow>(EVENTS_MAX);
  readonly talk = new Ring<TalkRow>(TALK_MAX);
  /** Since when all events are known: the last hour, or less of a busy team. */
  eventsSince = 0;
  /** When a task's holder last said how far it is. */
  readonly progressTimes = new Map<string, number>();
  report: Report | undefined;
  /** Of the last hour, in buckets if that could be read. */
  hour: Report | undefined;
  /** Of the tasks that changed today: what they used, by assignee. */
  today: Report | undefined;
  unread: readonly Unread[] = [];
  /** Why messages cannot be read; empty: they can. */
  talkRefused = "";
  /** The reads that have succeeded: only of what they bring can be said that there is nothing. */
  readonly loaded = new Set<string>();
  /** What could not be read last, by the name of the read. */
  readonly faults = new Map<string, Error>();

  /** Of what happened before this, no events are here. */
  get horizon(): number {
    const { items } = this.events;
    return items.length < EVENTS_MAX
      ? this.eventsSince
      : Math.max(this.eventsSince, items[0]?.time ?? 0);
  }

  /** Begin from nothing: what is known may be of what is there no more. */
  forget(): void {
    for (const each of [this.tasks, this.agents, this.progressTimes, this.loaded]) each.clear();
    this.events.replace([]);
    this.talk.replace([]);
    this.unread = [];
    this.changesThrough = this.eventsSince = 0;
  }

  put(row: TaskRow): void {
    this.tasks.delete(row.taskId);
    this.tasks.set(row.taskId, row);
  }

  /** Forget what is over and was touched longest ago. */
  prune(): void {
    let over = this.tasks.size - TASKS_MAX;
    for (const [taskId, row] of this.tasks) {
      if (over <= 0) break;
      if (isOpen(row.state)) continue;
      this.tasks.delete(taskId);
      over -= 1;
    }
    for (const taskId of this.tasks.keys()) {
      if (this.tasks.size <= 2 * TASKS_MAX) break;
      this.tasks.delete(taskId);
    }
    for (const taskId of this.progressTimes.keys()) {
      if (!this.tasks.has(taskId)) this.progressTimes.delete(taskId);
    }
  }
}

export const team = signal(new Team());
/** Moves on whenever the team has changed: what is computed of it reads this. */
export const revision = signal(0);

/** The team, for a computed value or a view that follows it. */
export function current(): Team {
  revision.value;
  return team.value;
}

export function published(): void {
  revision.value += 1;
}
