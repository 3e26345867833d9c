/** Errors as people need them: the server's text, and what to do. */
import { DovetailError } from "@client/errors.js";
import { Code } from "@connectrpc/connect";
import { useRef, useState } from "preact/hooks";
import { line, visible } from "../lib/text.js";
import { touch } from "../data/live.js";

const ADVICE: Record<string, string> = {
  ETAG_MISMATCH: "It has changed meanwhile. It is shown again as it now is: look, and decide again.",
  ROLE_REFUSED: "Your role may not do this. Ask an operator of the team.",
  NOT_YOURS: "Your token may do this to its own alone. Ask an operator of the team.",
  TASK_STATE: "The task is in another state by now: look at it as it is shown.",
  TASK_NOT_FOUND: "The task is not there any more.",
  AGENT_NOT_FOUND: "Choose an agent that the team knows.",
  LOOP_SUSPECTED:
    "The server takes this for a loop of agents. A person's message is never refused for that.",
  INBOX_FULL: "Wait until the recipient has acknowledged some of its messages.",
  BUDGET_SPENT: "Raise the budget of the task, or of the one above it.",
  SEARCH_NOT_READY: "The index is being built. Try again in a moment.",
  CREDENTIAL_ENDED: "The token has ended. Sign out, and sign in with another one.",
};

/** What to do where a read failed: it has changed nothing, and needs no repeat by a person. */
export const READ_AGAIN = "It is read again by itself.";
export const READ_ONCE = "Nothing was changed. Open this again to read it once more.";

function advice(error: Error, ofRead: string): string {
  if (!(error instanceof DovetailError)) return ofRead;
  const known = ADVICE[error.reason];
  if (known) return known;
  if (ofRead) return ofRead;
  if (error.code === Code.InvalidArgument) return "Change what you entered, and send it again.";
  if (error.outcome === "unknown")
    return "It is not known whether it was done. To send it again is safe.";
  return "";
}

/** An error; `ofRead` says what to do where it is of a read. */
export function Fault({ error, ofRead = "" }: { error: Error | undefined; ofRead?: string }) {
  if (!error) return null;
  const said = advice(error, ofRead);
  const { reason = "", violations = [] } = error instanceof DovetailError ? error : {};
  return (
    <div class="fault" role="alert" data-test="fault" data-reason={reason}>
      <strong>{line(error.message, 600)}</strong>
      {violations.map(({ field, description }) => (
        <div key={field}>
          {visible(field)}: {line(description, 300)}
        </div>
      ))}
      {said && <div>{said}</div>}
    </div>
  );
}

/** A call that a person makes: one at a time, repeated under its id where the outcome is unknown. */
export interface Action {
  readonly isRunning: boolean;
  readonly error: Error | undefined;
  run(call: (requestId: string) => Promise<unknown>): Promise<boolean>;
  clear(): void;
}

export function useAction(): Action {
  const [isRunning, setRunning] = useState(false);
  const [error, setError] = useState<Error | undefined>();
  const requestId = useRef("");
  return {
    isRunning,
    error,
    clear: () => setError(undefined),
    run: async (call) => {
      if (isRunning) return false;
      requestId.current ||= crypto.randomUUID();
      setRunning(true);
      setError(undefined);
      try {
        await call(requestId.current);
        requestId.current = "";
        return true;
      } catch (reason) {
        if (!(reason instanceof Error)) throw reason;
        if (!(reason instanceof DovetailError && reason.outcome === "unknown"))
          requestId.current = "";
        setError(reason);
        return false;
      } finally {
        setRunning(false);
        touch();
      }
    },
  };
}
