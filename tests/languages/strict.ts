// A client that knows nothing but docs/how-to/any-language.md. It sends from many hands at once and
// holds an inbox open, until its standard input ends; then it prints what became of it all, as JSON.
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { MessagingService, StreamMark } from "./dovetail/messaging/v1/messaging_pb.js";
import { ErrorInfoSchema, RetryInfoSchema } from "./google/rpc/error_details_pb.js";

const [baseUrl, hands] = [process.argv[2]!, Number(process.argv[3])];
const transport = createGrpcTransport({ baseUrl, pingIntervalMs: 10_000, pingTimeoutMs: 5_000 });
const messaging = createClient(MessagingService, transport);
const headers = { "dovetail-agent": "sink" };
const DEADLINE_MS = 30_000;
const READ_ON_MS = 60_000;

let ending = false;
let unknown = 0;
const sent: string[] = [];
const givenUp: string[] = [];
const reopened: string[] = [];
const gaps: string[] = [];
const streamed = new Set<string>();
const acknowledged = new Set<bigint>();

process.stdin.resume().on("end", () => (ending = true));

// Pauses: a twentieth of a second, twice as long each time, two seconds at most, each shortened.
function pauses() {
  let length = 50;
  return async (atLeast = 0) => {
    const shortened = length * (0.5 + Math.random() / 2);
    await new Promise((resolve) => setTimeout(resolve, Math.max(atLeast, shortened)));
    length = Math.min(2_000, length * 2);
  };
}

// Only an error with ErrorInfo of this domain was made by Dovetail.
function isOurs(error: ConnectError) {
  return error.findDetails(ErrorInfoSchema).some((info) => info.domain === "dovetail.dev");
}

// How long the server asks to wait before a repeat.
function retryDelayMs(error: ConnectError) {
  const delay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
  return isOurs(error) && delay ? Number(delay.seconds) * 1_000 + delay.nanos / 1e6 : 0;
}

// Repeat a call, unchanged, until its outcome is known; throws the error of one that was refused.
async function insist<Response>(call: () => Promise<Response>) {
  const pause = pauses();
  let repeatedInternal = false;
  for (;;) {
    try {
      return await call();
    } catch (reason) {
      const error = ConnectError.from(reason);
      const internal = isOurs(error) && error.code === Code.Internal;
      if (isOurs(error) && error.code !== Code.Unavailable && !(internal && !repeatedInternal)) {
        throw error;
      }
      repeatedInternal ||= internal;
      unknown += 1;
      await pause(retryDelayMs(error));
    }
  }
}

async function send(requestId: string) {
  const request = { recipientIds: ["sink"], body: requestId, requestId };
  try {
    await insist(() => messaging.sendMessage(request, { headers, timeoutMs: DEADLINE_MS }));
    sent.push(requestId);
  } catch (error) {
    givenUp.push(`${requestId}: ${error}`);
  }
}

async function hand(number: number) {
  for (let each = 0; !ending; each += 1) {
    await send(`${number}-${each}`);
  }
}

// Hold the inbox open: keep the cursor, open again after what was not our doing.
async function follow(stop: AbortSignal) {
  let cursor = 0n;
  let pause = pauses();
  while (!stop.aborted) {
    let delayMs = 0;
    try {
      const wish = { start: { case: "afterSequence", value: cursor } } as const;
      for await (const response of messaging.subscribeInbox(wish, { headers, signal: stop })) {
        pause = pauses();
        const sequences = response.deliveries.map((delivery) => delivery.receipt!.sequence);
        sequences.forEach((sequence, place) => {
          const next = cursor + BigInt(place) + 1n;
          if (sequence !== next) gaps.push(`${sequence} in the place of ${next}`);
        });
        response.deliveries.forEach((delivery) => streamed.add(delivery.message!.body));
        cursor = response.throughSequence;
        if (sequences.length) {
          const done = { sequences };
          await insist(() =>
            messaging.acknowledgeMessages(done, { headers, timeoutMs: DEADLINE_MS }),
          );
          sequences.forEach((sequence) => acknowledged.add(sequence));
        }
      }
    } catch (reason) {
      const error = ConnectError.from(reason);
      if (stop.aborted) return;
      if (isOurs(error) && error.code !== Code.Unavailable) throw error;
      reopened.push(Code[error.code]!);
      delayMs = retryDelayMs(error);
    }
    await pause(delayMs);
  }
}

// Wait until the stream has brought all that was sent, and it is acknowledged; not for ever.
async function readOn() {
  const end = Date.now() + READ_ON_MS;
  while (acknowledged.size < sent.length && Date.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

// What the inbox holds at last, read once from its beginning.
async function everything() {
  const bodies = new Map<string, number>();
  const unacknowledged: string[] = [];
  const wish = { includeAcknowledged: true };
  for await (const response of messaging.subscribeInbox(wish, { headers })) {
    for (const { message, receipt } of response.deliveries) {
      bodies.set(message!.body, (bodies.get(message!.body) ?? 0) + 1);
      if (acknowledged.has(receipt!.sequence) && !receipt!.stateTime) unacknowledged.push(message!.body);
    }
    if (response.mark === StreamMark.CAUGHT_UP) break;
  }
  return { bodies, unacknowledged };
}

await messaging.registerAgent({ agentId: "sink" }, { headers });
console.log("ready");
const stop = new AbortController();
const following = follow(stop.signal);
await Promise.all(Array.from({ length: hands }, (_, number) => hand(number)));
await readOn();
stop.abort();
await following;
const { bodies, unacknowledged } = await everything();
const lost = sent.filter((body) => !bodies.has(body));
const unread = sent.filter((body) => !streamed.has(body));
const twice = [...bodies].filter(([, count]) => count > 1).map(([body]) => body);
const counts = { sent: sent.length, unknown, reopened: reopened.length, read: acknowledged.size };
const wrong = { givenUp, lost, twice, unread, gaps, unacknowledged };
console.log(JSON.stringify({ ...counts, ...wrong }));
process.exit(0);
