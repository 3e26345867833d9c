/** A message to agents or groups, as its own dialog. */
import { signal } from "@preact/signals";
import { useState } from "preact/hooks";
import { session } from "../data/session.js";
import { current } from "../data/team.js";
import { Dialog } from "../parts/dialog.js";
import { Fault, useAction } from "../parts/fault.js";
import { sendByKey } from "../parts/keys.js";

/** What is filled in already; undefined: nothing is written. */
export interface Draft {
  readonly to?: string;
  readonly taskId?: string;
}

export const isWriting = signal<Draft | undefined>(undefined);

const SUGGESTED_MAX = 300;

/** The agents that the team knows, for a field in which one is named. */
export function AgentNames({ id }: { id: string }) {
  const names = [...current().agents.keys()].slice(0, SUGGESTED_MAX);
  return (
    <datalist id={id}>
      {names.map((each) => (
        <option key={each} value={each} />
      ))}
    </datalist>
  );
}

export function Compose() {
  const draft = isWriting.value;
  return draft ? <Form key={JSON.stringify(draft)} draft={draft} /> : null;
}

function Form({ draft }: { draft: Draft }) {
  const [to, setTo] = useState(draft.to ?? "");
  const [subject, setSubject] = useState("");
  const [body, setBody] = useState("");
  const action = useAction();
  const close = () => (isWriting.value = undefined);
  const send = async (event: Event) => {
    event.preventDefault();
    const known = current().agents.has(to.trim());
    const recipientIds = known
      ? [to.trim()]
      : to
          .split(",")
          .map((each) => each.trim())
          .filter(Boolean);
    const isSent = await action.run((requestId) => {
      const request = { recipientIds, subject, body, requestId, taskId: draft.taskId ?? "" };
      return session.value?.client.messaging.sendMessage(request) ?? Promise.resolve();
    });
    if (isSent) close();
  };
  return (
    <Dialog title="Write a message" name="compose-dialog" onClose={close}>
      <form class="fields" onSubmit={(event) => void send(event)}>
        <label>
          To <span class="faint">(several with commas)</span>
          <input
            required
            list="compose-agents"
            autocomplete="off"
            value={to}
            onInput={(event) => setTo(event.currentTarget.value)}
            data-test="compose-to"
          />
        </label>
        <AgentNames id="compose-agents" />
        <label>
          Subject
          <input
            maxLength={512}
            value={subject}
            onInput={(event) => setSubject(event.currentTarget.value)}
            data-test="compose-subject"
          />
        </label>
        <label>
          Text
          <textarea
            rows={8}
            value={body}
            onInput={(event) => setBody(event.currentTarget.value)}
            onKeyDown={sendByKey}
            data-test="compose-body"
          />
        </label>
        <Fault error={action.error} />
        <div class="buttons">
          <button
            type="submit"
            class="main"
            disabled={action.isRunning || !to.trim()}
            data-test="compose-send"
          >
            {action.isRunning ? "Sending" : "Send"}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
