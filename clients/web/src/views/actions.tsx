/** What an operator can do with a task. Each is an ordinary call, bound to the task as it is shown. */
import { DovetailError } from "@client/errors.js";
import { TaskState } from "@client/generated/dovetail/tasks/v1/tasks_pb.js";
import { useState } from "preact/hooks";
import { isOpen, type TaskRow } from "../data/rows.js";
import { session } from "../data/session.js";
import { Fault, useAction } from "../parts/fault.js";
import { Who } from "../parts/names.js";
import { AgentNames, isWriting } from "./compose.js";

type Form = "assign" | "cancel" | "reopen";

export function Actions({ row, again }: { row: TaskRow; again: () => void }) {
  const [form, setForm] = useState<Form | undefined>();
  const action = useAction();
  const { role, agentId } = session.value ?? {};
  if (!role || role === "observer") return null;
  const isOwn = role === "operator" || (agentId && row.creatorId === agentId);
  const open = isOpen(row.state);
  const toggle = (next: Form) => () => {
    action.clear();
    setForm(form === next ? undefined : next);
  };
  const send = async (call: (requestId: string) => Promise<unknown>) => {
    const isDone = await action.run((requestId) =>
      call(requestId).catch((reason: unknown) => {
        if (reason instanceof DovetailError && reason.outcome === "nothing") again();
        throw reason;
      }),
    );
    if (isDone) setForm(undefined);
    if (isDone) again();
  };
  const reopen = row.state === TaskState.FAILED ? "Retry" : "Reopen";
  return (
    <section class="actions" aria-label="Actions" data-test="actions">
      <div class="buttons">
        {isOwn && open && (
          <button
            type="button"
            aria-expanded={form === "assign"}
            onClick={toggle("assign")}
            data-test="action-assign"
          >
            Assign
          </button>
        )}
        {isOwn && open && (
          <button
            type="button"
            class="bad"
            aria-expanded={form === "cancel"}
            onClick={toggle("cancel")}
            data-test="action-cancel"
          >
            Cancel
          </button>
        )}
        {isOwn && !open && (
          <button
            type="button"
            class={row.state === TaskState.FAILED ? "main" : ""}
            aria-expanded={form === "reopen"}
            onClick={toggle("reopen")}
            data-test="action-reopen"
          >
            {reopen}
          </button>
        )}
        {agentId && (
          <button
            type="button"
            onClick={() =>
              (isWriting.value = {
                to: row.assigneeId || row.creatorId,
                taskId: row.taskId,
              })
            }
            data-test="action-message"
          >
            Write a message
          </button>
        )}
      </div>
      {form === "assign" && <Assign row={row} isRunning={action.isRunning} send={send} />}
      {form === "cancel" && (
        <Reasoned
          row={row}
          kind="cancel"
          label="Cancel the task"
          isRunning={action.isRunning}
          send={send}
        />
      )}
      {form === "reopen" && (
        <Reasoned
          row={row}
          kind="reopen"
          label={`${reopen} the task`}
          isRunning={action.isRunning}
          send={send}
        />
      )}
      <Fault error={action.error} />
    </section>
  );
}

interface Sending {
  readonly row: TaskRow;
  readonly isRunning: boolean;
  readonly send: (call: (requestId: string) => Promise<unknown>) => Promise<void>;
}

function tasks() {
  const { client } = session.value ?? {};
  if (!client) throw new Error("You have signed out.");
  return client.tasks;
}

function Assign({ row, isRunning, send }: Sending) {
  const [to, setTo] = useState("");
  const isHeld = row.state !== TaskState.PENDING;
  const named = { taskId: row.taskId, etag: row.etag, force: isHeld };
  return (
    <form
      class="fields"
      onSubmit={(event) => {
        event.preventDefault();
        void send((requestId) =>
          tasks().assignTask({ ...named, assigneeId: to.trim(), requestId }),
        );
      }}
    >
      <label>
        To
        <input
          required
          autofocus
          list="assign-agents"
          autocomplete="off"
          value={to}
          onInput={(event) => setTo(event.currentTarget.value)}
          data-test="assign-to"
        />
      </label>
      <AgentNames id="assign-agents" />
      {isHeld && (
        <p class="small">
          <Who agentId={row.assigneeId} none="A caller without an agent" /> works on it, and will lose it: what it
          brings later is refused.
        </p>
      )}
      <div class="buttons">
        <button
          type="submit"
          class="main"
          disabled={isRunning || !to.trim()}
          data-test="assign-send"
        >
          Assign
        </button>
        {row.assigneeId && (
          <button
            type="button"
            disabled={isRunning}
            onClick={() => void send((requestId) => tasks().unassignTask({ ...named, requestId }))}
            data-test="unassign-send"
          >
            To the pool
          </button>
        )}
      </div>
    </form>
  );
}

function Reasoned({
  row,
  kind,
  label,
  isRunning,
  send,
}: Sending & { kind: "cancel" | "reopen"; label: string }) {
  const [reason, setReason] = useState("");
  const [cascade, setCascade] = useState(true);
  const named = { taskId: row.taskId, etag: row.etag, reason };
  return (
    <form
      class="fields"
      onSubmit={(event) => {
        event.preventDefault();
        void send((requestId) =>
          kind === "cancel"
            ? tasks().cancelTask({ ...named, cascade, requestId })
            : tasks().reopenTask({ ...named, requestId }),
        );
      }}
    >
      <label>
        Why <span class="faint">(for those who are told; may be empty)</span>
        <input
          autofocus
          maxLength={4_096}
          value={reason}
          onInput={(event) => setReason(event.currentTarget.value)}
          data-test={`${kind}-reason`}
        />
      </label>
      {kind === "cancel" && (
        <label class="check">
          <input
            type="checkbox"
            checked={cascade}
            onChange={(event) => setCascade(event.currentTarget.checked)}
            data-test="cancel-cascade"
          />{" "}
          its parts too
        </label>
      )}
      <div class="buttons">
        <button
          type="submit"
          class={kind === "cancel" ? "main danger" : "main"}
          disabled={isRunning}
          data-test={`${kind}-send`}
        >
          {label}
        </button>
      </div>
    </form>
  );
}
