/** Both services, as one agent calls them. */
import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { type Caller, careful } from "./calls.js";
import { Claimed } from "./claims.js";
import { AdminService } from "./generated/dovetail/admin/v1/admin_pb.js";
import {
  type Delivery,
  MessagingService,
  type SendMessageRequestSchema,
  StreamMark,
  type SubscribeInboxRequestSchema,
  type SubscribeInboxResponse,
} from "./generated/dovetail/messaging/v1/messaging_pb.js";
import {
  type ClaimTaskRequestSchema,
  type TaskEvent,
  TaskService,
  type WatchTasksRequestSchema,
  type WatchTasksResponse,
} from "./generated/dovetail/tasks/v1/tasks_pb.js";
import type { Init } from "./init.js";
import { follow, type Source } from "./streams.js";

const LEASE_SECONDS = 60;

/** How a stream is followed. */
export interface Following {
  /** Resume after this cursor: the sequence of a receipt, or the number of an event. */
  readonly after?: bigint;
  /** End with what is there now. */
  readonly untilCaughtUp?: boolean;
  /** Ends the stream. */
  readonly signal?: AbortSignal;
}

/** The generated stubs as they are: no ids, no deadlines, no repeats. */
export interface Raw {
  readonly messaging: Client<typeof MessagingService>;
  readonly tasks: Client<typeof TaskService>;
  readonly admin: Client<typeof AdminService>;
}

/**
 * Both services. The stubs `messaging`, `tasks` and `admin` have all calls of the contract: each has
 * a deadline and a request id, is repeated until its outcome is known, and throws DovetailError.
 */
export class Dovetail {
  readonly messaging: Client<typeof MessagingService>;
  readonly tasks: Client<typeof TaskService>;
  readonly admin: Client<typeof AdminService>;
  readonly raw: Raw;
  readonly #close: () => void;

  /** Call through these transports. */
  constructor(
    caller: Caller,
    transports: { messaging: Transport; tasks: Transport },
    close: () => void = () => undefined,
  ) {
    this.raw = {
      messaging: createClient(MessagingService, transports.messaging),
      tasks: createClient(TaskService, transports.tasks),
      admin: createClient(AdminService, transports.messaging),
    };
    this.messaging = careful(MessagingService, transports.messaging, caller);
    this.tasks = careful(TaskService, transports.tasks, caller);
    this.admin = careful(AdminService, transports.messaging, caller);
    this.#close = close;
  }

  /** Send a text to agents; answers the id of the message. */
  async send(
    to: string | readonly string[],
    body: string,
    more: Init<typeof SendMessageRequestSchema> = {},
  ): Promise<string> {
    const recipientIds = typeof to === "string" ? [to] : [...to];
    return (await this.messaging.sendMessage({ ...more, recipientIds, body })).messageId;
  }

  /** Say that these deliveries are done with. */
  async acknowledge(...sequences: bigint[]): Promise<void> {
    await this.messaging.acknowledgeMessages({ sequences });
  }

  /**
   * Every delivery of the caller's inbox, in order, across restarts of servers; without `after` from
   * the beginning, what is not acknowledged. Registers the caller: reading alone does not.
   */
  async *inbox(
    following: Following = {},
    wish: Init<typeof SubscribeInboxRequestSchema> = {},
  ): AsyncGenerator<Delivery> {
    if (!wish.agentId) await this.messaging.registerAgent({});
    const source: Source<SubscribeInboxResponse> = {
      open: (cursor, signal) => {
        const start = cursor !== undefined && { case: "afterSequence" as const, value: cursor };
        return this.raw.messaging.subscribeInbox({ ...wish, ...(start && { start }) }, { signal });
      },
      cursor: (response) => response.throughSequence,
    };
    for await (const response of follow(source, following.after, following.signal)) {
      yield* response.deliveries;
      if (following.untilCaughtUp && response.mark === StreamMark.CAUGHT_UP) return;
    }
  }

  /** Every event of the team's tasks, in order, across restarts of servers. */
  async *watch(
    following: Following = {},
    wish: Init<typeof WatchTasksRequestSchema> = {},
  ): AsyncGenerator<TaskEvent> {
    const source: Source<WatchTasksResponse> = {
      open: (cursor, signal) => {
        const start = cursor !== undefined && { case: "afterEvent" as const, value: cursor };
        return this.raw.tasks.watchTasks({ ...wish, ...(start && { start }) }, { signal });
      },
      cursor: (response) => response.throughEvent,
    };
    for await (const response of follow(source, following.after, following.signal)) {
      yield* response.events;
      if (following.untilCaughtUp && response.mark === StreamMark.CAUGHT_UP) return;
    }
  }

  /**
   * Claim a task, under a lease that is kept until the work on it ends; undefined: none was ready
   * within `maxWait`, by default at once.
   */
  async claim(
    more: Omit<Init<typeof ClaimTaskRequestSchema>, "maxTasks" | "leaseDuration"> = {},
    leaseSeconds = LEASE_SECONDS,
  ): Promise<Claimed | undefined> {
    const leaseDuration = {
      seconds: BigInt(Math.floor(leaseSeconds)),
      nanos: Math.round((leaseSeconds % 1) * 1e9),
    };
    const claimed = (await this.tasks.claimTask({ ...more, maxTasks: 1, leaseDuration })).tasks[0];
    return claimed && new Claimed(claimed, this.tasks, this.raw.tasks, leaseSeconds * 1_000);
  }

  /** Close the connections. Streams that are open end. */
  close(): void {
    this.#close();
  }
}
