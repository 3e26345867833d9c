/** All tasks, page by page, by state and assignee. */
import { TaskState } from "@client/generated/dovetail/tasks/v1/tasks_pb.js";
import { Order, TaskVerb } from "@client/generated/dovetail/types/v1/types_pb.js";
import { useEffect, useState } from "preact/hooks";
import { anew, onEvents } from "../data/live.js";
import { usePages } from "../data/pages.js";
import { href } from "../data/route.js";
import { type TaskRow, taskRow } from "../data/rows.js";
import { session } from "../data/session.js";
import { current } from "../data/team.js";
import { STATE_ORDER, stateWord } from "../data/words.js";
import { counted } from "../lib/text.js";
import { Nothing } from "../parts/band.js";
import { Fault, READ_AGAIN } from "../parts/fault.js";
import { State, TaskLink, Who } from "../parts/names.js";
import { Ago } from "../parts/time.js";
import { Windowed } from "../parts/window.js";
import { AgentNames } from "./compose.js";

const PAGE = 100;
const ROWS_MAX = 3_000;
const ROW = 40;

function slug(state: TaskState): string {
  return stateWord(state).text.replace(" ", "-");
}

export function Tasks({ state: chosen }: { state: string }) {
  const state = STATE_ORDER.find((each) => slug(each) === chosen);
  const [assignee, setAssignee] = useState("");
  const { rows, isLoaded, isFull, error, more, fresh, again } = useTasks(state, assignee);
  const known = current().tasks;
  return (
    <section class="tasks" data-test="tasks" aria-labelledby="tasks-title">
      <header class="band-head">
        <h1 id="tasks-title">Tasks</h1>
        <div class="buttons">
          <nav class="switch chips" aria-label="State">
            <Chip name="all" subject="" isHere={state === undefined} />
            {[...STATE_ORDER].reverse().map((each) => (
              <Chip
                key={each}
                name={stateWord(each).text}
                subject={slug(each)}
                isHere={state === each}
              />
            ))}
          </nav>
          <input
            class="chooser"
            aria-label="Only of this assignee"
            placeholder="assignee"
            list="tasks-agents"
            autocomplete="off"
            onChange={(event) => setAssignee(event.currentTarget.value.trim())}
            data-test="tasks-assignee"
          />
          <AgentNames id="tasks-agents" />
        </div>
      </header>
      <Fault error={error} ofRead={READ_AGAIN} />
      {fresh > 0 && (
        <button type="button" class="quiet" onClick={again}>
          {counted(fresh, "new task")}: show
        </button>
      )}
      {!isLoaded && <Nothing>Reading the tasks.</Nothing>}
      {isLoaded && !rows.length && !error && <Nothing>No such task.</Nothing>}
      {rows.length > 0 && (
        <Windowed items={rows} rowHeight={ROW} label="Tasks" name="task-rows" onEnd={more}>
          {(row) => <Row row={known.get(row.taskId) ?? row} />}
        </Windowed>
      )}
      {isFull && (
        <p class="faint small">Older tasks are found by searching, or by a state or an assignee.</p>
      )}
    </section>
  );
}

function Chip({ name, subject, isHere }: { name: string; subject: string; isHere: boolean }) {
  return (
    <a
      href={href({ view: "tasks", subject, taskId: "" })}
      aria-current={isHere ? "true" : undefined}
    >
      {name}
    </a>
  );
}

function Row({ row }: { row: TaskRow }) {
  return (
    <div class="task-row">
      <TaskLink taskId={row.taskId} title={row.title} />
      <span class="task-row-who">
        <Who agentId={row.assigneeId} none="pool" />
      </span>
      <State state={row.state} />
      <span class="num end faint">
        {row.percent !== undefined && row.state === TaskState.IN_PROGRESS && `${row.percent} %`}
      </span>
      <span class="num end faint">
        <Ago at={row.updateTime} suffix="" />
      </span>
    </div>
  );
}

/** Whether the beginning of the list is in sight, or there is no list. */
function isAtTop(): boolean {
  return !document.querySelector(".task-rows")?.scrollTop;
}

/** The last created first. What is new is counted where it would move the rows that are looked at. */
function useTasks(state: TaskState | undefined, assignee: string) {
  const [fresh, setFresh] = useState(0);
  const [asked, setAsked] = useState(0);
  const inputs = [state, assignee, asked, anew.value];
  useEffect(() => setFresh(0), inputs);
  const read = async (pageToken: string) => {
    const filter = {
      states: state === undefined ? [] : [state],
      assigneeIds: assignee ? [assignee] : [],
    };
    const found = await session.value?.client.tasks.listTasks({
      ...{ filter, pageToken, pageSize: PAGE, order: Order.NEWEST_FIRST },
    });
    return found && { rows: found.tasks.map(taskRow), nextPageToken: found.nextPageToken };
  };
  const pages = usePages<TaskRow>(read, ROWS_MAX, inputs);
  const again = () => setAsked((count) => count + 1);
  useEffect(
    () =>
      onEvents((events) => {
        const come = events.filter((each) =>
          state === undefined
            ? each.verb === TaskVerb.CREATE
            : each.to === state && each.from !== state,
        );
        if (!come.length) return;
        if (isAtTop()) again();
        else setFresh((count) => count + come.length);
      }),
    [state],
  );
  return { ...pages, fresh, again };
}
