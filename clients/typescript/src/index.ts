/** What both entries export. */
export { Code } from "@connectrpc/connect";
export type { Caller } from "./calls.js";
export { Claimed } from "./claims.js";
export { Dovetail, type Following, type Raw } from "./dovetail.js";
export { DovetailError, type FieldViolation } from "./errors.js";
