/** A long list of rows of one height, of which only those in sight are on the page. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

const SPARE = 8;

interface Props<Item> {
  readonly items: readonly Item[];
  readonly rowHeight: number;
  readonly label: string;
  readonly name: string;
  readonly children: (item: Item, index: number) => ComponentChildren;
  /** Called when the end comes in sight. */
  readonly onEnd?: () => void;
}

export function Windowed<Item>({ items, rowHeight, label, name, children, onEnd }: Props<Item>) {
  const box = useRef<HTMLDivElement>(null);
  const [range, setRange] = useState({ begin: 0, end: 40 });
  const update = () => {
    const element = box.current;
    if (!element) return;
    const begin = Math.max(0, Math.floor(element.scrollTop / rowHeight) - SPARE);
    const end = Math.ceil((element.scrollTop + element.clientHeight) / rowHeight) + SPARE;
    if (begin !== range.begin || end !== range.end) setRange({ begin, end });
    if (onEnd && end >= items.length) onEnd();
  };
  useEffect(update);
  useEffect(() => {
    const observer = new ResizeObserver(update);
    if (box.current) observer.observe(box.current);
    return () => observer.disconnect();
  }, []);
  const begin = Math.min(range.begin, Math.max(0, items.length - 1));
  return (
    <div
      ref={box}
      class={`windowed ${name}`}
      role="list"
      aria-label={label}
      tabIndex={0}
      onScroll={update}
    >
      <div class="windowed-space" style={{ height: `${items.length * rowHeight}px` }}>
        {items.slice(begin, range.end).map((item, index) => (
          <div
            key={begin + index}
            class="windowed-row"
            role="listitem"
            aria-setsize={items.length}
            aria-posinset={begin + index + 1}
            style={{
              top: `${(begin + index) * rowHeight}px`,
              height: `${rowHeight}px`,
            }}
          >
            {children(item, begin + index)}
          </div>
        ))}
      </div>
    </div>
  );
}
