/** Which view is shown, and which task beside it: both stand in the address, after its `#`. */
import { signal } from "@preact/signals";

export type View = "now" | "tasks" | "inbox" | "thread" | "search";

export interface Route {
  readonly view: View;
  /** The agent of the inbox, the thread, the query, or the state of tasks. */
  readonly subject: string;
  /** The task whose panel is open; empty: none. */
  readonly taskId: string;
}

const VIEWS: readonly string[] = ["now", "tasks", "inbox", "thread", "search"];

export const route = signal<Route>(parsed(location.hash));

function parsed(hash: string): Route {
  const [path = "", task = ""] = hash.replace(/^#\/?/, "").split("?task=");
  const [view = "", ...rest] = path.split("/");
  return {
    view: (VIEWS.includes(view) ? view : "now") as View,
    subject: decoded(rest.join("/")),
    taskId: decoded(task),
  };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The address of a view. */
export function href(next: Partial<Route>): string {
  const { view, subject, taskId } = { ...route.value, subject: "", ...next };
  const path = subject ? `${view}/${encodeURIComponent(subject)}` : view;
  return `#/${path}${taskId ? `?task=${encodeURIComponent(taskId)}` : ""}`;
}

/** The address of the present view with a task beside it. */
export function taskHref(taskId: string): string {
  return href({ view: route.value.view, subject: route.value.subject, taskId });
}

export function go(next: Partial<Route>): void {
  location.hash = href(next);
}

export function openTask(taskId: string): void {
  location.hash = taskHref(taskId);
}

export function closeTask(): void {
  location.hash = taskHref("");
}

export function followAddress(): void {
  addEventListener("hashchange", () => (route.value = parsed(location.hash)));
}
