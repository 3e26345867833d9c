/** Messages as mail: an inbox and a thread, page by page, with what comes while they are read. */
import {
  type Delivery,
  Importance,
  type Message,
  MessageKind,
  type MessageRecord,
} from "@client/generated/dovetail/messaging/v1/messaging_pb.js";
import {
  DeliveryState,
  Order,
  type Receipt,
  TaskVerb,
} from "@client/generated/dovetail/types/v1/types_pb.js";
import { sleep } from "@client/retry.js";
import { useEffect, useState } from "preact/hooks";
import { cut } from "../lib/text.js";
import { millis } from "../lib/time.js";
import { usePages } from "./pages.js";
import { asError, longer, RETRY_MOST_MS, RETRY_MS } from "./retries.js";
import { type Session, session } from "./session.js";
import { current } from "./team.js";
import { isOpenDelivery } from "./words.js";

const PAGE = 50;
const ROWS_MAX = 2_000;

export interface MailRow {
  readonly messageId: string;
  readonly threadId: string;
  readonly taskId: string;
  readonly sequence: bigint;
  readonly senderId: string;
  readonly subject: string;
  readonly excerpt: string;
  readonly time: number;
  readonly isOpen: boolean;
  readonly isNotice: boolean;
  readonly isQuestion: boolean;
  readonly isImportant: boolean;
  readonly files: number;
}

function mailRow(message: Message, receipt: Receipt | undefined): MailRow {
  return {
    messageId: message.messageId,
    threadId: message.threadId,
    taskId: message.taskId || (message.notice?.taskId ?? ""),
    sequence: receipt?.sequence ?? 0n,
    senderId: message.senderId,
    subject: cut(message.subject, 200),
    excerpt: cut(message.body, 240),
    time: millis(message.createTime) ?? 0,
    isOpen: isOpenDelivery(receipt?.state ?? DeliveryState.UNSPECIFIED),
    isNotice: message.kind === MessageKind.NOTICE,
    isQuestion: message.notice?.verb === TaskVerb.REQUEST_INPUT,
    isImportant: message.importance === Importance.HIGH,
    files: message.attachments.length,
  };
}

export interface Mailbox {
  readonly rows: readonly MailRow[];
  readonly isLoaded: boolean;
  readonly isFull: boolean;
  readonly error: Error | undefined;
  more(): void;
  acknowledge(sequences: readonly bigint[]): Promise<void>;
}

/** An inbox, the newest first; the person's own one is followed by a stream while it is open. */
export function useInbox(agentId: string, isAll: boolean): Mailbox {
  const [lost, setLost] = useState<Error | undefined>();
  const here = session.value;
  const isMine = agentId === here?.agentId;
  // The inbox of another has no stream here: its agent's last sequence tells that something came.
  const last = isMine ? 0n : (current().agents.get(agentId)?.lastSequence ?? 0n);
  const read = async (pageToken: string) => {
    const states = isAll ? [] : [DeliveryState.UNACKNOWLEDGED];
    const found = await here?.client.messaging.listMessages({
      ...{ recipientId: agentId, states, pageToken, pageSize: PAGE, order: Order.NEWEST_FIRST },
    });
    if (!found) return undefined;
    const rows = found.records.flatMap((each) => rowOf(each, agentId));
    return { rows, nextPageToken: found.nextPageToken };
  };
  const { setRows, ...pages } = usePages<MailRow>(read, ROWS_MAX, [agentId, isAll, last]);
  useEffect(() => {
    if (!here || !isMine || !agentId) return undefined;
    const take = ({ message, receipt }: Delivery) => {
      if (!message) return;
      setRows((old) => {
        if (old.some((each) => each.messageId === message.messageId)) return old;
        return [mailRow(message, receipt), ...old].slice(0, ROWS_MAX);
      });
    };
    return followed(here, agentId, take, setLost);
  }, [agentId, isMine]);
  return {
    ...pages,
    error: pages.error ?? lost,
    acknowledge: async (sequences) => {
      await here?.client.messaging.acknowledgeMessages({
        agentId,
        sequences: [...sequences],
      });
      const done = new Set(sequences);
      setRows((old) =>
        old.map((each) => (done.has(each.sequence) ? { ...each, isOpen: false } : each)),
      );
    },
  };
}

