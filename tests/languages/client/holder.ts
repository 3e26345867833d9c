// Claims tasks and holds each until it is told what to do, a word a line on standard input; says what
// became of it.
import { createInterface } from "node:readline";
import { Claimed, connect, DovetailError } from "@dovetail/client";
import { TaskState } from "@dovetail/client/tasks";

const holder = connect();
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function held(): Promise<Claimed> {
  const claimed = await holder.claim({ maxWait: { seconds: 20n } }, 1.5);
  if (!claimed) throw new Error("no task was ready");
  console.log(`holds ${claimed.task.taskId}`);
  return claimed;
}

for (;;) {
  const line = await lines.next();
  if (line.done) break;
  const claimed = await held();
  try {
    if (line.value === "complete") {
      await new Promise((resolve) => setTimeout(resolve, 3_000)); // Two leases.
      await claimed.progress(50, "half");
      const task = await claimed.complete({ summary: "done", data: { words: 6 } });
      console.log(TaskState[task!.state]);
    } else if (line.value === "fail") {
      console.log(TaskState[(await claimed.fail("no luck", false))!.state]);
    } else if (line.value === "release") {
      console.log(TaskState[(await claimed.release("not mine"))!.state]);
    } else {
      await new Promise((resolve) => claimed.signal.addEventListener("abort", resolve));
      const reason: unknown = claimed.signal.reason;
      console.log(reason instanceof DovetailError ? reason.reason : (reason as Error).name);
    }
  } catch (error) {
    console.log(error instanceof DovetailError ? `${error.outcome} ${error.reason}` : error);
  }
}
holder.close();
