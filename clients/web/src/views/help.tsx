/** The keys, and what listens to them. */
import { signal } from "@preact/signals";
import { closeTask, go, route } from "../data/route.js";
import { Dialog } from "../parts/dialog.js";

export const isHelpOpen = signal(false);

const KEYS = [
  ["j", "the next row"],
  ["k", "the row before"],
  ["Enter", "open the row"],
  ["/", "search"],
  ["Esc", "close what is open"],
  ["Ctrl Enter", "send what is written"],
  ["?", "these keys"],
];

export function Help() {
  if (!isHelpOpen.value) return null;
  return (
    <Dialog title="Keys" name="keys" onClose={() => (isHelpOpen.value = false)}>
      <dl class="keys">
        {KEYS.map(([key, said]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{said}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}

function isWritten(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement && target.matches("input, textarea, select, [contenteditable]")
  );
}

/** Move the focus to the next or the last row of what is shown. */
function move(step: number): void {
  const rows = [...document.querySelectorAll<HTMLElement>("[data-row]")].filter(
    (each) => each.offsetParent,
  );
  const at = rows.indexOf(document.activeElement as HTMLElement);
  const row =
    rows[
      at < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.max(0, Math.min(rows.length - 1, at + step))
    ];
  row?.focus();
  row?.scrollIntoView({ block: "nearest" });
}

function pressed(event: KeyboardEvent): void {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]"))
    return;
  if (event.key === "Escape") {
    if (isWritten(event.target)) (event.target as HTMLElement).blur();
    else if (route.value.taskId) closeTask();
    else if (route.value.view !== "now") go({ view: "now" });
    return;
  }
  if (isWritten(event.target)) return;
  const action = {
    j: () => move(1),
    k: () => move(-1),
    "?": () => (isHelpOpen.value = true),
    "/": focusSearch,
  }[event.key];
  if (!action) return;
  event.preventDefault();
  action();
}

function focusSearch(): void {
  document.querySelector<HTMLInputElement>("#search")?.select();
  document.querySelector<HTMLInputElement>("#search")?.focus();
}

export function listenToKeys(): void {
  addEventListener("keydown", pressed);
}
