// A client that knows nothing but docs/how-to/any-language.md. It sends from many hands at once and
// holds an inbox open, until its standard input ends; then it prints what became of it all, as JSON.
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { MessagingService, StreamMark } from "./dovetail/messaging/v1/messaging_pb.js";
import { ErrorInfoSchema } from "./google/rpc/error_details_pb.js";

const [baseUrl, hands] = [process.argv[2]!, Number(process.argv[3])];
const messaging = createClient(MessagingService, createGrpcTransport({ baseUrl }));
const headers = { "dovetail-agent": "sink" };
const DEADLINE_MS = 30_000;

let ending = false;
let unknown = 0;
const sent: string[] = [];
const givenUp: string[] = [];
const reopened: string[] = [];
const acknowledged = new Set<bigint>();

process.stdin.resume().on("end", () => (ending = true));

// Pauses: a twentieth of a second, twice as long each time, two seconds at most, each shortened.
function pauses() {
  let length = 50;
  return async () => {
    await new Promise((resolve) => setTimeout(resolve, length * (0.5 + Math.random() / 2)));
    length = Math.min(2_000, length * 2);
  };
}

// Only an error with ErrorInfo of this domain was made by Dovetail.
function isOurs(error: ConnectError) {
  return error.findDetails(ErrorInfoSchema).some((info) => info.domain === "dovetail.dev");
}

async function send(requestId: string) {
  const pause = pauses();
  let repeatedInternal = false;
  for (;;) {
    try {
      await messaging.sendMessage(
        { recipientIds: ["sink"], body: requestId, requestId },
        { headers, timeoutMs: DEADLINE_MS },
      );
      sent.push(requestId);
      return;
    } catch (reason) {
      const error = ConnectError.from(reason);
      const internal = isOurs(error) && error.code === Code.Internal;
      if (isOurs(error) && error.code !== Code.Unavailable && !(internal && !repeatedInternal)) {
        givenUp.push(`${requestId}: ${error.message}`);
        return;
      }
      repeatedInternal ||= internal;
      unknown += 1;
      await pause();
    }
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
    try {
      const wish = { start: { case: "afterSequence", value: cursor } } as const;
      for await (const response of messaging.subscribeInbox(wish, { headers, signal: stop })) {
        pause = pauses();
        const sequences = response.deliveries.map((delivery) => delivery.sequence);
        cursor = response.throughSequence;
        if (sequences.length) {
          await messaging.acknowledgeMessages({ sequences }, { headers, timeoutMs: DEADLINE_MS });
          sequences.forEach((sequence) => acknowledged.add(sequence));
        }
      }
    } catch (reason) {
      const error = ConnectError.from(reason);
      if (stop.aborted) return;
      if (isOurs(error) && error.code !== Code.Unavailable) throw error;
      reopened.push(Code[error.code]!);
    }
    await pause();
  }
}

// What the inbox holds at last, read once from its beginning.
async function everything() {
  const bodies = new Map<string, number>();
  const unacknowledged: string[] = [];
  const wish = { includeAcknowledged: true };
  for await (const response of messaging.subscribeInbox(wish, { headers })) {
    for (const { message, sequence, acknowledgeTime } of response.deliveries) {
      bodies.set(message!.body, (bodies.get(message!.body) ?? 0) + 1);
      if (acknowledged.has(sequence) && !acknowledgeTime) unacknowledged.push(message!.body);
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
stop.abort();
await following;
const { bodies, unacknowledged } = await everything();
const lost = sent.filter((body) => !bodies.has(body));
const twice = [...bodies].filter(([, count]) => count > 1).map(([body]) => body);
const counts = { sent: sent.length, unknown, reopened: reopened.length, read: acknowledged.size };
console.log(JSON.stringify({ ...counts, givenUp, lost, twice, unacknowledged }));
process.exit(0);
