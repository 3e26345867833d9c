/** The whole page: the door, or the head with one view, and a task beside it. */
import { useEffect } from "preact/hooks";
import { follow } from "../data/live.js";
import { needed, needs } from "../data/needs.js";
import { link } from "../data/link.js";
import { route } from "../data/route.js";
import { config, session } from "../data/session.js";
import { counted } from "../lib/text.js";
import { Compose } from "./compose.js";
import { Header } from "./header.js";
import { Help } from "./help.js";
import { Inbox } from "./inbox.js";
import { Login } from "./login.js";
import { Now } from "./now.js";
import { Search } from "./search.js";
import { TaskPanel } from "./task.js";
import { Tasks } from "./tasks.js";
import { Thread } from "./thread.js";

export function App() {
  if (!config.value)
    return (
      <main class="door">
        <p class="faint">One moment.</p>
      </main>
    );
  return session.value ? <Inside /> : <Login />;
}

function Inside() {
  const here = session.value;
  useEffect(() => {
    if (!here) return undefined;
    const ending = new AbortController();
    void follow(here, ending.signal);
    return () => ending.abort();
  }, [here]);
  const { view, subject, taskId } = route.value;
  return (
    <>
      <a class="skip" href="#main" onClick={skip}>
        To the content
      </a>
      <Header />
      <div class={taskId ? "frame with-panel" : "frame"}>
        <main id="main" tabIndex={-1}>
          {view === "now" && <Now />}
          {view === "tasks" && <Tasks key={subject} state={subject} />}
          {view === "inbox" && <Inbox key={subject} agentId={subject || (here?.agentId ?? "")} />}
          {view === "thread" && <Thread key={subject} threadId={subject} />}
          {view === "search" && <Search key={subject} query={subject} />}
        </main>
        {taskId && <TaskPanel key={taskId} taskId={taskId} />}
      </div>
      <Said />
      <Compose />
      <Help />
    </>
  );
}

function skip(event: Event): void {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

/** What a screen reader is told: that a question waits, and that the stream is lost. */
function Said() {
  const asked = needs.value.mine.length;
  useEffect(() => {
    document.title = needed.value ? `(${needed.value}) Dovetail` : "Dovetail";
  }, [needed.value]);
  return (
    <div class="hidden" aria-live="polite" data-test="said">
      {link.value === "reconnecting" ? "The stream is lost, reconnecting. " : ""}
      {asked ? `${counted(asked, "question")} to you. ` : ""}
    </div>
  );
}
