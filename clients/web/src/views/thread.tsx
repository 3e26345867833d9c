/** A thread, the oldest message first, with what became of each. */
import {
  type Message,
  type MessageRecord,
  MessageKind,
} from "@client/generated/dovetail/messaging/v1/messaging_pb.js";
import { useState } from "preact/hooks";
import { type Thread as Found, useThread } from "../data/mail.js";
import { taskHref } from "../data/route.js";
import { session } from "../data/session.js";
import { current } from "../data/team.js";
import { deliveryWord, importanceWord, isOpenDelivery } from "../data/words.js";
import { counted, number } from "../lib/text.js";
import { full, millis } from "../lib/time.js";
import { Nothing } from "../parts/band.js";
import { Files, Structure } from "../parts/content.js";
import { Fault, READ_ONCE, useAction } from "../parts/fault.js";
import { sendByKey } from "../parts/keys.js";
import { Who } from "../parts/names.js";
import { Long, T } from "../parts/text.js";
import { At } from "../parts/time.js";
import { QuestionCard } from "./question.js";

export function Thread({ threadId }: { threadId: string }) {
  const thread = useThread(threadId);
  const first = thread.records[0]?.message;
  const title = thread.records.find((each) => each.message?.subject)?.message?.subject || threadId;
  return (
    <section class="mail thread" data-test="thread" aria-labelledby="thread-title">
      <header class="band-head">
        <h1 id="thread-title">
          <T text={title} most={300} />
        </h1>
        {first?.taskId && (
          <a class="task-id" href={taskHref(first.taskId)}>
            task <T text={first.taskId} most={64} />
          </a>
        )}
      </header>
      <Fault error={thread.error} ofRead={READ_ONCE} />
      {!thread.isLoaded && <Nothing>Reading the thread.</Nothing>}
      {thread.isLoaded && !thread.records.length && !thread.error && (
        <Nothing>There are no messages in this thread that you may read.</Nothing>
      )}
      {thread.hasOlder && (
        <button type="button" class="quiet" onClick={thread.older}>
          show older
        </button>
      )}
      <ol class="plain">
        {thread.records.map(
          (record) =>
            record.message && (
              <li key={record.message.messageId}>
                <Item record={record} message={record.message} title={title} again={thread.again} />
              </li>
            ),
        )}
      </ol>
      <Asked thread={thread} />
      {thread.records.length > 0 && <Reply thread={thread} />}
    </section>
  );
}

function Item({
  record,
  message,
  title,
  again,
}: {
  record: MessageRecord;
  message: Message;
  title: string;
  again: () => void;
}) {
  const action = useAction();
  const me = session.value?.agentId ?? "";
  const mine = record.receipts.find((each) => each.recipientId === me);
  const isNotice = message.kind === MessageKind.NOTICE;
  const acknowledge = () =>
    void action
      .run(async () =>
        session.value?.client.messaging.acknowledgeMessages({
          sequences: mine ? [mine.sequence] : [],
        }),
      )
      .then(again);
  return (
    <article
      class={`letter ${isNotice ? "notice" : ""} ${message.senderId === me ? "mine" : ""}`}
      data-test="message"
      data-message={message.messageId}
    >
      <header>
        <Who agentId={message.senderId} none="a server" />
        <span class="faint">to</span>
        {message.groupIds.slice(0, 4).map((each) => (
          <span key={each} class="badge">
            group <T text={each} most={64} />
          </span>
        ))}
        {message.recipientIds.slice(0, 5).map((each) => (
          <Who key={each} agentId={each} />
        ))}
        {message.recipientCount > 5 && (
          <span class="faint">and {number(message.recipientCount - 5)} more</span>
        )}
        {isNotice && <span class="badge plain">notice</span>}
        {importanceWord(message.importance) && (
          <span class="badge warn">{importanceWord(message.importance)}</span>
        )}
        <span class="spread" />
        <At at={millis(message.createTime) ?? 0} exact />
      </header>
      {message.subject && message.subject !== title && (
        <h2>
          <T text={message.subject} most={512} />
        </h2>
      )}
      <Long text={message.body} />
      <Structure title="Data" data={message.data} />
      <Files messageId={message.messageId} title="Files" files={message.attachments} />
      <footer class="small faint">
        <Receipts record={record} />
        <span class="spread" />
        {mine && isOpenDelivery(mine.state) && (
          <button
            type="button"
            class="quiet"
            disabled={action.isRunning}
            onClick={acknowledge}
            data-test="message-done"
          >
            done
          </button>
        )}
      </footer>
      <Fault error={action.error} />
    </article>
  );
}

