// What a program sees of calls that fail, and of callers of every kind.
import { Code, connect, DovetailError } from "@dovetail/client";

const patient = { patienceMs: 500, deadlineMs: 2_000 };
const alice = connect(patient);

async function failed(call: Promise<unknown>) {
  try {
    await call;
    return "nothing failed";
  } catch (error) {
    if (!(error instanceof DovetailError)) return `${(error as Error).name}`;
    const fields = error.violations.map((each) => each.field).join();
    return `${Code[error.code]} ${error.reason || "-"} ${error.outcome} ${fields}`.trim();
  }
}

await alice.messaging.registerAgent({});
console.log(await failed(alice.send("bbo", "hello")));
console.log(await failed(alice.send([], "hello")));
console.log(await failed(alice.tasks.getTask({ taskId: "nothing" })));
console.log(await failed(connect({ ...patient, messaging: "127.0.0.1:1" }).send("alice", "hello")));
// A deadline that is no whole number.
console.log(await failed(alice.tasks.getTask({ taskId: "nothing" }, { timeoutMs: 1234.5 })));
console.log(await failed(alice.raw.tasks.getTask({ taskId: "nothing" })));
console.log(await failed(alice.tasks.createTask({ title: "x", priority: "high" as never })));

// One request: its repeat says what the first one did.
const request = { recipientIds: ["alice"], body: "once", requestId: "once" };
const first = await alice.messaging.sendMessage(request);
console.log(first.messageId === (await alice.messaging.sendMessage(request)).messageId);

// An id beyond ASCII is sent as bytes by itself.
if (!process.env.DOVETAIL_TOKEN_FILE) {
  const zoe = connect({ ...patient, agent: "Zoë Müller" });
  await zoe.send("Zoë Müller", "grüß dich");
  for await (const { message } of zoe.inbox({ untilCaughtUp: true })) {
    console.log(`${message!.senderId}: ${message!.body}`);
  }
  zoe.close();
}

// The history of tasks, from its beginning.
const { task } = await alice.tasks.createTask({ title: "Look at the parser" });
for await (const event of alice.watch({ untilCaughtUp: true }, { filter: { taskId: task!.taskId } })) {
  console.log(event.eventNumber > 0n, event.taskId === task!.taskId);
}
alice.close();
process.exit(0);
