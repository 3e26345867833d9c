/** The client for Node: gRPC over HTTP/2. */
import { readFileSync } from "node:fs";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { type Caller, identity } from "./calls.js";
import { Dovetail } from "./dovetail.js";

export * from "./index.js";

/** Where the servers are, and who calls. What is not said is read from the environment. */
export interface Options extends Caller {
  /** `host:port`; DOVETAIL_MESSAGING, by default 127.0.0.1:50051. */
  readonly messaging?: string;
  /** `host:port`; DOVETAIL_TASKS, by default 127.0.0.1:50052. */
  readonly tasks?: string;
  /** The file with the token, read before each call; DOVETAIL_TOKEN_FILE. */
  readonly tokenFile?: string;
  /** TLS, with the file of the authority that signed the servers' certificates; DOVETAIL_TLS_CA. */
  readonly tlsCa?: string;
  /** The client's own certificate and key, where servers ask for one; DOVETAIL_TLS_CERT, …_KEY. */
  readonly tlsCert?: string;
  readonly tlsKey?: string;
}

/** A server allows one ping every 5 s. */
const PINGS = { pingIntervalMs: 10_000, pingTimeoutMs: 5_000 };

/** A client for both servers. Nothing is called until a call is made. */
export function connect(options: Options = {}): Dovetail {
  const env = process.env;
  const caller = { ...options, ...who(options, env) };
  const ca = options.tlsCa ?? env.DOVETAIL_TLS_CA;
  const cert = options.tlsCert ?? env.DOVETAIL_TLS_CERT;
  const key = options.tlsKey ?? env.DOVETAIL_TLS_KEY;
  const tls = {
    ...(ca && { ca: readFileSync(ca) }),
    ...(cert && { cert: readFileSync(cert) }),
    ...(key && { key: readFileSync(key) }),
  };
  const sessions = [
    options.messaging ?? (env.DOVETAIL_MESSAGING || "127.0.0.1:50051"),
    options.tasks ?? (env.DOVETAIL_TASKS || "127.0.0.1:50052"),
  ].map((address) => new Http2SessionManager(`${ca ? "https" : "http"}://${address}`, PINGS, tls));
  const [messaging, tasks] = sessions.map((sessionManager) =>
    createGrpcTransport({
      baseUrl: sessionManager.authority,
      sessionManager,
      interceptors: [identity(caller)],
    }),
  );
  if (!messaging || !tasks) throw new TypeError("two servers");
  return new Dovetail(caller, { messaging, tasks }, () => sessions.forEach((each) => each.abort()));
}

/** Who calls, from the options and then the environment; a token says it all. */
function who(options: Options, env: NodeJS.ProcessEnv): Caller {
  const file = options.tokenFile ?? env.DOVETAIL_TOKEN_FILE;
  const token = options.token ?? env.DOVETAIL_TOKEN;
  if (token) return { token };
  if (file) return { token: () => readFileSync(file, "utf8").trim() };
  return {
    agent: options.agent ?? env.DOVETAIL_AGENT ?? "",
    team: options.team ?? (env.DOVETAIL_TEAM || "default"),
  };
}
