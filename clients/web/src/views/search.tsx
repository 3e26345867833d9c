/** What was found in tasks and messages, the newest first, with where it stands. */
import {
  MessageField,
  type MessageHit,
} from "@client/generated/dovetail/messaging/v1/messaging_pb.js";
import { TaskField, type TaskHit } from "@client/generated/dovetail/tasks/v1/tasks_pb.js";
import type { Excerpt as Found } from "@client/generated/dovetail/types/v1/types_pb.js";
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { href } from "../data/route.js";
import { type Session, session } from "../data/session.js";
import { number } from "../lib/text.js";
import { millis } from "../lib/time.js";
import { Nothing } from "../parts/band.js";
import { Fault, READ_ONCE } from "../parts/fault.js";
import { State, TaskLink, Who } from "../parts/names.js";
import { Excerpt, T } from "../parts/text.js";
import { Ago } from "../parts/time.js";

const PAGE = 20;
const HITS_MAX = 400;
const PLACES = 2;

export function Search({ query }: { query: string }) {
  const isObserver = session.value?.role === "observer";
  return (
    <section class="found" data-test="search-results" aria-labelledby="search-title">
      <header class="band-head">
        <h1 id="search-title">
          {query ? (
            <>
              Found: <T text={query} most={256} />
            </>
          ) : (
            "Search"
          )}
        </h1>
      </header>
      {!query && (
        <Nothing>
          Words that must all occur; "two words" that follow each other; begin* for beginnings.
        </Nothing>
      )}
      {query && (
        <div class="found-lists">
          <List<TaskHit>
            title="Tasks"
            query={query}
            read={readTasks}
            keyOf={(hit) => hit.task?.taskId ?? ""}
          >
            {(hit) => <TaskFound hit={hit} />}
          </List>
          {isObserver ? (
            <Nothing>Messages are not shown to observers.</Nothing>
          ) : (
            <List<MessageHit>
              title="Messages"
              query={query}
              read={readMessages}
              keyOf={(hit) => hit.record?.message?.messageId ?? ""}
            >
              {(hit) => <MessageFound hit={hit} />}
            </List>
          )}
        </div>
      )}
    </section>
  );
}

interface Page<Hit> {
  readonly hits: Hit[];
  readonly nextPageToken: string;
}

function readTasks({ client }: Session, query: string, pageToken: string): Promise<Page<TaskHit>> {
  return client.tasks.searchTasks({ query, pageToken, pageSize: PAGE });
}

function readMessages(
  { client }: Session,
  query: string,
  pageToken: string,
): Promise<Page<MessageHit>> {
  return client.messaging.searchMessages({ query, pageToken, pageSize: PAGE });
}

function List<Hit>(props: {
  title: string;
  query: string;
  read: (here: Session, query: string, pageToken: string) => Promise<Page<Hit>>;
  keyOf: (hit: Hit) => string;
  children: (hit: Hit) => ComponentChildren;
}) {
  const { title, query, read, keyOf, children } = props;
  const [hits, setHits] = useState<readonly Hit[]>([]);
  const [token, setToken] = useState<string | undefined>();
  const [error, setError] = useState<Error | undefined>();
  const load = async (pageToken: string) => {
    try {
      const found = session.value && (await read(session.value, query, pageToken));
      if (!found) return;
      setHits((old) => (pageToken ? [...old, ...found.hits] : found.hits));
      setToken(found.nextPageToken);
    } catch (reason) {
      if (!(reason instanceof Error)) throw reason;
      setError(reason);
    }
  };
  useEffect(() => void load(""), [query]);
  const isLoaded = token !== undefined || error !== undefined;
  return (
    <section class="some">
      <h2>
        {title}{" "}
        {hits.length > 0 && (
          <span class="faint num">
            {number(hits.length)}
            {token ? " or more" : ""}
          </span>
        )}
      </h2>
      <Fault error={error} ofRead={READ_ONCE} />
      {!isLoaded && <Nothing>Searching.</Nothing>}
      {isLoaded && !hits.length && !error && <Nothing>Nothing was found.</Nothing>}
      <ul class="plain">
        {hits.map((hit) => (
          <li key={keyOf(hit)} class="item">
            {children(hit)}
          </li>
        ))}
      </ul>
      {token && hits.length < HITS_MAX && (
        <button type="button" class="quiet" onClick={() => void load(token)}>
          show more
        </button>
      )}
    </section>
  );
}

function TaskFound({ hit }: { hit: TaskHit }) {
  const { task, places } = hit;
  if (!task) return null;
  return (
    <>
      <div class="item-main">
        <TaskLink taskId={task.taskId} title={task.title} />
        {places
          .filter((each) => each.field !== TaskField.TITLE)
          .slice(0, PLACES)
          .map(({ field, excerpt }) => (
            <Place key={field} name={TASK_FIELDS[field] ?? ""} excerpt={excerpt} />
          ))}
      </div>
      <div class="item-side">
        <Who agentId={task.assigneeId} none="pool" />
        <State state={task.state} />
      </div>
    </>
  );
}

function MessageFound({ hit }: { hit: MessageHit }) {
  const message = hit.record?.message;
  if (!message) return null;
  return (
    <>
      <div class="item-main">
        <a
          class="task-link"
          data-row
          href={href({ view: "thread", subject: message.threadId, taskId: "" })}
        >
          <T text={message.subject || "(no subject)"} most={200} />
        </a>
        {hit.places
          .filter((each) => each.field !== MessageField.SUBJECT)
          .slice(0, PLACES)
          .map(({ field, excerpt }) => (
            <Place key={field} name={MESSAGE_FIELDS[field] ?? ""} excerpt={excerpt} />
          ))}
      </div>
      <div class="item-side">
        <Who agentId={message.senderId} none="a server" />
        <Ago at={millis(message.createTime) ?? 0} />
      </div>
    </>
  );
}

const TASK_FIELDS: Record<number, string> = {
  [TaskField.DESCRIPTION]: "description",
  [TaskField.RESULT]: "result",
  [TaskField.FAILURE]: "failure",
  [TaskField.CANCEL_REASON]: "reason",
  [TaskField.LAST_FAILURE]: "last failure",
  [TaskField.PROGRESS]: "progress",
  [TaskField.QUESTION]: "question",
  [TaskField.ANSWER]: "answer",
};

const MESSAGE_FIELDS: Record<number, string> = { [MessageField.DATA]: "data" };

function Place({ name, excerpt }: { name: string; excerpt: Found | undefined }) {
  if (!excerpt) return null;
  return (
    <div class="item-said">
      {name && `${name}: `}
      <Excerpt text={excerpt.text} matches={excerpt.matches} />
    </div>
  );
}
