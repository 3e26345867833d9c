/** Pauses, and repeating a call until its outcome is known. */
import { type DovetailError, failure } from "./errors.js";

const FIRST_MS = 50;
const LONGEST_MS = 2_000;

/** Wait, but not beyond the end of `signal`. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done);
    if (signal?.aborted) done();
  });
}

/** Pauses: a twentieth of a second, twice as long each time, two seconds at most, each shortened. */
export function pauses(): (error?: DovetailError, signal?: AbortSignal) => Promise<void> {
  let length = FIRST_MS;
  return (error, signal) => {
    // Shortened at random, so that clients of a server that was away do not come back in step.
    const ms = Math.max(error?.retryAfterMs ?? 0, length * (0.5 + Math.random() / 2));
    length = Math.min(LONGEST_MS, length * 2);
    return sleep(ms, signal);
  };
}

/**
 * Make a call, and repeat it unchanged until its outcome is known, for `patienceMs` at most.
 *
 * Throws DovetailError for a call that was refused, or whose outcome is unknown at the end.
 */
export async function insist<Response>(
  call: () => Promise<Response>,
  patienceMs: number,
  signal?: AbortSignal,
): Promise<Response> {
  const pause = pauses();
  const end = performance.now() + patienceMs;
  for (;;) {
    try {
      return await call();
    } catch (reason) {
      const error = failure(reason);
      if (!error.isPassing || signal?.aborted || performance.now() >= end) throw error;
      await pause(error, signal);
    }
  }
}
