/** Agents, tasks and states by their names. */
import { AgentKind } from "@client/generated/dovetail/messaging/v1/messaging_pb.js";
import type { TaskState } from "@client/generated/dovetail/tasks/v1/tasks_pb.js";
import { session } from "../data/session.js";
import { taskHref } from "../data/route.js";
import { current } from "../data/team.js";
import { stateWord } from "../data/words.js";
import { line } from "../lib/text.js";
import { T } from "./text.js";

/** An agent; a person is marked as one. */
export function Who({ agentId, none = "nobody" }: { agentId: string; none?: string }) {
  if (!agentId) return <span class="faint">{none}</span>;
  const kind = current().agents.get(agentId)?.kind;
  const isMe = session.value?.agentId === agentId;
  return (
    <span class="who">
      <T text={agentId} most={128} title />
      {(isMe || kind === AgentKind.PERSON) && " "}
      {isMe && <span class="badge me">you</span>}
      {!isMe && kind === AgentKind.PERSON && <span class="badge">person</span>}
    </span>
  );
}

export function State({ state }: { state: TaskState }) {
  const { text, tone } = stateWord(state);
  return <span class={`state ${tone}`}>{text}</span>;
}

/** A link that opens the task beside the view. */
export function TaskLink({ taskId, title }: { taskId: string; title?: string | undefined }) {
  return (
    <a class="task-link" href={taskHref(taskId)} data-row data-test="task-row" data-task={taskId}>
      {title ? <T text={title} most={200} /> : <T text={taskId} most={128} />}
    </a>
  );
}

/** The id of a task, small, with its title on demand. */
export function TaskId({ taskId }: { taskId: string }) {
  const title = current().tasks.get(taskId)?.title;
  return (
    <a class="task-id" href={taskHref(taskId)} title={title && line(title)}>
      <T text={taskId} most={48} />
    </a>
  );
}

export function Progress({ percent }: { percent: number | undefined }) {
  if (percent === undefined) return null;
  return (
    <span class="progress">
      <progress max="100" value={percent} aria-label="progress" />
      <span class="num">{percent} %</span>
    </span>
  );
}
