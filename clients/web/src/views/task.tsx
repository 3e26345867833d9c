/** One task, beside the view from which it was opened. */
import { type Task, TaskState } from "@client/generated/dovetail/tasks/v1/tasks_pb.js";
import { useEffect, useRef } from "preact/hooks";
import { useDetail } from "../data/detail.js";
import { closeTask, href } from "../data/route.js";
import { type TaskRow, taskRow, used } from "../data/rows.js";
import { compact, line, number } from "../lib/text.js";
import { durationMs, length } from "../lib/time.js";
import { Fault, READ_ONCE } from "../parts/fault.js";
import { Icon } from "../parts/icons.js";
import { Progress, State, TaskId, TaskLink, Who } from "../parts/names.js";
import { Long, T } from "../parts/text.js";
import { Ago, At } from "../parts/time.js";
import { Files, Structure } from "../parts/content.js";
import { Actions } from "./actions.js";
import { Attempts } from "./attempts.js";
import { Graph } from "./graph.js";
import { History } from "./history.js";
import { QuestionCard } from "./question.js";

export function TaskPanel({ taskId }: { taskId: string }) {
  const detail = useDetail(taskId);
  const panel = useRef<HTMLElement>(null);
  const { task, error, isLoaded } = detail;
  const row = task && taskRow(task);
  useEffect(() => {
    const before = document.activeElement;
    panel.current?.focus({ preventScroll: true });
    return () => {
      if (before instanceof HTMLElement || before instanceof SVGElement)
        before.focus({ preventScroll: true });
    };
  }, []);
  return (
    <aside
      class="panel"
      ref={panel}
      tabIndex={-1}
      aria-label={`Task ${line(taskId, 128)}`}
      data-test="task-panel"
      data-task={taskId}
    >
      <header class="panel-head">
        <span class="faint">
          <T text={taskId} most={128} />
        </span>
        {row && <State state={row.state} />}
        <span class="spread" />
        <button
          type="button"
          class="bare"
          aria-label="Close the task"
          onClick={closeTask}
          data-test="task-close"
        >
          <Icon name="close" />
        </button>
      </header>
      <div class="panel-body">
        {!isLoaded && <p class="nothing">Reading the task.</p>}
        <Fault error={error} ofRead={READ_ONCE} />
        {isLoaded && !task && !error && (
          <p class="nothing">This task was deleted. Its history stays.</p>
        )}
        {task && row && (
          <>
            <h1 class="task-title">
              <T text={task.title} most={600} />
            </h1>
            <Facts task={task} row={row} />
            {row.question && <QuestionCard row={row} />}
            <Actions row={row} again={detail.again} />
            <Outcome task={task} />
            {task.description && (
              <section>
                <h2>Description</h2>
                <Long text={task.description} />
              </section>
            )}
            <Structure title="Input" data={task.input} />
            <Files
              taskId={taskId}
              title="Files of the input"
              files={task.inputAttachments}
              place="input"
            />
            <Graph row={row} />
            <Others title="Parts" rows={detail.parts} />
            <Others title="Linked from" rows={detail.linked} />
          </>
        )}
        <Attempts attempts={detail.attempts} />
        {isLoaded && <History detail={detail} />}
      </div>
    </aside>
  );
}

