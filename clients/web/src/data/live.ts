/** The page's one stream: its events say what to read again, at most once a second. */
import { DovetailError } from "@client/errors.js";
import { TaskVerb } from "@client/generated/dovetail/types/v1/types_pb.js";
import { sleep } from "@client/retry.js";
import { batch, signal } from "@preact/signals";
import { HOUR, SECOND } from "../lib/time.js";
import { heartbeat, link } from "./link.js";
import { asError, longer, RETRY_MOST_MS, RETRY_MS } from "./retries.js";
import * as loads from "./loads.js";
import { type EventRow, eventRow } from "./rows.js";
import { leave, type Session } from "./session.js";
import { published, Team, team } from "./team.js";

/** One read, and how long it rests after it. */
interface Slice {
  readonly name: string;
  readonly restMs: number;
  load(session: Session, team: Team): Promise<void>;
}

const FIRST: Slice[] = [
  { name: "tasks", restMs: SECOND, load: loads.loadChangedTasks },
  { name: "agents", restMs: 2 * SECOND, load: loads.loadAgents },
  { name: "events", restMs: HOUR, load: loads.loadEvents },
  { name: "report", restMs: 3 * SECOND, load: loads.loadReport },
];
const THEN: Slice[] = [
  { name: "messages", restMs: 2 * SECOND, load: loads.loadTalk },
  { name: "unread", restMs: 10 * SECOND, load: loads.loadUnread },
  { name: "hour", restMs: 10 * SECOND, load: loads.loadHour },
  { name: "today", restMs: 30 * SECOND, load: loads.loadToday },
];
const SLICES = [...FIRST, ...THEN];
const EACH_MS = SECOND;
/** More events than this do not wait to be applied: then everything is read again. */
const EVENTS_MAX = 4_000;
/** Agents and messages of a large team are read less often. */
const MANY_AGENTS = 300;
const MANY_FACTOR = 4;

type Listener = (events: readonly EventRow[]) => void;
const listeners = new Set<Listener>();

