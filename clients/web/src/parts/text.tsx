/** Texts of others: text nodes alone, each in a direction of its own. */
import { useState } from "preact/hooks";
import { cut, line, number, visible } from "../lib/text.js";

/** On one line. */
export function T({ text, most = 300, title }: { text: string; most?: number; title?: boolean }) {
  return (
    <bdi class="t" title={title ? line(text, 1_000) : undefined}>
      {line(text, most)}
    </bdi>
  );
}

const FIRST = 1_200;
const STEP = 16_000;

/** At length, with its lines; what is long is cut, and more of it shown on demand. */
export function Long({ text, first = FIRST }: { text: string; first?: number }) {
  const [shown, setShown] = useState(first);
  const part = cut(text, shown);
  const rest = text.length - part.length;
  return (
    <div class="long">
      <bdi class="long-text">{visible(part)}</bdi>
      {rest > 0 && (
        <button type="button" class="quiet" onClick={() => setShown(shown + STEP)}>
          show more ({number(rest)} characters)
        </button>
      )}
    </div>
  );
}

/** An excerpt of a search, with what was found in it; ranges count code points. */
export function Excerpt({
  text,
  matches,
}: {
  text: string;
  matches: readonly { start: number; end: number }[];
}) {
  const points = [...text];
  const parts = [];
  let at = 0;
  for (const { start, end } of matches) {
    parts.push(visible(points.slice(at, start).join("")));
    parts.push(<mark>{visible(points.slice(start, end).join(""))}</mark>);
    at = end;
  }
  parts.push(visible(points.slice(at).join("")));
  return <bdi class="excerpt">{parts}</bdi>;
}
