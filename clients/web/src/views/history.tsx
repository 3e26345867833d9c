/** The one history of a task: talk and work interleaved. */
import { AttemptEnd } from "@client/generated/dovetail/tasks/v1/tasks_pb.js";
import { TaskVerb } from "@client/generated/dovetail/types/v1/types_pb.js";
import type { Following } from "../data/detail.js";
import { href } from "../data/route.js";
import type { EventRow } from "../data/rows.js";
import { type Entry, story } from "../data/story.js";
import { session } from "../data/session.js";
import { endWord, stateWord, verbWord } from "../data/words.js";
import { number } from "../lib/text.js";
import { Progress, Who } from "../parts/names.js";
import { Long, T } from "../parts/text.js";
import { At } from "../parts/time.js";

export function History({ detail }: { detail: Following }) {
  const entries = story(detail.events, detail.messages);
  return (
    <section class="history" data-test="history">
      <h2>History</h2>
      {session.value?.role === "observer" && (
        <p class="faint small">Observers see the work; messages are not shown to them.</p>
      )}
      {detail.olderToken && (
        <button type="button" class="quiet" onClick={detail.older}>
          show older
        </button>
      )}
      <ol class="plain">
        {entries.map((entry) => (
          <EntryItem key={keyOf(entry)} entry={entry} />
        ))}
      </ol>
    </section>
  );
}

function keyOf(entry: Entry): string {
  if (entry.kind === "message") return entry.message.messageId;
  if (entry.kind === "event") return `e${entry.event.number}`;
  return `p${entry.events[0]?.number}`;
}

function EntryItem({ entry }: { entry: Entry }) {
  return (
    <li class={`entry ${toneOf(entry)}`}>
      <span class="entry-time faint small">
        <At at={entry.time} exact />
      </span>
      <div class="entry-main">
        {entry.kind === "message" && <Said entry={entry} />}
        {entry.kind === "progress" && <Reported events={entry.events} />}
        {entry.kind === "event" && <Done entry={entry} />}
      </div>
    </li>
  );
}

function toneOf(entry: Entry): string {
  if (entry.kind === "message") return "said";
  if (entry.kind === "progress") return "in-progress slight";
  if (entry.event.verb === TaskVerb.EXPIRE_LEASE) return endWord(AttemptEnd.LEASE_LOST).tone;
  if (entry.event.from === entry.event.to) return "pending slight";
  return stateWord(entry.event.to).tone;
}

function Said({ entry }: { entry: Entry & { kind: "message" } }) {
  const { message } = entry;
  return (
    <article class="said-card">
      <header>
        <Who agentId={message.senderId} none="a server" /> <span class="faint">to</span>{" "}
        {message.recipientIds.slice(0, 4).map((each) => (
          <span key={each} class="chain">
            <Who agentId={each} />
          </span>
        ))}
        {message.recipientCount > 4 && (
          <span class="faint">and {number(message.recipientCount - 4)} more</span>
        )}
      </header>
      <a class="task-link" href={href({ view: "thread", subject: message.threadId, taskId: "" })}>
        <T text={message.subject || "(no subject)"} most={200} />
      </a>
      <Long text={message.body} first={600} />
    </article>
  );
}

function Reported({ events }: { events: readonly EventRow[] }) {
  const last = events.at(-1);
  const note = events.findLast((each) => each.note)?.note;
  return (
    <>
      <Progress percent={events.findLast((each) => each.percent !== undefined)?.percent} />{" "}
      {note && <T text={note} most={300} />}
      {events.length > 1 && (
        <span class="faint small">
          {" "}
          ({number(events.length)} reports
          {last ? (
            <>
              , the last at <At at={last.time} exact />
            </>
          ) : (
            ""
          )}
          )
        </span>
      )}
    </>
  );
}

const WITH_TEXT = [TaskVerb.REQUEST_INPUT, TaskVerb.PROVIDE_INPUT];

function Done({ entry }: { entry: Entry & { kind: "event" } }) {
  const { event, message } = entry;
  const isStart = event.verb === TaskVerb.CLAIM || event.verb === TaskVerb.START;
  return (
    <>
      {event.actorId ? <Who agentId={event.actorId} /> : <span class="faint">the server</span>}{" "}
      {verbWord(event.verb)}
      {isStart && <span class="faint">, attempt {event.attempt}</span>}
      {event.assigneeId && event.assigneeId !== event.actorId && (
        <span class="faint">
          , assignee <Who agentId={event.assigneeId} />
        </span>
      )}
      {event.formerId && event.formerId !== event.actorId && (
        <span class="faint">
          , before <Who agentId={event.formerId} />
        </span>
      )}
      {event.reason && (
        <div class="item-said">
          <T text={event.reason} most={600} />
        </div>
      )}
      {message && WITH_TEXT.includes(event.verb) && <Long text={message.body} first={600} />}
    </>
  );
}