/** Be told of events, while the page can be seen; returns what ends it. */
export function onEvents(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Moves on when events were lost: what follows by `onEvents` reads all again. */
export const anew = signal(0);

let poke: () => void = () => undefined;

/** Read again what this page itself may have changed. */
export function touch(): void {
  poke();
}

/** Follow the team until `signal` ends. */
export async function follow(session: Session, signal: AbortSignal): Promise<void> {
  const state = new Team();
  team.value = state;
  link.value = "connecting";
  const reading = { ...session, client: session.reader };
  const refresher = new Refresher(reading, state, signal);
  poke = () => refresher.want("tasks", "agents", "messages", "report");
  heartbeat.listener = () => refresher.want("agents", "messages", "unread");
  const seen = () => {
    if (document.hidden) return;
    document.title = document.title.replace(/^\u25cf /, "");
    refresher.want("tasks", "agents", "messages", "report", "unread");
  };
  document.addEventListener("visibilitychange", seen);
  signal.addEventListener("abort", () => document.removeEventListener("visibilitychange", seen));
  let pauseMs = 0;
  while (!signal.aborted) {
    const begin = performance.now();
    try {
      const after = await loads.cursor(reading);
      state.faults.delete("stream");
      refresher.again();
      for await (const event of session.client.watch({ after, signal }))
        refresher.take(eventRow(event));
    } catch (reason) {
      if (signal.aborted) return;
      const error = asError(reason);
      if (isEnd(error)) return leave(error.message);
      link.value = "reconnecting";
      state.faults.set("stream", error);
      published();
      pauseMs = performance.now() - begin > RETRY_MOST_MS ? RETRY_MS : longer(pauseMs);
      await sleep(pauseMs, signal);
    }
  }
}

/** Whether nothing more will be answered to this credential. */
function isEnd(error: Error): boolean {
  if (!(error instanceof DovetailError)) return false;
  return error.reason.startsWith("CREDENTIAL_") || error.reason === "AGENT_NOT_FOUND";
}

/** Collects what is to be read, and reads it when it is due. */
class Refresher {
  readonly #session: Session;
  readonly #team: Team;
  readonly #signal: AbortSignal;
  readonly #wanted = new Set<string>();
  readonly #begun = new Map<string, number>();
  /** How long what failed waits until it is tried again. */
  readonly #pauses = new Map<string, number>();
  #events: EventRow[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isRunning = false;
  /** Whether all is to be read whole, and whether what is known is to be forgotten before. */
  #isAnew = false;
  #isLost = false;

  constructor(session: Session, state: Team, signal: AbortSignal) {
    this.#session = session;
    this.#team = state;
    this.#signal = signal;
    signal.addEventListener("abort", () => clearTimeout(this.#timer));
    document.addEventListener("visibilitychange", () => this.#schedule(), { signal });
  }

  want(...names: string[]): void {
    for (const name of names) this.#wanted.add(name);
    this.#schedule();
  }

  /** Everything may have changed: read it whole, with the next run, as one may be on its way. */
  again(): void {
    this.#isAnew = true;
    this.want(...SLICES.map((each) => each.name));
  }

  #renew(): void {
    if (!this.#isAnew) return;
    for (const { name } of SLICES) {
      this.#wanted.add(name);
      this.#begun.delete(name);
      this.#pauses.delete(name);
    }
    this.#team.changesThrough = 0;
    if (this.#isLost) {
      this.#team.forget();
      anew.value += 1;
    }
    this.#isAnew = this.#isLost = false;
  }

  take(event: EventRow): void {
    if (
      document.hidden &&
      event.verb === TaskVerb.REQUEST_INPUT &&
      !document.title.startsWith("\u25cf")
    ) {
      document.title = `\u25cf ${document.title}`;
    }
    if (this.#isLost) return;
    this.#events.push(event);
    if (this.#events.length > EVENTS_MAX) {
      this.#events = [];
      this.#isLost = true;
      return this.again();
    }
    if (event.verb !== TaskVerb.HEARTBEAT)
      this.#wanted.add("tasks").add("report").add("hour").add("messages");
    this.#wanted.add("agents").add("today").add("unread");
    this.#schedule();
  }

  #due(slice: Slice): number {
    const large = this.#team.agents.size > MANY_AGENTS && slice.name !== "tasks";
    const restMs = slice.restMs * (large ? MANY_FACTOR : 1);
    return (this.#begun.get(slice.name) ?? -HOUR) + (this.#pauses.get(slice.name) ?? restMs);
  }

  #schedule(): void {
    if (this.#isRunning || this.#signal.aborted || document.hidden) return;
    const due = SLICES.filter((each) => this.#wanted.has(each.name)).map((each) => this.#due(each));
    if (this.#events.length) due.push(0);
    if (!due.length) return;
    clearTimeout(this.#timer);
    const rest = this.#pauses.get("any") ?? EACH_MS;
    const wait =
      Math.max(Math.min(...due), (this.#begun.get("any") ?? -HOUR) + rest) - performance.now();
    this.#timer = setTimeout(() => void this.#run(), Math.max(0, wait));
  }

  async #run(): Promise<void> {
    const begin = performance.now();
    this.#renew();
    const isFirst = !this.#team.loaded.size;
    this.#isRunning = true;
    this.#begun.set("any", begin);
    const chosen = SLICES.filter(
      (each) => this.#wanted.has(each.name) && this.#due(each) <= begin + 5,
    );
    const events = this.#events;
    this.#events = [];
    try {
      await this.#load(
        chosen.filter((each) => FIRST.includes(each)),
        begin,
      );
      this.#apply(events);
      const spent = events.filter((each) => each.verb === TaskVerb.SPEND_BUDGET);
      await loads.loadEach(
        this.#session,
        this.#team,
        spent.map((each) => each.taskId),
      );
      if (isFirst) this.#publish(events);
      await this.#load(
        chosen.filter((each) => THEN.includes(each)),
        begin,
      );
      this.#publish(events);
      this.#pauses.delete("any");
    } catch (reason) {
      this.#failed(asError(reason));
    } finally {
      this.#isRunning = false;
      this.#schedule();
    }
  }

  /** A mistake of the page itself, with which events may have been lost: it is said, and all read again. */
  #failed(error: Error): void {
    this.#team.faults.set("page", error);
    this.#retry("any");
    this.again();
    queueMicrotask(published);
  }

  async #load(slices: readonly Slice[], begin: number): Promise<void> {
    await Promise.all(
      slices.map(async (slice) => {
        const { name } = slice;
        this.#wanted.delete(name);
        this.#begun.set(name, begin);
        try {
          await slice.load(this.#session, this.#team);
          this.#team.loaded.add(name);
          // Whose mail waits is asked of the agents that are known.
          if (this.#team.faults.delete(name) && name === "agents") this.#wanted.add("unread");
          this.#pauses.delete(name);
        } catch (reason) {
          this.#team.faults.set(name, asError(reason));
          this.#retry(name);
        }
      }),
    );
  }

  /** Want what failed once more, after a pause from now on. */
  #retry(name: string): void {
    this.#pauses.set(name, longer(this.#pauses.get(name)));
    this.#begun.set(name, performance.now());
    this.#wanted.add(name);
  }

  #apply(events: readonly EventRow[]): void {
    const last = this.#team.events.items.at(-1)?.number ?? 0n;
    this.#team.events.push(
      ...events.filter((each) => each.number > last && each.verb !== TaskVerb.HEARTBEAT),
    );
    const begin = Date.now() - 24 * HOUR;
    this.#team.events.keep((each) => each.time > begin);
    for (const event of events) this.#applyOne(event);
    this.#team.prune();
  }

  #applyOne(event: EventRow): void {
    if (event.verb === TaskVerb.DELETE) this.#team.tasks.delete(event.taskId);
    if (event.verb !== TaskVerb.HEARTBEAT) return;
    this.#team.progressTimes.set(event.taskId, event.time);
    const row = this.#team.tasks.get(event.taskId);
    if (!row) return;
    const { percent = row.percent, note = row.note } = event;
    this.#team.tasks.set(event.taskId, { ...row, percent, note });
  }

  #publish(events: readonly EventRow[]): void {
    if (this.#signal.aborted) return;
    this.#team.faults.delete("page");
    batch(() => {
      published();
      if (events.length) for (const listener of listeners) listener(events);
    });
  }
}
