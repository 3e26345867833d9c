/** Agents as rows: what each has open, does, and has used today. */
import type { Agent } from "@client/generated/dovetail/messaging/v1/messaging_pb.js";
import { TaskState } from "@client/generated/dovetail/tasks/v1/tasks_pb.js";
import { computed } from "@preact/signals";
import { counted } from "../lib/text.js";
import { MINUTE, millis } from "../lib/time.js";
import { type TaskRow, used } from "./rows.js";
import { current } from "./team.js";

export interface AgentRow {
  readonly agent: Agent;
  /** What it works on: the task that changed last. */
  readonly task: TaskRow | undefined;
  readonly otherTasks: number;
  readonly unread: number;
  readonly used: { tokens: number; costs: string } | undefined;
  readonly lastSeen: number | undefined;
}

export const agentRows = computed<AgentRow[]>(() => {
  const team = current();
  const work = new Map<string, TaskRow[]>();
  for (const row of team.tasks.values()) {
    if (row.state !== TaskState.IN_PROGRESS && row.state !== TaskState.INPUT_REQUIRED) continue;
    const found = work.get(row.assigneeId);
    if (found) found.push(row);
    else work.set(row.assigneeId, [row]);
  }
  const usage = new Map(team.today?.assignees.map((each) => [each.assigneeId, each.usage]));
  const rows = [...team.agents.values()].map((agent) => {
    const tasks = work.get(agent.agentId) ?? [];
    const task = tasks.reduce<TaskRow | undefined>(
      (last, each) => (last && last.updateTime >= each.updateTime ? last : each),
      undefined,
    );
    return {
      ...{ agent, task, otherTasks: Math.max(0, tasks.length - 1) },
      unread: Number(agent.unacknowledgedCount),
      used: used(usage.get(agent.agentId)),
      lastSeen: millis(agent.lastSeenTime),
    };
  });
  return rows.sort(byActivity);
});

/** Who works, then who is there, then the others; by name, so that rows stay where they are. */
function byActivity(one: AgentRow, other: AgentRow): number {
  return rank(one) - rank(other) || (one.agent.agentId < other.agent.agentId ? -1 : 1);
}

function rank({ agent, task }: AgentRow): number {
  return task ? 0 : isPresent(agent) ? 1 : 2;
}

export function isPresent(agent: Agent): boolean {
  return agent.openStreams > 0 || agent.waitingCalls > 0;
}

/** What it has open; empty where that is nothing. */
export function presence({ openStreams, waitingCalls }: Agent): string {
  const streams = openStreams ? counted(openStreams, "stream") : "";
  const calls = waitingCalls ? (waitingCalls === 1 ? "waits" : `waits ${waitingCalls} times`) : "";
  return [streams, calls].filter(Boolean).join(", ");
}

const RECENT = 5 * MINUTE;

/** The class of its dot: there now, seen lately, or neither. */
export function presenceTone(agent: Agent, time: number): string {
  if (isPresent(agent)) return "here";
  const seen = millis(agent.lastSeenTime) ?? 0;
  return time - seen < RECENT ? "lately" : "away";
}