function rowOf({ message, receipts }: MessageRecord, agentId: string): MailRow[] {
  return message
    ? [
        mailRow(
          message,
          receipts.find((each) => each.recipientId === agentId),
        ),
      ]
    : [];
}

/**
 * Follow an inbox from now on, while the page is shown; returns what ends that. After whatever ended
 * it, it goes on where it was, and `said` is told why it does not.
 */
function followed(
  here: Session,
  agentId: string,
  take: (delivery: Delivery) => void,
  said: (error: Error | undefined) => void,
): () => void {
  let ending: AbortController | undefined;
  let after: bigint | undefined;
  const begin = async (signal: AbortSignal) => {
    const { agent } = await here.client.messaging.getAgent({ agentId });
    if (signal.aborted) return;
    after ??= agent?.lastSequence ?? 0n;
    said(undefined);
    for await (const delivery of here.client.inbox({ after, signal }, { agentId })) {
      take(delivery);
      after = delivery.receipt?.sequence ?? after;
    }
  };
  const start = async () => {
    if (ending || document.hidden) return;
    const { signal } = (ending = new AbortController());
    for (let pauseMs = RETRY_MS; !signal.aborted; ) {
      const time = performance.now();
      try {
        await begin(signal);
      } catch (reason) {
        if (!signal.aborted) said(asError(reason));
      }
      pauseMs = performance.now() - time > RETRY_MOST_MS ? RETRY_MS : longer(pauseMs);
      await sleep(pauseMs, signal);
    }
  };
  const changed = () => {
    if (!document.hidden) return void start();
    ending?.abort();
    ending = undefined;
  };
  document.addEventListener("visibilitychange", changed);
  void start();
  return () => {
    document.removeEventListener("visibilitychange", changed);
    ending?.abort();
  };
}

export interface Thread {
  readonly records: readonly MessageRecord[];
  readonly isLoaded: boolean;
  readonly hasOlder: boolean;
  readonly error: Error | undefined;
  older(): void;
  again(): void;
}

const THREAD_MAX = 500;

/** A thread, the oldest first; the newest page of it, and older ones on demand. */
export function useThread(threadId: string): Thread {
  const [records, setRecords] = useState<readonly MessageRecord[]>([]);
  const [token, setToken] = useState<string | undefined>();
  const [error, setError] = useState<Error | undefined>();
  const [asked, setAsked] = useState(0);
  const here = session.value;
  const newest = current().talk.items.findLast((each) => each.threadId === threadId)?.messageId;
  const load = async (pageToken: string) => {
    try {
      const found = await here?.client.messaging.listMessages({
        ...{ filter: { threadId }, order: Order.NEWEST_FIRST, pageSize: PAGE, pageToken },
      });
      if (!found) return;
      const read = found.records.toReversed();
      setRecords((old) => (pageToken ? [...read, ...old] : joined(old, read)).slice(-THREAD_MAX));
      if (pageToken || token === undefined) setToken(found.nextPageToken);
      if (here) await seen(here, read);
    } catch (reason) {
      if (!(reason instanceof Error)) throw reason;
      setError(reason);
    }
  };
  useEffect(() => void load(""), [threadId, newest, asked]);
  return {
    ...{ records, error, isLoaded: token !== undefined || error !== undefined },
    hasOlder: Boolean(token) && records.length < THREAD_MAX,
    older: () => void (token && load(token)),
    again: () => setAsked((count) => count + 1),
  };
}

/** What was read again takes the place of what was there. */
function joined(old: readonly MessageRecord[], read: readonly MessageRecord[]): MessageRecord[] {
  const known = new Set(read.map((each) => each.message?.messageId));
  return [...old.filter((each) => !known.has(each.message?.messageId)), ...read];
}

/** Say that the person has seen what was delivered to it: the senders read it in their receipts. */
async function seen(
  { client, agentId }: Session,
  records: readonly MessageRecord[],
): Promise<void> {
  const sequences = records
    .flatMap((each) => each.receipts)
    .filter(
      (each) =>
        each.recipientId === agentId &&
        isOpenDelivery(each.state) &&
        each.state !== DeliveryState.SEEN,
    )
    .map((each) => each.sequence);
  if (sequences.length) await client.messaging.markMessagesSeen({ sequences });
}
