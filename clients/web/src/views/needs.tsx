/** The first band: who and what waits for the person at the page. */
import { needed, needs } from "../data/needs.js";
import { href } from "../data/route.js";
import type { TalkRow, TaskRow } from "../data/rows.js";
import { number } from "../lib/text.js";
import { Band, Empty, Some } from "../parts/band.js";
import { State, TaskLink, Who } from "../parts/names.js";
import { T } from "../parts/text.js";
import { Ago } from "../parts/time.js";
import { QuestionCard } from "./question.js";

export function Needs() {
  const { mine, others, overdue, failed, failedBefore, spent, loops } = needs.value;
  return (
    <Band id="needs" title="Needs you" count={needed.value}>
      <Some title="Questions to you" items={mine} first={4}>
        {(row) => (
          <li key={row.taskId}>
            <QuestionCard row={row} />
          </li>
        )}
      </Some>
      <Some
        title={mine.length ? "Questions to others" : "Open questions"}
        items={others}
        first={mine.length ? 1 : 3}
      >
        {(row) => (
          <li key={row.taskId}>
            <QuestionCard row={row} />
          </li>
        )}
      </Some>
      <Some title="Overdue" items={overdue} first={3}>
        {(row) => (
          <TaskItem
            key={row.taskId}
            row={row}
            said={
              <>
                due <Ago at={row.dueTime ?? 0} />
              </>
            }
          />
        )}
      </Some>
      <Some title="Failed" items={failed} first={3} hint={<Before count={failedBefore} />}>
        {(row) => <FailedItem key={row.taskId} row={row} />}
      </Some>
      <Some title="Budget spent" items={spent}>
        {(row) => (
          <TaskItem
            key={row.taskId}
            row={row}
            said="nothing of its tree is begun until it has a larger budget"
          />
        )}
      </Some>
      <Some title="Loops suspected" items={loops}>
        {(row) => <Loop key={row.messageId} row={row} />}
      </Some>
      <Empty
        reads={["tasks", "events", "messages"]}
        isEmpty={!needed.value}
        reading="Reading what there is."
      >
        Nobody needs you.
      </Empty>
    </Band>
  );
}

function Before({ count }: { count: number }) {
  if (!count) return null;
  return <a href={href({ view: "tasks", subject: "failed" })}>{number(count)} before today</a>;
}

export function TaskItem({ row, said }: { row: TaskRow; said: preact.ComponentChildren }) {
  return (
    <li class="item">
      <div class="item-main">
        <TaskLink taskId={row.taskId} title={row.title} />
        <div class="item-said">{said}</div>
      </div>
      <div class="item-side">
        <Who agentId={row.assigneeId} none="pool" />
        <State state={row.state} />
      </div>
    </li>
  );
}

function FailedItem({ row }: { row: TaskRow }) {
  const isSpent = row.failedAttempts >= row.maxAttempts;
  return (
    <li class="item">
      <div class="item-main">
        <TaskLink taskId={row.taskId} title={row.title} />
        <div class="item-said">
          <T text={row.failure} most={240} />
        </div>
      </div>
      <div class="item-side">
        <span class="who">
          <Who agentId={row.assigneeId} none="pool" />
        </span>
        <span class="faint">
          {isSpent ? `no attempts left of ${row.maxAttempts}, ` : ""}
          {row.endTime !== undefined && <Ago at={row.endTime} />}
        </span>
      </div>
    </li>
  );
}

function Loop({ row }: { row: TalkRow }) {
  return (
    <li class="item">
      <div class="item-main">
        <a
          class="task-link"
          data-row
          href={href({ view: "thread", subject: row.threadId, taskId: "" })}
        >
          <T text={row.subject} most={200} />
        </a>
        <div class="item-said">
          <T text={row.mail?.reason ?? ""} />
        </div>
      </div>
      <div class="item-side">
        {row.mail?.agentIds.slice(0, 4).map((each) => (
          <Who key={each} agentId={each} />
        ))}
        <Ago at={row.time} />
      </div>
    </li>
  );
}