function Facts({ task, row }: { task: Task; row: TaskRow }) {
  const total = used(task.usage);
  const tree = used(task.treeUsage);
  const lease = durationMs(task.lease?.duration);
  const labels = Object.entries(task.labels);
  return (
    <dl class="facts">
      <dt>assignee</dt>
      <dd>
        <Who
          agentId={row.assigneeId}
          none={task.pooled || !row.assigneeId ? "the pool" : "nobody"}
        />
      </dd>
      <dt>creator</dt>
      <dd>
        <Who agentId={row.creatorId} none="no agent" />, <Ago at={row.createTime} />
      </dd>
      {row.startTime !== undefined && (
        <>
          <dt>started</dt>
          <dd>
            <At at={row.startTime} exact />
            {row.endTime !== undefined && <>, took {length(row.endTime - row.startTime)}</>}
          </dd>
        </>
      )}
      {row.endTime !== undefined && (
        <>
          <dt>ended</dt>
          <dd>
            <At at={row.endTime} exact />
          </dd>
        </>
      )}
      {row.dueTime !== undefined && (
        <>
          <dt>due</dt>
          <dd>
            <At at={row.dueTime} />
          </dd>
        </>
      )}
      {row.scheduleTime !== undefined && row.state === TaskState.PENDING && (
        <>
          <dt>not before</dt>
          <dd>
            <At at={row.scheduleTime} exact />
          </dd>
        </>
      )}
      {row.percent !== undefined && (
        <>
          <dt>progress</dt>
          <dd>
            <Progress percent={row.percent} /> <T text={row.note} most={600} />
          </dd>
        </>
      )}
      <dt>attempt</dt>
      <dd>
        {number(row.attempt)}
        {row.failedAttempts > 0 && `; ${row.failedAttempts} of ${row.maxAttempts} failed`}
        {lease !== undefined && `, under a lease of ${length(lease)}`}
      </dd>
      {task.priority !== 0 && (
        <>
          <dt>priority</dt>
          <dd>{task.priority}</dd>
        </>
      )}
      {total && (
        <>
          <dt>used</dt>
          <dd>
            {compact(total.tokens)} tokens{total.costs && `, ${total.costs}`}
            {tree &&
              tree.tokens !== total.tokens &&
              `; with its parts ${compact(tree.tokens)} tokens${tree.costs && `, ${tree.costs}`}`}
          </dd>
        </>
      )}
      {row.hasBudget && (
        <>
          <dt>budget</dt>
          <dd>
            {task.maxTokens > 0n && `${compact(Number(task.maxTokens))} tokens`}{" "}
            {task.maxCost && `${task.maxCost.amount} ${task.maxCost.currency}`}
            {row.budgetSpent && <span class="badge warn">spent</span>}
          </dd>
        </>
      )}
      {row.parentId && (
        <>
          <dt>part of</dt>
          <dd>
            <TaskId taskId={row.parentId} />
          </dd>
        </>
      )}
      {task.links.length > 0 && (
        <>
          <dt>links</dt>
          <dd>
            {task.links.map((each) => (
              <span key={`${each.kind} ${each.taskId}`} class="chain">
                {line(each.kind, 64)} <TaskId taskId={each.taskId} />
              </span>
            ))}
          </dd>
        </>
      )}
      {labels.length > 0 && (
        <>
          <dt>labels</dt>
          <dd>
            {labels.map(([key, value]) => (
              <span key={key} class="badge">
                <T text={`${key}: ${value}`} most={120} />
              </span>
            ))}
          </dd>
        </>
      )}
      <dt>thread</dt>
      <dd>
        <a
          class="task-id"
          href={href({
            view: "thread",
            subject: task.threadId || row.taskId,
            taskId: "",
          })}
        >
          <T text={task.threadId || row.taskId} most={128} />
        </a>
      </dd>
    </dl>
  );
}

function Outcome({ task }: { task: Task }) {
  const { outcome } = task;
  if (outcome.case === "result") {
    return (
      <section class="outcome completed" data-test="task-result">
        <h2>Result</h2>
        {outcome.value.summary ? (
          <Long text={outcome.value.summary} />
        ) : (
          <p class="faint">Without a summary.</p>
        )}
        <Structure title="Data" data={outcome.value.data} />
        <Files
          taskId={task.taskId}
          title="Files"
          files={outcome.value.attachments}
          place="result"
        />
      </section>
    );
  }
  if (outcome.case === "failure") {
    return (
      <section class="outcome failed" data-test="task-failure">
        <h2>Failure</h2>
        <Long text={outcome.value.message} />
        <Structure title="Data" data={outcome.value.data} />
      </section>
    );
  }
  if (outcome.case === "cancelReason") {
    return (
      <section class="outcome cancelled">
        <h2>Cancelled</h2>
        {outcome.value ? <Long text={outcome.value} /> : <p class="faint">Without a reason.</p>}
      </section>
    );
  }
  if (!task.lastFailure || task.state !== TaskState.PENDING) return null;
  return (
    <section class="outcome failed">
      <h2>Last failure</h2>
      <Long text={task.lastFailure.message} first={400} />
    </section>
  );
}

function Others({ title, rows }: { title: string; rows: readonly TaskRow[] }) {
  if (!rows.length) return null;
  return (
    <section>
      <h2>
        {title} <span class="faint num">{number(rows.length)}</span>
      </h2>
      <ul class="plain">
        {rows.map((row) => (
          <li key={row.taskId} class="item">
            <div class="item-main">
              <TaskLink taskId={row.taskId} title={row.title} />
            </div>
            <div class="item-side">
              <State state={row.state} />
              {millisEnded(row)}
            </div>
          </li>
        ))}
      </ul>
    </section>
  );
}

function millisEnded(row: TaskRow) {
  return row.endTime === undefined ? null : <Ago at={row.endTime} />;
}
