// The TypeScript client as a program uses it: it sends from many hands at once and holds its inbox
// open, until its standard input ends; then it prints what became of it all, as JSON.
import { connect } from "@dovetail/client";

const [address, hands] = [process.argv[2]!, Number(process.argv[3])];
const sink = connect({ messaging: address, agent: "sink" });

let ending = false;
const sent: string[] = [];
const givenUp: string[] = [];
const gaps: string[] = [];
const streamed = new Set<string>();
const acknowledged = new Set<bigint>();

process.stdin.resume().on("end", () => (ending = true));

async function hand(number: number) {
  for (let each = 0; !ending; each += 1) {
    const body = `${number}-${each}`;
    try {
      await sink.send("sink", body);
      sent.push(body);
    } catch (error) {
      givenUp.push(`${body}: ${error}`);
    }
  }
}

async function follow(signal: AbortSignal) {
  let next = 1n;
  for await (const { message, receipt } of sink.inbox({ signal })) {
    if (receipt!.sequence !== next) gaps.push(`${receipt!.sequence} in the place of ${next}`);
    next = receipt!.sequence + 1n;
    streamed.add(message!.body);
    void sink.acknowledge(receipt!.sequence).then(() => acknowledged.add(receipt!.sequence));
  }
}

async function readOn() {
  const end = Date.now() + 60_000;
  while (acknowledged.size < sent.length && Date.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

await sink.messaging.registerAgent({});
console.log("ready");
const stop = new AbortController();
const following = follow(stop.signal);
await Promise.all(Array.from({ length: hands }, (_, number) => hand(number)));
await readOn();
stop.abort();
await following;
const bodies = new Map<string, number>();
const unacknowledged: string[] = [];
for await (const { message, receipt } of sink.inbox(
  { untilCaughtUp: true },
  { includeAcknowledged: true },
)) {
  bodies.set(message!.body, (bodies.get(message!.body) ?? 0) + 1);
  if (acknowledged.has(receipt!.sequence) && !receipt!.stateTime) unacknowledged.push(message!.body);
}
const lost = sent.filter((body) => !bodies.has(body));
const unread = sent.filter((body) => !streamed.has(body));
const twice = [...bodies].filter(([, count]) => count > 1).map(([body]) => body);
const counts = { sent: sent.length, read: acknowledged.size };
console.log(
  JSON.stringify({ ...counts, givenUp, lost, twice, unread, gaps, unacknowledged }),
);
sink.close();
