/** The client for browsers: Connect over fetch, through `dovetail web`. */
import { createConnectTransport } from "@connectrpc/connect-web";
import { type Caller, identity } from "./calls.js";
import { Dovetail } from "./dovetail.js";

export * from "./index.js";

/** Where the page is served, and who calls. */
export interface Options extends Caller {
  /** By default where this page came from. */
  readonly baseUrl?: string;
}

/** A client for both services at one address. Nothing is called until a call is made. */
export function connect(options: Options = {}): Dovetail {
  const baseUrl = options.baseUrl ?? globalThis.location.origin;
  const transport = createConnectTransport({ baseUrl, interceptors: [identity(options)] });
  return new Dovetail(options, { messaging: transport, tasks: transport });
}
