/** The second band: what does not go on. */
import { href } from "../data/route.js";
import { type Circle, stuck } from "../data/stuck.js";
import { counted, number } from "../lib/text.js";
import { length, now } from "../lib/time.js";
import { Band, Empty, Some } from "../parts/band.js";
import { TaskId, TaskLink, Who } from "../parts/names.js";
import { T } from "../parts/text.js";
import { Ago } from "../parts/time.js";
import { TaskItem } from "./needs.js";

export function Stuck() {
  const { lost, retrying, quiet, quietAfter, quietIsP95, unread, circles } = stuck.value;
  const count = lost.length + retrying.length + quiet.length + unread.length + circles.length;
  const limit = quietIsP95
    ? `longer than 95 % of tasks take: ${length(quietAfter)}`
    : `longer than ${length(quietAfter)}`;
  return (
    <Band id="stuck" title="Stuck or quiet" count={count}>
      <Some title="Wait for each other" items={circles}>
        {(each) => <CircleItem key={each.agentIds.join("\n")} circle={each} />}
      </Some>
      <Some title="Lost their lease" items={lost}>
        {({ event, times, task }) => (
          <li class="item" key={event.taskId}>
            <div class="item-main">
              <TaskLink taskId={event.taskId} title={task?.title} />
              <div class="item-said">
                attempt {event.attempt} of {task?.maxAttempts ?? "?"}, no heartbeat from its holder
                {times > 1 && `; ${number(times)} times in the last hour`}
              </div>
            </div>
            <div class="item-side">
              <Who agentId={event.formerId || event.assigneeId} />
              <Ago at={event.time} />
            </div>
          </li>
        )}
      </Some>
      <Some title="Wait to be tried again" items={retrying}>
        {(row) => (
          <TaskItem
            key={row.taskId}
            row={row}
            said={
              <>
                {row.failedAttempts} of {row.maxAttempts} attempts failed
                {next(row.scheduleTime)}: <T text={row.failure} />
              </>
            }
          />
        )}
      </Some>
      <Some title="No progress" items={quiet} hint={limit}>
        {({ task, since }) => (
          <TaskItem
            key={task.taskId}
            row={task}
            said={
              <>
                nothing heard for <Ago at={since} suffix="" />
                {task.note && (
                  <>
                    ; last: <T text={task.note} most={160} />
                  </>
                )}
              </>
            }
          />
        )}
      </Some>
      <Some title="Mail that waits" items={unread} first={4}>
        {({ agentId, count: messages, oldest }) => (
          <li class="item" key={agentId}>
            <div class="item-main">
              <a
                class="task-link"
                data-row
                href={href({ view: "inbox", subject: agentId, taskId: "" })}
              >
                <T text={oldest.subject || "(no subject)"} most={160} />
              </a>
              <div class="item-said">
                the oldest of {counted(messages, "message")} that <Who agentId={agentId} /> has not
                acknowledged
              </div>
            </div>
            <div class="item-side">
              <Ago at={oldest.time} />
            </div>
          </li>
        )}
      </Some>
      <Empty
        reads={["tasks", "agents", "events", "report", "messages", "unread"]}
        isEmpty={!count}
        reading="Reading what there is."
      >
        Nothing is stuck.
      </Empty>
    </Band>
  );
}

function next(time: number | undefined): string {
  const left = (time ?? 0) - now.value;
  return left > 0 ? `, again in ${length(Math.ceil(left / 1_000) * 1_000)}` : "";
}

function CircleItem({ circle }: { circle: Circle }) {
  const [first = ""] = circle.agentIds;
  return (
    <li class="item">
      <div class="item-main">
        {circle.agentIds.map((agentId, index) => (
          <span key={agentId} class="chain">
            <Who agentId={agentId} /> <span class="faint">waits, with</span>{" "}
            <TaskId taskId={circle.taskIds[index] ?? ""} />, <span class="faint">for</span>
          </span>
        ))}{" "}
        <Who agentId={first} />
        <div class="item-said">
          None of them has other work. Answer one question, or cancel one task, to let them go on.
        </div>
      </div>
    </li>
  );
}
