/** The team as rows: presence, kind, current task, progress, unread, usage. */
import { type AgentRow, agentRows, presence, presenceTone } from "../data/agents.js";
import { href } from "../data/route.js";
import { session } from "../data/session.js";
import { current } from "../data/team.js";
import { kindWord } from "../data/words.js";
import { compact, number } from "../lib/text.js";
import { now } from "../lib/time.js";
import { Empty } from "../parts/band.js";
import { Progress, State, TaskLink } from "../parts/names.js";
import { T } from "../parts/text.js";
import { Ago } from "../parts/time.js";
import { Windowed } from "../parts/window.js";

const ROW = 36;

export function Agents() {
  const rows = agentRows.value;
  const team = current();
  const empty = (
    <Empty reads={["agents"]} isEmpty={!rows.length} reading="Reading who is there.">
      No agents yet. An agent is known after its first write, or: dovetail agent register NAME
    </Empty>
  );
  if (!rows.length) return empty;
  return (
    <>
      {empty}
      <div class="agents-head" aria-hidden="true">
        <span>agent</span>
        <span>works on</span>
        <span>progress</span>
        <span class="end">unread</span>
        <span class="end">used today</span>
        <span class="end">seen</span>
      </div>
      <Windowed items={rows} rowHeight={ROW} label={`${number(rows.length)} agents`} name="agents">
        {(row) => <Row row={row} />}
      </Windowed>
      {team.moreAgents && (
        <p class="faint small">Only the first {number(rows.length)} agents are shown.</p>
      )}
    </>
  );
}

function Row({ row }: { row: AgentRow }) {
  const { agent, task } = row;
  const tone = presenceTone(agent, now.value);
  const { role, agentId } = session.value ?? {};
  const mayRead = role === "operator" || (role === "agent" && agentId === agent.agentId);
  const isPerson = kindWord(agent.kind) === "person";
  return (
    <div class="agent" data-test="agent-row" data-agent={agent.agentId.slice(0, 128)}>
      <span class="agent-name">
        <span class={`dot ${tone}`} title={presence(agent) || tone} />
        {mayRead ? (
          <a
            class="task-link"
            data-row
            href={href({ view: "inbox", subject: agent.agentId, taskId: "" })}
          >
            <T text={agent.agentId} most={128} title />
          </a>
        ) : (
          <span class="task-link">
            <T text={agent.agentId} most={128} title />
          </span>
        )}
        {kindWord(agent.kind) && (
          <span class={`badge ${isPerson ? "" : "plain"}`}>{kindWord(agent.kind)}</span>
        )}
        <span class="hidden">
          {presence(agent) || (tone === "lately" ? "seen lately" : "away")}
        </span>
      </span>
      <span class="agent-task">
        {task ? (
          <>
            <TaskLink taskId={task.taskId} title={task.title} />
            {row.otherTasks > 0 && <span class="faint num">+{number(row.otherTasks)}</span>}
          </>
        ) : (
          <span class="faint">idle</span>
        )}
      </span>
      <span class="agent-progress">
        {task &&
          (task.question ? <State state={task.state} /> : <Progress percent={task.percent} />)}
      </span>
      <span class="agent-unread num end">
        {row.unread > 0 && (
          <span title={`${number(row.unread)} messages not acknowledged`}>
            {compact(row.unread)}
            <span class="narrow"> unread</span>
          </span>
        )}
      </span>
      <span class="agent-used num end">
        {row.used && (
          <span title="what the tasks used that changed today">
            {row.used.costs || `${compact(row.used.tokens)} tokens`}
          </span>
        )}
      </span>
      <span class="agent-seen num end faint">
        {row.lastSeen !== undefined && <Ago at={row.lastSeen} suffix="" />}
      </span>
    </div>
  );
}
