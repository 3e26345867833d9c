/** A band of the page, and lists in it that begin short. */
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { current } from "../data/team.js";
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

/** What reads bring, where their names do not say it. */
const WORDS: Record<string, string> = {
  events: "what happened",
  unread: "mail that waits",
  hour: "the last hour",
  today: "what was used today",
};

/**
 * What is said where there may be nothing: that there is nothing only once all that tells it was read,
 * and that a part could not be read even where there is something.
 */
export function Empty(props: {
  reads: readonly string[];
  isEmpty: boolean;
  reading: string;
  children: ComponentChildren;
}) {
  const { reads, isEmpty, reading, children } = props;
  const { loaded, faults } = current();
  const failed = reads.filter((each) => faults.has(each));
  if (failed.length)
    return (
      <p class="unread" data-test="unread">
        Could not be read: {failed.map((each) => WORDS[each] ?? each).join(", ")}. Something may be
        missing here, or be old. It is tried again by itself.
      </p>
    );
  if (!isEmpty) return null;
  return <Nothing>{reads.every((each) => loaded.has(each)) ? children : reading}</Nothing>;
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
