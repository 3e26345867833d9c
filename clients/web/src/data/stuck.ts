/** What does not go on: lost leases, silence, mail that nobody reads, and agents that wait for each other. */
import { MailEvent } from "@client/generated/dovetail/messaging/v1/messaging_pb.js";
import { TaskState } from "@client/generated/dovetail/tasks/v1/tasks_pb.js";
import { TaskVerb } from "@client/generated/dovetail/types/v1/types_pb.js";
import { computed } from "@preact/signals";
import { durationMs, HOUR, MINUTE, now } from "../lib/time.js";
import type { EventRow, TaskRow } from "./rows.js";
import { type Team, current, type Unread } from "./team.js";

/** Without completed tasks to compare with, silence begins here. */
const QUIET_DEFAULT = 10 * MINUTE;
/** Shorter than this is no silence, however short tasks are. */
const QUIET_LEAST = MINUTE;
const UNREAD_LEAST = 2 * MINUTE;

export interface Lost {
  readonly event: EventRow;
  readonly times: number;
  readonly task: TaskRow | undefined;
}

export interface Quiet {
  readonly task: TaskRow;
  /** When it was last heard of. */
  readonly since: number;
}

/** Agents each of which waits for the next, the last for the first. */
export interface Circle {
  readonly agentIds: readonly string[];
  readonly taskIds: readonly string[];
}

export interface Stuck {
  readonly lost: readonly Lost[];
  readonly retrying: readonly TaskRow[];
  readonly quiet: readonly Quiet[];
  readonly quietAfter: number;
  readonly quietIsP95: boolean;
  readonly unread: readonly Unread[];
  readonly circles: readonly Circle[];
}

/** The minute: what grows stale by time alone is computed that often. */
const minute = computed(() => Math.floor(now.value / (MINUTE / 4)) * (MINUTE / 4));

export const stuck = computed<Stuck>(() => {
  const team = current();
  const time = minute.value;
  const p95 = durationMs(team.report?.taskTime?.p95);
  const quietAfter = p95 ? Math.max(p95, QUIET_LEAST) : QUIET_DEFAULT;
  const rows = [...team.tasks.values()];
  const lost = lostLeases(team, time);
  const lostIds = new Set(lost.map((each) => each.event.taskId));
  const isRetried = (each: TaskRow) =>
    each.state === TaskState.PENDING && each.failedAttempts > 0 && each.failure;
  return {
    lost,
    retrying: rows.filter((each) => isRetried(each) && !lostIds.has(each.taskId)),
    quiet: quiet(team, rows, time - quietAfter),
    quietAfter,
    quietIsP95: Boolean(p95 && p95 >= QUIET_LEAST),
    unread: team.unread
      .filter((each) => each.oldest.time < time - UNREAD_LEAST)
      .sort((one, other) => one.oldest.time - other.oldest.time),
    circles: circles(team, rows),
  };
});

/** Of each task the last lease that was lost in the last hour, unless the task has ended well since. */
function lostLeases(team: Team, time: number): Lost[] {
  const found = new Map<string, { event: EventRow; times: number }>();
  for (const event of team.events.items) {
    if (event.verb !== TaskVerb.EXPIRE_LEASE || event.time < time - HOUR) continue;
    found.set(event.taskId, { event, times: (found.get(event.taskId)?.times ?? 0) + 1 });
  }
  const over = [TaskState.COMPLETED, TaskState.CANCELLED];
  return [...found.values()]
    .map((each) => ({ ...each, task: team.tasks.get(each.event.taskId) }))
    .filter((each) => !(each.task && over.includes(each.task.state)))
    .reverse();
}

function quiet(team: Team, rows: readonly TaskRow[], before: number): Quiet[] {
  return rows
    .filter((each) => each.state === TaskState.IN_PROGRESS)
    .map((task) => ({
      task,
      since: Math.max(
        task.updateTime,
        task.startTime ?? 0,
        team.progressTimes.get(task.taskId) ?? 0,
      ),
    }))
    .filter((each) => each.since < before)
    .sort((one, other) => one.since - other.since);
}

/** Circles of waits among the open tasks that are known, and those of which servers told. */
function circles(team: Team, rows: readonly TaskRow[]): Circle[] {
  const busy = new Set<string>();
  const waits = new Map<string, Map<string, string>>();
  const wait = (from: string, to: string, taskId: string) => {
    if (!from || !to || from === to) return;
    waits.set(from, (waits.get(from) ?? new Map<string, string>()).set(to, taskId));
  };
  for (const row of rows) {
    if (row.state === TaskState.IN_PROGRESS) busy.add(row.assigneeId);
    if (row.state === TaskState.PENDING && !row.waitingFor) busy.add(row.assigneeId);
    if (row.question) wait(row.assigneeId, row.question.agentId, row.taskId);
    if (row.state !== TaskState.PENDING || !row.waitingFor) continue;
    for (const needed of row.dependsOn) {
      const other = team.tasks.get(needed);
      if (other && other.state !== TaskState.COMPLETED)
        wait(row.assigneeId, other.assigneeId, row.taskId);
    }
  }
  for (const agentId of busy) waits.delete(agentId);
  const found = cycles(waits);
  const known = new Set(found.map(key));
  for (const { mail } of team.talk.items) {
    if (mail?.event !== MailEvent.MUTUAL_WAIT) continue;
    const told = { agentIds: mail.agentIds, taskIds: mail.taskIds };
    const isOpen = mail.taskIds.every(
      (each) => (team.tasks.get(each)?.endTime ?? undefined) === undefined,
    );
    const isStill = mail.agentIds.every((each) => waits.has(each));
    if (isOpen && isStill && !known.has(key(told))) {
      known.add(key(told));
      found.push(told);
    }
  }
  return found;
}

function key({ agentIds }: Circle): string {
  return JSON.stringify([...agentIds].sort());
}

const CIRCLES_MAX = 10;

/** A walk from each agent along its first wait that leads on; each agent is in one circle at most. */
function cycles(waits: ReadonlyMap<string, ReadonlyMap<string, string>>): Circle[] {
  const found: Circle[] = [];
  const done = new Set<string>();
  for (const start of waits.keys()) {
    const path: string[] = [];
    const places = new Map<string, number>();
    let at: string | undefined = start;
    while (at !== undefined && !done.has(at)) {
      done.add(at);
      places.set(at, path.length);
      path.push(at);
      const next: string[] = [...(waits.get(at)?.keys() ?? [])].filter((each) => waits.has(each));
      const back = next.find((each) => places.has(each));
      if (back !== undefined) {
        const agentIds = path.slice(places.get(back));
        const taskIds = agentIds.map((each, index) => {
          return waits.get(each)?.get(agentIds[index + 1] ?? agentIds[0] ?? "") ?? "";
        });
        found.push({ agentIds, taskIds });
        break;
      }
      at = next.find((each) => !done.has(each));
    }
    if (found.length >= CIRCLES_MAX) break;
  }
  return found;
}
