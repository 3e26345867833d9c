/** Requests as plain objects. */
import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";

/** The fields of a message, each of which may be left out. */
export type Init<Schema extends DescMessage> = Omit<
  Exclude<MessageInitShape<Schema>, MessageShape<Schema>>,
  "$typeName"
>;
