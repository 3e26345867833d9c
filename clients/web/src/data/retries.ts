/** Trying again what failed. */
import { SECOND } from "../lib/time.js";

export const RETRY_MS = SECOND;
export const RETRY_MOST_MS = 30 * SECOND;

/** The pause after the last one: twice as long, but not endless. */
export function longer(lastMs = 0): number {
  return Math.min(Math.max(2 * lastMs, RETRY_MS), RETRY_MOST_MS);
}

/** What was thrown, as what can be shown. */
export function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}
