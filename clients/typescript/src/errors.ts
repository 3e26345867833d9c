/**
 * The one error of a call.
 *
 * Only an error with ErrorInfo of `dovetail.dev` was made by a Dovetail server. Any other was made by
 * a library or by something in between, whatever its status: its outcome is unknown.
 */
import { Code, ConnectError } from "@connectrpc/connect";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from "./generated/google/rpc/error_details_pb.js";

const DOMAIN = "dovetail.dev";

/** One wrong field of a request, and what would be right. */
export interface FieldViolation {
  readonly field: string;
  readonly description: string;
}

/** A call failed. Its message is the server's; the fields are for programs. */
export class DovetailError extends Error {
  override readonly name = "DovetailError";

  /** The status, as gRPC numbers it. */
  readonly code: Code;
  /** Why, as docs/reference/errors.md lists it; empty: no Dovetail server made the error. */
  readonly reason: string;
  /** "nothing": nothing was written. "unknown": repeat the call with the same `requestId`. */
  readonly outcome: "nothing" | "unknown";
  /** What the reason tells besides, the nearest known agents for example. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The fields that were wrong, ten at most. */
  readonly violations: readonly FieldViolation[];
  /** How long the server asks to wait before a repeat, in milliseconds; 0: it does not say. */
  readonly retryAfterMs: number;

  /** Make one of an error of Connect. */
  constructor(cause: ConnectError) {
    super(cause.rawMessage, { cause });
    const info = cause.findDetails(ErrorInfoSchema).find((each) => each.domain === DOMAIN);
    const delay = info && cause.findDetails(RetryInfoSchema)[0]?.retryDelay;
    this.code = cause.code;
    this.reason = info?.reason ?? "";
    this.metadata = info?.metadata ?? {};
    const wrong = info ? cause.findDetails(BadRequestSchema) : [];
    this.violations = wrong
      .flatMap((each) => each.fieldViolations)
      .map(({ field, description }) => ({ field, description }));
    this.retryAfterMs = delay ? Number(delay.seconds) * 1_000 + delay.nanos / 1e6 : 0;
    const known = info && this.code !== Code.Unavailable && this.code !== Code.Internal;
    this.outcome = known ? "nothing" : "unknown";
  }

  /** Whether the same call may succeed if it is repeated unchanged. */
  get isPassing(): boolean {
    return !this.reason || this.code === Code.Unavailable;
  }
}

/** An error of a call as ours; throws anything else, a mistake in the program for example. */
export function failure(reason: unknown): DovetailError {
  if (reason instanceof DovetailError) return reason;
  if (reason instanceof ConnectError) return new DovetailError(reason);
  throw reason;
}
