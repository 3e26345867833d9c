/** Times: how long ago in short, the moment itself on demand. */
import { age, clock, full, length, now } from "../lib/time.js";

function iso(ms: number): string {
  return new Date(ms).toISOString();
}

/** How long ago; follows the clock. */
export function Ago({ at, suffix = " ago" }: { at: number; suffix?: string }) {
  const passed = now.value - at;
  return (
    <time dateTime={iso(at)} title={full(at)} class="num">
      {passed < 1_500 && suffix === " ago" ? "just now" : `${age(passed)}${suffix}`}
    </time>
  );
}

/** The moment. */
export function At({ at, exact = false }: { at: number; exact?: boolean }) {
  return (
    <time dateTime={iso(at)} title={full(at)} class="num">
      {clock(at, exact)}
    </time>
  );
}

/** How long until then; said when it has passed. */
export function Until({ at }: { at: number }) {
  const left = at - now.value;
  return (
    <time dateTime={iso(at)} title={full(at)} class="num">
      {left > 0 ? `${length(Math.ceil(left / 1_000) * 1_000)} left` : "now"}
    </time>
  );
}
