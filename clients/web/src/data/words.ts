/** The words for what the contract counts: the same as in the terminal. */
import { AttemptEnd, TaskState } from "@client/generated/dovetail/tasks/v1/tasks_pb.js";
import { DeliveryState, TaskVerb } from "@client/generated/dovetail/types/v1/types_pb.js";
import { AgentKind, Importance } from "@client/generated/dovetail/messaging/v1/messaging_pb.js";

export interface Word {
  readonly text: string;
  /** Its class in the style: the colour. */
  readonly tone: string;
}

const UNKNOWN: Word = { text: "unknown", tone: "pending" };

const STATES: Record<number, Word> = {
  [TaskState.PENDING]: { text: "pending", tone: "pending" },
  [TaskState.IN_PROGRESS]: { text: "in progress", tone: "in-progress" },
  [TaskState.INPUT_REQUIRED]: { text: "input required", tone: "input-required" },
  [TaskState.COMPLETED]: { text: "completed", tone: "completed" },
  [TaskState.FAILED]: { text: "failed", tone: "failed" },
  [TaskState.CANCELLED]: { text: "cancelled", tone: "cancelled" },
};

export const STATE_ORDER = [
  TaskState.COMPLETED,
  TaskState.FAILED,
  TaskState.CANCELLED,
  TaskState.INPUT_REQUIRED,
  TaskState.IN_PROGRESS,
  TaskState.PENDING,
];

export function stateWord(state: TaskState): Word {
  return STATES[state] ?? UNKNOWN;
}

const VERBS: Record<number, string> = {
  [TaskVerb.CREATE]: "created",
  [TaskVerb.UPDATE]: "updated",
  [TaskVerb.DELETE]: "deleted",
  [TaskVerb.ASSIGN]: "assigned",
  [TaskVerb.UNASSIGN]: "unassigned",
  [TaskVerb.CLAIM]: "claimed",
  [TaskVerb.START]: "started",
  [TaskVerb.HEARTBEAT]: "progress",
  [TaskVerb.RELEASE]: "released",
  [TaskVerb.REQUEST_INPUT]: "asked",
  [TaskVerb.PROVIDE_INPUT]: "answered",
  [TaskVerb.COMPLETE]: "completed",
  [TaskVerb.FAIL]: "failed",
  [TaskVerb.CANCEL]: "cancelled",
  [TaskVerb.REOPEN]: "reopened",
  [TaskVerb.RETRY]: "will be retried",
  [TaskVerb.EXPIRE_LEASE]: "lease lost",
  [TaskVerb.BECOME_READY]: "became ready",
  [TaskVerb.FAIL_DEPENDENCY]: "a dependency failed",
  [TaskVerb.BECOME_OVERDUE]: "became overdue",
  [TaskVerb.KEEP_LATE_RESULT]: "late result kept",
  [TaskVerb.SPEND_BUDGET]: "budget spent",
};

export function verbWord(verb: TaskVerb): string {
  return VERBS[verb] ?? `verb ${verb}`;
}

const ENDS: Record<number, Word> = {
  [AttemptEnd.UNSPECIFIED]: { text: "at work", tone: "in-progress" },
  [AttemptEnd.COMPLETED]: { text: "completed", tone: "completed" },
  [AttemptEnd.FAILED]: { text: "failed", tone: "failed" },
  [AttemptEnd.LEASE_LOST]: { text: "lease lost", tone: "failed" },
  [AttemptEnd.RELEASED]: { text: "released", tone: "pending" },
  [AttemptEnd.TAKEN_AWAY]: { text: "taken away", tone: "cancelled" },
  [AttemptEnd.CANCELLED]: { text: "cancelled", tone: "cancelled" },
};

export function endWord(end: AttemptEnd): Word {
  return ENDS[end] ?? UNKNOWN;
}

const DELIVERIES: Record<number, string> = {
  [DeliveryState.UNACKNOWLEDGED]: "not acknowledged",
  [DeliveryState.ACKNOWLEDGED]: "acknowledged",
  [DeliveryState.REJECTED]: "rejected",
  [DeliveryState.EXPIRED]: "expired",
  [DeliveryState.WITHDRAWN]: "withdrawn",
  [DeliveryState.SENT]: "sent",
  [DeliveryState.SEEN]: "seen",
};

export function deliveryWord(state: DeliveryState): string {
  return DELIVERIES[state] ?? `state ${state}`;
}

export function isOpenDelivery(state: DeliveryState): boolean {
  return (
    state === DeliveryState.UNACKNOWLEDGED ||
    state === DeliveryState.SENT ||
    state === DeliveryState.SEEN
  );
}

const KINDS: Record<number, string> = {
  [AgentKind.MODEL]: "model",
  [AgentKind.PERSON]: "person",
  [AgentKind.SERVICE]: "service",
};

/** Empty where nobody has said. */
export function kindWord(kind: AgentKind | undefined): string {
  return KINDS[kind ?? 0] ?? "";
}

export function importanceWord(importance: Importance): string {
  return importance === Importance.HIGH
    ? "important"
    : importance === Importance.LOW
      ? "can wait"
      : "";
}
