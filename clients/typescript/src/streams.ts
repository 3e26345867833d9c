/** Streams that go on after their cursor when a server was away. */
import { Code, ConnectError } from "@connectrpc/connect";
import { failure } from "./errors.js";
import { pauses } from "./retry.js";

/** A heartbeat comes after 30 s of silence: after this long without one the stream is opened anew. */
const SILENT_MS = 75_000;

/** How a stream is opened, and where its cursor is. */
export interface Source<Response> {
  /** Open it after a cursor; at the first time, where there is none, where the caller wants. */
  open(cursor: bigint | undefined, signal: AbortSignal): AsyncIterable<Response>;
  cursor(response: Response): bigint;
}

/**
 * Every response of a stream, in order, across restarts of servers. It ends when `signal` does.
 *
 * The cursor moves once the caller asks for the next response: what it had not finished comes again.
 * Throws DovetailError for what a repeat does not mend.
 */
export async function* follow<Response>(
  source: Source<Response>,
  begin: bigint | undefined,
  signal?: AbortSignal,
): AsyncGenerator<Response> {
  let cursor = begin;
  let pause = pauses();
  while (!signal?.aborted) {
    const silence = new Silence(signal);
    try {
      for await (const response of source.open(cursor, silence.signal)) {
        silence.pause();
        pause = pauses();
        yield response;
        cursor = source.cursor(response);
        silence.begin();
      }
      await pause(undefined, signal); // Something in between ended it: no error, and no hurry.
    } catch (reason) {
      if (signal?.aborted) return;
      const error = failure(reason);
      if (error.reason === "CURSOR_IN_FUTURE" && cursor !== undefined) {
        cursor = undefined; // The store is another one, or was restored from an older copy.
      } else if (!error.isPassing) {
        throw error;
      }
      await pause(error, signal);
    } finally {
      silence.end();
    }
  }
}

/** Ends a stream that has been silent for too long: its server, or the way to it, is gone. */
class Silence {
  readonly #controller = new AbortController();
  readonly #signal: AbortSignal | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(signal?: AbortSignal) {
    this.#signal = signal;
    signal?.addEventListener("abort", this.#abort);
    this.begin();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  begin(): void {
    this.pause();
    this.#timer = setTimeout(this.#abort, SILENT_MS);
  }

  /** While the caller works on a response nothing is read. */
  pause(): void {
    clearTimeout(this.#timer);
  }

  end(): void {
    this.pause();
    this.#signal?.removeEventListener("abort", this.#abort);
    this.#abort();
  }

  readonly #abort = () => this.#controller.abort(new ConnectError("silent", Code.Unavailable));
}
