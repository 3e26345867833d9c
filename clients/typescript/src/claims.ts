/** A claimed task: its lease is kept while the work goes on. */
import type { DescMessage } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import { whole } from "./calls.js";
import { type DovetailError, failure } from "./errors.js";
import type {
  ClaimedTask,
  CompleteTaskRequestSchema,
  FailTaskRequestSchema,
  ReleaseTaskRequestSchema,
  RequestTaskInputRequestSchema,
  Task,
  TaskResultSchema,
  TaskService,
} from "./generated/dovetail/tasks/v1/tasks_pb.js";
import type { Init } from "./init.js";

/** Heartbeats in the time of one lease. */
const BEATS = 3;

/** Why a task is another's, or nobody's. */
const OVER = ["LEASE_LOST", "TASK_NOT_FOUND"];

/** What a request about the task may say besides what the claim knows. */
type Rest<Schema extends DescMessage> = Omit<Init<Schema>, "taskId" | "leaseToken">;

/**
 * A task that this program holds. `signal` ends with the lease: stop working on the task then, since
 * another agent may have it. Its reason is the server's error, LEASE_LOST for example, or a
 * TimeoutError if no server was reached for the length of the lease.
 */
export class Claimed {
  readonly task: Task;
  readonly leaseToken: string;
  readonly #tasks: Client<typeof TaskService>;
  readonly #raw: Client<typeof TaskService>;
  readonly #leaseMs: number;
  readonly #lost = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** When the lease began anew for the last time, or before, by `performance.now()`. */
  #begun = performance.now();

  /** Keep the lease from now on. */
  constructor(
    claimed: ClaimedTask,
    tasks: Client<typeof TaskService>,
    raw: Client<typeof TaskService>,
    leaseMs: number,
  ) {
    if (!claimed.task) throw new TypeError("a claim without a task");
    this.task = claimed.task;
    this.leaseToken = claimed.leaseToken;
    this.#tasks = tasks;
    this.#raw = raw;
    this.#leaseMs = leaseMs;
    this.#schedule(leaseMs / BEATS);
  }

  /** Ends with the lease. */
  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  /** Complete the task with a result, or one line of it. */
  async complete(
    result: string | Init<typeof TaskResultSchema> = "",
    more: Rest<typeof CompleteTaskRequestSchema> = {},
  ): Promise<Task | undefined> {
    const said = typeof result === "string" ? { summary: result } : result;
    const request = { ...more, ...this.#named, result: said };
    return (await this.#ended(this.#tasks.completeTask(request))).task;
  }

  /** Fail the attempt: with `retryable`, as is usual, the task is tried again. */
  async fail(
    message: string,
    retryable = true,
    more: Rest<typeof FailTaskRequestSchema> = {},
  ): Promise<Task | undefined> {
    const request = { ...more, ...this.#named, failure: { message, retryable } };
    return (await this.#ended(this.#tasks.failTask(request))).task;
  }

  /** Give the task back, to whoever claims it next. */
  async release(
    reason = "",
    more: Rest<typeof ReleaseTaskRequestSchema> = {},
  ): Promise<Task | undefined> {
    const request = { ...more, ...this.#named, reason };
    return (await this.#ended(this.#tasks.releaseTask(request))).task;
  }

  /** Ask an agent, by default the creator. The lease goes on while the answer is waited for. */
  async ask(
    text: string,
    more: Rest<typeof RequestTaskInputRequestSchema> = {},
  ): Promise<Task | undefined> {
    return (await this.#tasks.requestTaskInput({ ...more, ...this.#named, text })).task;
  }

  /** Say how far the work is. */
  async progress(percent: number, note = ""): Promise<void> {
    await this.#tasks.heartbeatTask({ ...this.#named, progress: { percent, note } });
  }

  /** Stop keeping the lease, without a word to the server: it ends by itself. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  get #named() {
    return { taskId: this.task.taskId, leaseToken: this.leaseToken };
  }

  async #ended<Response>(call: Promise<Response>): Promise<Response> {
    try {
      const response = await call;
      this.stop();
      return response;
    } catch (reason) {
      const error = failure(reason);
      if (OVER.includes(error.reason)) this.#lose(error);
      throw error;
    }
  }

  #schedule(ms: number): void {
    this.#timer = setTimeout(() => void this.#beat(), ms);
  }

  async #beat(): Promise<void> {
    const sent = performance.now();
    const left = this.#begun + this.#leaseMs - sent;
    if (left <= 0) {
      this.#lose(new DOMException("no server was reached for a whole lease", "TimeoutError"));
      return;
    }
    try {
      await this.#raw.heartbeatTask(this.#named, { timeoutMs: whole(left) });
      this.#begun = sent;
    } catch (reason) {
      const error = failure(reason);
      if (!error.isPassing) {
        this.#lose(error);
        return;
      }
    }
    if (!this.#timer) return; // It was ended meanwhile.
    const rest = this.#begun + this.#leaseMs - performance.now();
    this.#schedule(Math.max(0, Math.min(rest, this.#leaseMs / BEATS)));
  }

  #lose(reason: DovetailError | DOMException): void {
    this.stop();
    this.#lost.abort(reason);
  }
}
