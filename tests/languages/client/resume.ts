// Reads an inbox after a cursor, a line for each delivery, until it is killed.
import { connect } from "@dovetail/client";

const reader = connect();
const after = BigInt(process.argv[2]!);
for await (const { message, receipt } of reader.inbox(
  after ? { after } : {},
  { includeAcknowledged: true },
)) {
  process.stdout.write(`${receipt!.sequence} ${message!.body}\n`);
}
