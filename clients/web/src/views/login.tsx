/** The door: a token where servers ask for one, else a name. */
import { useState } from "preact/hooks";
import { config, enter, notice } from "../data/session.js";
import { Fault } from "../parts/fault.js";
import { Mark } from "../parts/icons.js";

export function Login() {
  const { credentials, agent_id, team_id, version } = config.value ?? {};
  const [token, setToken] = useState("");
  const [agent, setAgent] = useState(agent_id ?? "");
  const [team, setTeam] = useState(team_id || "default");
  const [isRunning, setRunning] = useState(false);
  const [error, setError] = useState<Error | undefined>();
  const submit = async (event: Event) => {
    event.preventDefault();
    setRunning(true);
    setError(undefined);
    try {
      await enter(
        credentials
          ? { token: token.trim() }
          : { agent: agent.trim(), team: team.trim() || "default" },
      );
    } catch (reason) {
      setError(reason instanceof Error ? reason : new Error(String(reason)));
    }
    setRunning(false);
  };
  return (
    <main class="door">
      <form class="card" onSubmit={submit} data-test="login">
        <h1>
          <Mark /> Dovetail
        </h1>
        {notice.value && (
          <p class="fault" role="alert">
            {notice.value}
          </p>
        )}
        {credentials ? (
          <label>
            Your token
            <input
              type="password"
              autocomplete="off"
              required
              autofocus
              value={token}
              onInput={(event) => setToken(event.currentTarget.value)}
              data-test="login-token"
            />
            <span class="faint">It stays in this tab, and ends with it.</span>
          </label>
        ) : (
          <>
            <label>
              Your name
              <input
                autocomplete="off"
                required
                autofocus
                maxLength={128}
                value={agent}
                onInput={(event) => setAgent(event.currentTarget.value)}
                data-test="login-name"
              />
              <span class="faint">
                The agent as which you answer and send. A new name is registered as a person.
              </span>
            </label>
            <label>
              Team
              <input
                autocomplete="off"
                required
                maxLength={128}
                value={team}
                onInput={(event) => setTeam(event.currentTarget.value)}
                data-test="login-team"
              />
            </label>
          </>
        )}
        <Fault error={error} />
        <button type="submit" class="main" disabled={isRunning} data-test="login-send">
          {isRunning ? "One moment" : "Sign in"}
        </button>
        <p class="faint small">Dovetail {version}</p>
      </form>
    </main>
  );
}
