/** Tasks, events and messages as the page keeps them: what it shows of each, cut to bounded texts. */
import {
  type Message,
  type MailEvent,
  MessageKind,
  type Agent,
} from "@client/generated/dovetail/messaging/v1/messaging_pb.js";
import {
  type Cost,
  type Task,
  type TaskEvent,
  TaskState,
  type UsageTotal,
} from "@client/generated/dovetail/tasks/v1/tasks_pb.js";
import type { TaskVerb } from "@client/generated/dovetail/types/v1/types_pb.js";
import { cut } from "../lib/text.js";
import { durationMs, millis } from "../lib/time.js";

const LINE_CHARACTERS = 600;
const TEXT_CHARACTERS = 20_000;

/** One answer between which a question lets its reader choose. */
export interface Option {
  readonly name: string;
  readonly description: string;
}

export interface Question {
  readonly agentId: string;
  readonly text: string;
  readonly askTime: number;
  readonly options: readonly Option[];
  readonly deadline?: number | undefined;
  readonly defaultAnswer: string;
}

export interface TaskRow {
  readonly taskId: string;
  readonly title: string;
  readonly state: TaskState;
  readonly assigneeId: string;
  readonly creatorId: string;
  readonly etag: string;
  readonly dependsOn: readonly string[];
  readonly waitingFor: number;
  readonly parentId: string;
  readonly createTime: number;
  readonly updateTime: number;
  readonly startTime?: number | undefined;
  readonly endTime?: number | undefined;
  readonly dueTime?: number | undefined;
  readonly scheduleTime?: number | undefined;
  readonly attempt: number;
  readonly failedAttempts: number;
  readonly maxAttempts: number;
  readonly failure: string;
  readonly percent?: number | undefined;
  readonly note: string;
  /** The open question, if there is one. */
  readonly question?: Question | undefined;
  readonly leaseMs?: number | undefined;
  readonly budgetSpent: boolean;
  readonly hasBudget: boolean;
}

export interface EventRow {
  readonly number: bigint;
  readonly taskId: string;
  readonly verb: TaskVerb;
  readonly actorId: string;
  readonly time: number;
  readonly from: TaskState;
  readonly to: TaskState;
  readonly assigneeId: string;
  readonly formerId: string;
  readonly reason: string;
  readonly attempt: number;
  readonly percent?: number | undefined;
  readonly note?: string | undefined;
  /** The notice of it, or empty. */
  readonly messageId: string;
}

export interface TalkRow {
  readonly messageId: string;
  readonly senderId: string;
  readonly recipientIds: readonly string[];
  readonly recipientCount: number;
  readonly subject: string;
  readonly time: number;
  readonly isNotice: boolean;
  readonly taskId: string;
  readonly threadId: string;
  readonly verb?: TaskVerb | undefined;
  readonly mail?: Mail | undefined;
}

/** What became of a message, or what was seen in the talk of agents. */
export interface Mail {
  readonly event: MailEvent;
  readonly messageId: string;
  readonly agentIds: readonly string[];
  readonly taskIds: readonly string[];
  readonly reason: string;
}

export function isOpen(state: TaskState): boolean {
  return (
    state === TaskState.PENDING ||
    state === TaskState.IN_PROGRESS ||
    state === TaskState.INPUT_REQUIRED
  );
}

export function taskRow(task: Task): TaskRow {
  const failed = task.outcome.case === "failure" ? task.outcome.value : task.lastFailure;
  return {
    taskId: task.taskId,
    title: cut(task.title, LINE_CHARACTERS),
    state: task.state,
    assigneeId: task.assigneeId,
    creatorId: task.creatorId,
    etag: task.etag,
    dependsOn: task.dependsOn,
    waitingFor: task.waitingForCount,
    parentId: task.parentTaskId,
    createTime: millis(task.createTime) ?? 0,
    updateTime: millis(task.updateTime) ?? 0,
    startTime: millis(task.startTime),
    endTime: millis(task.endTime),
    dueTime: millis(task.dueTime),
    scheduleTime: millis(task.scheduleTime),
    attempt: task.attempt,
    failedAttempts: task.failedAttempts,
    maxAttempts: task.maxAttempts,
    failure: cut(failed?.message ?? "", LINE_CHARACTERS),
    percent: task.progress?.percent,
    note: cut(task.progress?.note ?? "", LINE_CHARACTERS),
    question: task.state === TaskState.INPUT_REQUIRED ? question(task) : undefined,
    leaseMs: durationMs(task.lease?.duration),
    budgetSpent: task.budgetSpent,
    hasBudget: task.maxTokens > 0n || task.maxCost !== undefined,
  };
}

function question({ question: asked }: Task): Question | undefined {
  if (!asked) return undefined;
  return {
    agentId: asked.agentId,
    text: cut(asked.text, TEXT_CHARACTERS),
    askTime: millis(asked.askTime) ?? 0,
    options: asked.options.map(({ name, description }) => ({ name, description })),
    deadline: millis(asked.deadlineTime),
    defaultAnswer: asked.defaultAnswer,
  };
}

export function eventRow(event: TaskEvent): EventRow {
  const changed = new Map(event.changes.map((each) => [each.field, each.newValue?.kind]));
  const percent = changed.get("progress.percent");
  const note = changed.get("progress.note");
  return {
    number: event.eventNumber,
    taskId: event.taskId,
    verb: event.verb,
    actorId: event.actorId,
    time: millis(event.createTime) ?? 0,
    from: event.fromState,
    to: event.toState,
    assigneeId: event.assigneeId,
    formerId: event.formerAssigneeId,
    reason: cut(event.reason, LINE_CHARACTERS),
    attempt: event.attempt,
    percent: percent?.case === "numberValue" ? percent.value : undefined,
    note: note?.case === "stringValue" ? cut(note.value, LINE_CHARACTERS) : undefined,
    messageId: event.messageId,
  };
}

export function talkRow(message: Message): TalkRow {
  const mail = message.mailNotice;
  return {
    messageId: message.messageId,
    senderId: message.senderId,
    recipientIds: message.recipientIds,
    recipientCount: message.recipientCount,
    subject: cut(message.subject || message.body, 200),
    time: millis(message.createTime) ?? 0,
    isNotice: message.kind === MessageKind.NOTICE,
    taskId: message.taskId || (message.notice?.taskId ?? ""),
    threadId: message.threadId,
    verb: message.notice?.verb,
    mail: mail && {
      event: mail.event,
      messageId: mail.messageId,
      agentIds: mail.recipientIds,
      taskIds: mail.taskIds,
      reason: cut(mail.reason, LINE_CHARACTERS),
    },
  };
}

/** Tokens and costs in a few characters; empty where nothing was reported. */
export function used(usage: UsageTotal | undefined): { tokens: number; costs: string } | undefined {
  if (!usage) return undefined;
  const costs = usage.costs.map(money).join(", ");
  return { tokens: Number(usage.inputTokens + usage.outputTokens), costs };
}

export function money({ amount, currency }: Cost): string {
  return `${trimmed(amount)} ${currency}`;
}

/** An amount with cents, or with as much as is needed if it is less. */
function trimmed(amount: string): string {
  const value = Number(amount);
  return value >= 0.01 || value === 0 ? value.toFixed(2) : amount;
}

export type { Agent };
