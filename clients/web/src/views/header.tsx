/** The head of the page: where one is, the search, the state of the stream, the time zone, who one is. */
import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { link } from "../data/link.js";
import { needed } from "../data/needs.js";
import { go, href, route, type View } from "../data/route.js";
import { leave, session } from "../data/session.js";
import { current } from "../data/team.js";
import { compact } from "../lib/text.js";
import { zone } from "../lib/time.js";
import { Icon, Mark } from "../parts/icons.js";
import { T } from "../parts/text.js";
import { isHelpOpen } from "./help.js";
import { isWriting } from "./compose.js";

const STATES = {
  connecting: { text: "connecting", title: "The stream of events is being opened." },
  live: { text: "live", title: "Every change is shown as it happens." },
  reconnecting: {
    text: "reconnecting",
    title: "The stream is lost: what is shown may be old. It resumes where it ended.",
  },
};

export function Header() {
  const { agentId = "", role = "", teamId = "" } = session.value ?? {};
  const state = STATES[link.value];
  const unread = Number(current().agents.get(agentId)?.unacknowledgedCount ?? 0n);
  return (
    <header class="top">
      <a class="brand" href={href({ view: "now", taskId: "" })}>
        <Mark /> <span class="hidden">Dovetail, team</span>{" "}
        <span>{teamId ? <T text={teamId} most={40} /> : "Dovetail"}</span>
      </a>
      <nav aria-label="Views">
        <Tab view="now">
          Now{needed.value > 0 && <span class="count num">{compact(needed.value)}</span>}
        </Tab>
        <Tab view="tasks">Tasks</Tab>
        {role !== "observer" && (
          <Tab view="inbox">
            Inbox{unread > 0 && <span class="count num">{compact(unread)}</span>}
          </Tab>
        )}
      </nav>
      <SearchBox />
      <span
        class={`link ${link.value}`}
        role="status"
        data-test="connection"
        data-state={link.value}
        title={state.title}
      >
        {state.text}
      </span>
      <span class="zone faint" title="The time zone of all times here" data-test="zone">
        {zone()}
      </span>
      {role !== "observer" && agentId && (
        <button
          type="button"
          class="bare"
          aria-label="Write a message"
          title="Write a message"
          data-test="compose"
          onClick={() => (isWriting.value = {})}
        >
          <Icon name="write" />
        </button>
      )}
      <Theme />
      <button
        type="button"
        class="bare keys-button"
        aria-label="Keys"
        title="Keys (?)"
        onClick={() => (isHelpOpen.value = true)}
      >
        ?
      </button>
      <button
        type="button"
        class="me-button"
        title={`Sign out (${role})`}
        onClick={() => leave()}
        data-test="leave"
      >
        {agentId ? <T text={agentId} most={24} /> : role} <span class="faint">sign out</span>
      </button>
    </header>
  );
}

function Tab({ view, children }: { view: View; children: ComponentChildren }) {
  const isHere = route.value.view === view;
  return (
    <a
      href={href({ view, taskId: "" })}
      aria-current={isHere ? "page" : undefined}
      data-test={`tab-${view}`}
    >
      {children}
    </a>
  );
}

function SearchBox() {
  const { view, subject } = route.value;
  const [text, setText] = useState(view === "search" ? subject : "");
  useEffect(() => setText(view === "search" ? subject : ""), [view, subject]);
  return (
    <form
      class="search"
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        if (text.trim()) go({ view: "search", subject: text.trim(), taskId: "" });
      }}
    >
      <Icon name="search" />
      <input
        id="search"
        type="search"
        aria-label="Search tasks and messages"
        placeholder="Search  /"
        maxLength={256}
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
        data-test="search"
      />
    </form>
  );
}

/** Light, dark, or as the system says; kept in this browser. */
const theme = signal(localStorage.getItem("dovetail-theme") ?? "");

export function applyTheme(): void {
  if (theme.value) document.documentElement.dataset.theme = theme.value;
  else delete document.documentElement.dataset.theme;
}

function Theme() {
  const isDark = theme.value
    ? theme.value === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  const other = isDark ? "light" : "dark";
  return (
    <button
      type="button"
      class="bare"
      aria-label={`Change to ${other}`}
      title={`Change to ${other}`}
      data-test="theme"
      onClick={() => {
        theme.value = other;
        localStorage.setItem("dovetail-theme", other);
        applyTheme();
      }}
    >
      <Icon name={isDark ? "light" : "dark"} />
    </button>
  );
}
