/** An inbox, as mail is read: who, what about, when. */
import { useState } from "preact/hooks";
import { href, go } from "../data/route.js";
import { type MailRow, useInbox } from "../data/mail.js";
import { session } from "../data/session.js";
import { Nothing } from "../parts/band.js";
import { Fault, READ_AGAIN, useAction } from "../parts/fault.js";
import { Who } from "../parts/names.js";
import { T } from "../parts/text.js";
import { Ago } from "../parts/time.js";
import { Windowed } from "../parts/window.js";
import { AgentNames, isWriting } from "./compose.js";

const ROW = 60;

export function Inbox({ agentId }: { agentId: string }) {
  if (session.value?.role === "observer")
    return <Nothing>Messages are not shown to observers.</Nothing>;
  if (!agentId)
    return (
      <Nothing>
        Your token names no agent, so there is no inbox of yours. Open an agent's from the first
        screen.
      </Nothing>
    );
  return <Mailbox agentId={agentId} />;
}

function Mailbox({ agentId }: { agentId: string }) {
  const [isAll, setAll] = useState(false);
  const mail = useInbox(agentId, isAll);
  const action = useAction();
  const isMine = agentId === session.value?.agentId;
  const isOperator = session.value?.role === "operator";
  const done = (row: MailRow) => void action.run(() => mail.acknowledge([row.sequence]));
  return (
    <section class="mail" data-test="inbox" aria-labelledby="inbox-title">
      <header class="band-head">
        <h1 id="inbox-title">
          Inbox of <Who agentId={agentId} />
        </h1>
        <div class="buttons">
          {isOperator && <Chooser />}
          <div class="switch" role="group" aria-label="Which messages">
            <button
              type="button"
              aria-pressed={!isAll}
              onClick={() => setAll(false)}
              data-test="inbox-open"
            >
              open
            </button>
            <button
              type="button"
              aria-pressed={isAll}
              onClick={() => setAll(true)}
              data-test="inbox-all"
            >
              all
            </button>
          </div>
          {!isMine && session.value?.agentId && (
            <button type="button" onClick={() => (isWriting.value = { to: agentId })}>
              Write
            </button>
          )}
        </div>
      </header>
      <Fault error={mail.error} ofRead={READ_AGAIN} />
      <Fault error={action.error} />
      {!mail.isLoaded && <Nothing>Reading the inbox.</Nothing>}
      {mail.isLoaded && !mail.rows.length && !mail.error && (
        <Nothing>
          {isAll ? "Nothing was ever sent here." : "Nothing is open: all is done with."}
        </Nothing>
      )}
      {mail.rows.length > 0 && (
        <Windowed items={mail.rows} rowHeight={ROW} label="Messages" name="mails" onEnd={mail.more}>
          {(row) => <Row row={row} done={isMine ? done : undefined} />}
        </Windowed>
      )}
      {mail.isFull && <p class="faint small">Older messages are found by searching.</p>}
    </section>
  );
}

/** Whose inbox: an operator may read every one of the team. */
function Chooser() {
  const [name, setName] = useState("");
  return (
    <form
      class="chooser"
      onSubmit={(event) => {
        event.preventDefault();
        if (name.trim()) go({ view: "inbox", subject: name.trim() });
      }}
    >
      <input
        aria-label="Open the inbox of another agent"
        placeholder="another agent"
        list="inbox-agents"
        autocomplete="off"
        value={name}
        onInput={(event) => setName(event.currentTarget.value)}
        data-test="inbox-agent"
      />
      <AgentNames id="inbox-agents" />
    </form>
  );
}

function Row({ row, done }: { row: MailRow; done: ((row: MailRow) => void) | undefined }) {
  const place = href({ view: "thread", subject: row.threadId, taskId: "" });
  return (
    <article
      class={row.isOpen ? "mail-row open" : "mail-row"}
      data-test="mail-row"
      data-message={row.messageId}
    >
      <span class="mail-from">
        <Who agentId={row.senderId} none="a server" />
      </span>
      <a class="mail-what" href={place} data-row>
        <span class="mail-subject">
          {row.isOpen && <span class="hidden">open: </span>}
          {row.isQuestion && <span class="badge">question</span>}
          {row.isNotice && !row.isQuestion && <span class="badge plain">notice</span>}
          {row.isImportant && <span class="badge warn">important</span>}
          <T text={row.subject || "(no subject)"} most={200} />
        </span>
        <span class="mail-excerpt faint">
          <T text={row.excerpt} most={240} />
        </span>
      </a>
      <span class="mail-side faint small">
        {row.files > 0 && <span>{row.files} files</span>}
        <Ago at={row.time} suffix="" />
        {done && row.isOpen && (
          <button type="button" class="quiet" onClick={() => done(row)} data-test="mail-done">
            done
          </button>
        )}
      </span>
    </article>
  );
}
