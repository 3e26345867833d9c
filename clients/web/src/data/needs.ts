/** What waits for the person at the page: computed of the team, newest facts first. */
import { MailEvent } from "@client/generated/dovetail/messaging/v1/messaging_pb.js";
import { TaskState } from "@client/generated/dovetail/tasks/v1/tasks_pb.js";
import { computed } from "@preact/signals";
import { DAY } from "../lib/time.js";
import { isOpen, type TalkRow, type TaskRow } from "./rows.js";
import { session } from "./session.js";
import { current } from "./team.js";

export interface Needs {
  /** Questions to this person; those with a deadline first. */
  readonly mine: readonly TaskRow[];
  /** Questions to others, which an operator may answer. */
  readonly others: readonly TaskRow[];
  readonly overdue: readonly TaskRow[];
  readonly failed: readonly TaskRow[];
  /** Failed before the last day. */
  readonly failedBefore: number;
  readonly spent: readonly TaskRow[];
  readonly loops: readonly TalkRow[];
}

const RECENT = DAY;

export const needs = computed<Needs>(() => {
  const team = current();
  const me = session.value?.agentId ?? "";
  const seesAll = session.value?.role !== "agent";
  const rows = [...team.tasks.values()];
  const asked = rows.filter((each) => each.question).sort(byUrgency);
  const time = Date.now();
  const failed = rows.filter((each) => each.state === TaskState.FAILED);
  const lately = failed.filter((each) => (each.endTime ?? 0) > time - RECENT);
  return {
    mine: asked.filter((each) => me && each.question?.agentId === me),
    others: seesAll ? asked.filter((each) => !me || each.question?.agentId !== me) : [],
    overdue: rows
      .filter((each) => isOpen(each.state) && each.dueTime !== undefined && each.dueTime < time)
      .sort((one, other) => (one.dueTime ?? 0) - (other.dueTime ?? 0)),
    failed: lately.sort((one, other) => (other.endTime ?? 0) - (one.endTime ?? 0)),
    failedBefore: failed.length - lately.length,
    spent: rows.filter((each) => each.budgetSpent && isOpen(each.state) && each.hasBudget),
    loops: unique(team.talk.items.filter((each) => each.mail?.event === MailEvent.LOOP_SUSPECTED)),
  };
});

/** How many things wait: what the tab and the heading say. */
export const needed = computed(() => {
  const { mine, others, overdue, failed, spent, loops } = needs.value;
  return mine.length + others.length + overdue.length + failed.length + spent.length + loops.length;
});

function byUrgency(one: TaskRow, other: TaskRow): number {
  const [a, b] = [one.question, other.question];
  const deadline = (a?.deadline ?? Infinity) - (b?.deadline ?? Infinity);
  return deadline || (a?.askTime ?? 0) - (b?.askTime ?? 0);
}

/** The newest of several notices about one thread. */
function unique(notices: readonly TalkRow[]): TalkRow[] {
  return [...new Map(notices.map((each) => [each.threadId, each])).values()].reverse();
}
