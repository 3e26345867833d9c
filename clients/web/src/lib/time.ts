/** Times and durations, as people read them; in milliseconds since 1970. */
import type { Duration, Timestamp } from "@bufbuild/protobuf/wkt";
import { signal } from "@preact/signals";

export const SECOND = 1_000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** This moment, once a second while the page can be seen; what shows an age reads it. */
export const now = signal(Date.now());

/** Let `now` go on. */
export function startClock(): void {
  const tick = () => {
    if (!document.hidden) now.value = Date.now();
  };
  setInterval(tick, SECOND);
  document.addEventListener("visibilitychange", tick);
}

export function millis(time: Timestamp): number;
export function millis(time: Timestamp | undefined): number | undefined;
export function millis(time: Timestamp | undefined): number | undefined {
  return time && Number(time.seconds) * 1_000 + Math.floor(time.nanos / 1e6);
}

export function durationMs(duration: Duration | undefined): number | undefined {
  return duration && Number(duration.seconds) * 1_000 + duration.nanos / 1e6;
}

/** A moment as requests have it. */
export function timestamp(ms: number): { seconds: bigint; nanos: number } {
  return { seconds: BigInt(Math.floor(ms / 1_000)), nanos: Math.floor(ms % 1_000) * 1_000_000 };
}

/** How long: the two largest units at most. */
export function length(ms: number): string {
  const value = Math.max(0, ms);
  if (value < 995) return `${Math.round(value)} ms`;
  if (value < 9_950) return `${(value / SECOND).toFixed(1)} s`;
  if (value < MINUTE) return `${Math.round(value / SECOND)} s`;
  if (value < HOUR) return pair(value, MINUTE, "min", SECOND, "s", 10 * MINUTE);
  if (value < DAY) return pair(value, HOUR, "h", MINUTE, "min", DAY);
  return pair(value, DAY, "d", HOUR, "h", 10 * DAY);
}

function pair(
  value: number,
  large: number,
  name: string,
  small: number,
  rest: string,
  until: number,
): string {
  const whole = Math.floor(value / large);
  const parts = Math.floor((value - whole * large) / small);
  return parts && value < until ? `${whole} ${name} ${parts} ${rest}` : `${whole} ${name}`;
}

/** How long ago, in one unit: what changes seldom. */
export function age(ms: number): string {
  const value = Math.max(0, ms);
  if (value < MINUTE) return `${Math.floor(value / SECOND)} s`;
  if (value < HOUR) return `${Math.floor(value / MINUTE)} min`;
  if (value < 2 * DAY) return `${Math.floor(value / HOUR)} h`;
  return `${Math.floor(value / DAY)} d`;
}

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const EXACT = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});
const DATE = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const FULL = new Intl.DateTimeFormat("en-GB", {
  ...{ day: "numeric", month: "short", year: "numeric" },
  ...{ hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short" },
});

/** Hours and minutes; with the day if it is not today. */
export function clock(ms: number, exact = false): string {
  const time = (exact ? EXACT : CLOCK).format(ms);
  return new Date(ms).toDateString() === new Date().toDateString()
    ? time
    : `${DATE.format(ms)}, ${time}`;
}

/** A moment with its date and time zone. */
export function full(ms: number): string {
  return FULL.format(ms);
}

/** The time zone in which the page shows times. */
export function zone(): string {
  const name = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const minutes = -new Date().getTimezoneOffset();
  const sign = minutes < 0 ? "\u2212" : "+";
  const hours = Math.floor(Math.abs(minutes) / 60);
  const rest = Math.abs(minutes) % 60;
  return `${name} (UTC${sign}${hours}${rest ? `:${String(rest).padStart(2, "0")}` : ""})`;
}