/** What became of the message at each of its first recipients. */
function Receipts({ record }: { record: MessageRecord }) {
  const { receipts } = record;
  if (!receipts.length) return null;
  const counts = new Map<string, number>();
  for (const each of receipts)
    counts.set(deliveryWord(each.state), (counts.get(deliveryWord(each.state)) ?? 0) + 1);
  const [only] = receipts;
  const short =
    receipts.length === 1 && only
      ? deliveryWord(only.state)
      : [...counts].map(([word, count]) => `${count} ${word}`).join(", ");
  return (
    <details class="receipts" data-test="receipts">
      <summary>{short}</summary>
      <ul class="plain">
        {receipts.map((each) => {
          const time = millis(each.stateTime);
          return (
            <li key={each.recipientId}>
              <Who agentId={each.recipientId} /> #{String(each.sequence)} {deliveryWord(each.state)}
              {time !== undefined && (
                <>
                  , <time dateTime={new Date(time).toISOString()}>{full(time)}</time>
                </>
              )}
              {each.reason && (
                <>
                  : <T text={each.reason} most={1_000} />
                </>
              )}
            </li>
          );
        })}
      </ul>
      {(record.message?.recipientCount ?? 0) > receipts.length && (
        <p>{counted((record.message?.recipientCount ?? 0) - receipts.length, "more recipient")}</p>
      )}
    </details>
  );
}

/** The open question of the thread's task: a reply would not let it go on, an answer does. */
function Asked({ thread }: { thread: Found }) {
  const taskIds = new Set(
    thread.records.map((each) => each.message?.taskId || each.message?.notice?.taskId || ""),
  );
  const rows = [...taskIds].flatMap((each) => current().tasks.get(each) ?? []);
  return <>{rows.map((row) => row.question && <QuestionCard key={row.taskId} row={row} />)}</>;
}

/** A reply goes to whom spoke last; to its recipients if that is oneself. */
function Reply({ thread }: { thread: Found }) {
  const [body, setBody] = useState("");
  const action = useAction();
  const me = session.value?.agentId ?? "";
  if (!me || session.value?.role === "observer") return null;
  const last =
    thread.records.findLast((each) => each.message?.kind === MessageKind.MESSAGE) ??
    thread.records.at(-1);
  const message = last?.message;
  const others = (
    message?.senderId && message.senderId !== me
      ? [message.senderId]
      : (message?.recipientIds ?? [])
  ).filter((each) => each !== me);
  if (!message || !others.length) return null;
  const send = async (event: Event) => {
    event.preventDefault();
    const isSent = await action.run(async (requestId) => {
      const request = {
        recipientIds: others,
        inReplyTo: message.messageId,
        body,
        requestId,
        taskId: message.taskId,
      };
      await session.value?.client.messaging.sendMessage(request);
    });
    if (isSent) setBody("");
    if (isSent) thread.again();
  };
  return (
    <form class="reply" onSubmit={(event) => void send(event)}>
      <label>
        <span class="faint small">
          Reply to{" "}
          {others.slice(0, 4).map((each) => (
            <span key={each} class="chain">
              <Who agentId={each} />
            </span>
          ))}
        </span>
        <textarea
          rows={3}
          value={body}
          onInput={(event) => setBody(event.currentTarget.value)}
          onKeyDown={sendByKey}
          data-test="reply-body"
        />
      </label>
      <Fault error={action.error} />
      <button
        type="submit"
        class="main"
        disabled={action.isRunning || !body.trim()}
        data-test="reply-send"
      >
        {action.isRunning ? "Sending" : "Send"}
      </button>
    </form>
  );
}
