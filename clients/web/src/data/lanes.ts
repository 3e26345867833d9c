/** Talk and work of the last hour on one axis of time: a lane for each agent, bars and arcs. */
import { TaskState } from "@client/generated/dovetail/tasks/v1/tasks_pb.js";
import { TaskVerb } from "@client/generated/dovetail/types/v1/types_pb.js";
import { computed, signal } from "@preact/signals";
import { MINUTE } from "../lib/time.js";
import { SPAN } from "./loads.js";
import type { EventRow, TalkRow } from "./rows.js";
import { current, type Team } from "./team.js";

/** A span of work: an agent had the task in one state. */
export interface Bar {
  readonly agentId: string;
  readonly taskId: string;
  readonly begin: number;
  /** Undefined: it goes on. */
  readonly end: number | undefined;
  readonly isWaiting: boolean;
  /** The state it ended in; IN_PROGRESS while it goes on. */
  readonly outcome: TaskState;
  readonly isLost: boolean;
}

/** A bar in its lane: what an agent had at the same time stands below each other. */
export interface Placed extends Bar {
  readonly level: number;
}

export interface Lanes {
  readonly agentIds: readonly string[];
  readonly hiddenAgents: number;
  readonly bars: readonly Placed[];
  /** How many levels each lane has, up to LEVELS_MAX. */
  readonly levels: ReadonlyMap<string, number>;
  readonly talk: readonly TalkRow[];
}

const LANES_MAX = 14;
const MESSAGES_MAX = 400;
const NOTICES_MAX = 200;
const BARS_MAX = 1_500;
export const LEVELS_MAX = 3;

export const SPANS = [10 * MINUTE, SPAN / 2, SPAN];
/** What a person chose; undefined: as much as there is something to show in. */
const chosen = signal<number | undefined>(undefined);

export const span = computed(() => chosen.value ?? fitting(current()));

export function showSpan(ms: number): void {
  chosen.value = ms;
}

/** A team that has just begun fills its lanes too. */
function fitting(team: Team): number {
  const since = Math.min(
    team.events.items[0]?.time ?? Infinity,
    team.talk.items[0]?.time ?? Infinity,
  );
  return SPANS.find((each) => Date.now() - since < each) ?? SPAN;
}

export const lanes = computed<Lanes>(() => {
  const team = current();
  const since = Date.now() - span.value;
  const bars = workBars(team, since);
  const talk = team.talk.items.filter((each) => each.time > since);
  const weights = new Map<string, number>();
  const add = (agentId: string, weight: number) => {
    if (agentId) weights.set(agentId, (weights.get(agentId) ?? 0) + weight);
  };
  for (const bar of bars) add(bar.agentId, 2);
  for (const each of talk) {
    add(each.senderId, each.isNotice ? 0.2 : 1);
    for (const recipientId of each.recipientIds) add(recipientId, each.isNotice ? 0.1 : 1);
  }
  const busiest = [...weights].sort((one, other) => other[1] - one[1]).map(([agentId]) => agentId);
  const agentIds = busiest.slice(0, LANES_MAX).sort();
  const shown = new Set(agentIds);
  const placed = stacked(bars.filter((each) => shown.has(each.agentId)).slice(-BARS_MAX));
  const arcs = talk.filter(
    (each) =>
      shown.has(each.senderId) &&
      each.recipientIds.some((to) => to !== each.senderId && shown.has(to)),
  );
  return {
    agentIds,
    hiddenAgents: busiest.length - agentIds.length,
    ...placed,
    talk: [
      ...arcs.filter((each) => each.isNotice).slice(-NOTICES_MAX),
      ...arcs.filter((each) => !each.isNotice).slice(-MESSAGES_MAX),
    ],
  };
});

/** Each bar at the first level that is free when it begins; what finds none, at the last. */
function stacked(bars: readonly Bar[]): Pick<Lanes, "bars" | "levels"> {
  const ends = new Map<string, number[]>();
  const placed = bars.map((bar) => {
    const lane = ends.get(bar.agentId) ?? [];
    ends.set(bar.agentId, lane);
    const free = lane.findIndex((each) => each <= bar.begin);
    const level = free >= 0 ? free : Math.min(lane.length, LEVELS_MAX - 1);
    lane[level] = Math.max(lane[level] ?? 0, bar.end ?? Infinity);
    return { ...bar, level };
  });
  return {
    bars: placed,
    levels: new Map([...ends].map(([agentId, lane]) => [agentId, lane.length])),
  };
}

const AT_WORK = [TaskState.IN_PROGRESS, TaskState.INPUT_REQUIRED];

/** The bars that the events tell of, and those of tasks at work without an event in that time. */
function workBars(team: Team, since: number): Bar[] {
  const bars: Bar[] = [];
  const open = new Map<string, { agentId: string; begin: number; state: TaskState }>();
  const seen = new Set<string>();
  for (const event of team.events.items) {
    if (event.from === event.to && !event.formerId) {
      if (!seen.has(event.taskId) && AT_WORK.includes(event.to)) begun(event, team.horizon, open);
      seen.add(event.taskId);
      continue;
    }
    if (!seen.has(event.taskId) && AT_WORK.includes(event.from))
      begun(
        { ...event, to: event.from, assigneeId: event.formerId || event.assigneeId },
        team.horizon,
        open,
      );
    seen.add(event.taskId);
    const bar = open.get(event.taskId);
    if (bar) {
      open.delete(event.taskId);
      if (event.time > since) bars.push(closed(event, bar));
    }
    if (AT_WORK.includes(event.to)) begun(event, event.time, open);
  }
  for (const [taskId, { agentId, begin, state }] of open) {
    const isWaiting = state === TaskState.INPUT_REQUIRED;
    const row = team.tasks.get(taskId);
    if (row && !AT_WORK.includes(row.state)) continue;
    bars.push({
      agentId,
      taskId,
      begin: Math.max(begin, row?.startTime ?? team.horizon),
      end: undefined,
      isWaiting,
      outcome: state,
      isLost: false,
    });
  }
  for (const row of team.tasks.values()) {
    if (seen.has(row.taskId) || !AT_WORK.includes(row.state)) continue;
    const isWaiting = row.state === TaskState.INPUT_REQUIRED;
    const begin = (isWaiting ? row.question?.askTime : row.startTime) ?? row.updateTime;
    bars.push({
      agentId: row.assigneeId,
      taskId: row.taskId,
      begin,
      end: undefined,
      isWaiting,
      outcome: row.state,
      isLost: false,
    });
  }
  return bars.sort((one, other) => one.begin - other.begin);
}

function begun(
  event: EventRow,
  begin: number,
  open: Map<string, { agentId: string; begin: number; state: TaskState }>,
): void {
  open.set(event.taskId, { agentId: event.assigneeId, begin, state: event.to });
}

function closed(event: EventRow, bar: { agentId: string; begin: number; state: TaskState }): Bar {
  return {
    ...{ agentId: bar.agentId, taskId: event.taskId, begin: bar.begin, end: event.time },
    isWaiting: bar.state === TaskState.INPUT_REQUIRED,
    outcome: event.to,
    isLost: event.verb === TaskVerb.EXPIRE_LEASE || event.verb === TaskVerb.FAIL,
  };
}
