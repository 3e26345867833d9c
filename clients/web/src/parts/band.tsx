/** A band of the page, and lists in it that begin short. */
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { number } from "../lib/text.js";

export function Band(props: {
  id: string;
  title: string;
  count?: number;
  children: ComponentChildren;
  aside?: ComponentChildren;
}) {
  const { id, title, count, children, aside } = props;
  return (
    <section class="band" id={id} data-test={`band-${id}`} aria-labelledby={`${id}-title`}>
      <header class="band-head">
        <h2 id={`${id}-title`}>
          {title}
          {count !== undefined && count > 0 && <span class="count num">{number(count)}</span>}
        </h2>
        {aside}
      </header>
      {children}
    </section>
  );
}

/** What is shown where there is nothing: a sentence. */
export function Nothing({ children }: { children: ComponentChildren }) {
  return <p class="nothing">{children}</p>;
}

/** A group of a band: a heading and its items, the first few of them until more are asked for. */
export function Some<Item>(props: {
  title: string;
  items: readonly Item[];
  first?: number;
  hint?: ComponentChildren;
  children: (item: Item) => ComponentChildren;
}) {
  const { title, items, first = 5, hint, children } = props;
  const [shown, setShown] = useState(first);
  if (!items.length) return null;
  const rest = items.length - shown;
  return (
    <section class="some">
      <h3>
        {title} <span class="faint num">{number(items.length)}</span>
        {hint && <span class="hint">{hint}</span>}
      </h3>
      <ul class="plain">{items.slice(0, shown).map(children)}</ul>
      {rest > 0 && (
        <button type="button" class="quiet" onClick={() => setShown(shown + 20)}>
          show more ({number(rest)})
        </button>
      )}
    </section>
  );
}
