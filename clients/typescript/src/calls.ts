/** Stubs that say who calls, give requests their ids, and repeat calls until the outcome is known. */
import {
  create,
  type DescMessage,
  type DescService,
  type Message,
  type MessageInitShape,
  toBinary,
} from "@bufbuild/protobuf";
import type { Duration } from "@bufbuild/protobuf/wkt";
import {
  type CallOptions,
  type Client,
  createClient,
  encodeBinaryHeader,
  type Interceptor,
  type Transport,
} from "@connectrpc/connect";
import { insist } from "./retry.js";

/** Who calls, and how patiently. */
export interface Caller {
  /** The agent that calls. Without it a caller can read and work on tasks, but not send. */
  readonly agent?: string;
  /** Its team; by default `default`. */
  readonly team?: string;
  /** A token, which takes the place of both names; a function is asked before each call. */
  readonly token?: string | (() => string | Promise<string>);
  /** For an answer to a call, in milliseconds, besides what the call itself waits: 30,000. */
  readonly deadlineMs?: number;
  /** For a server that is away, in milliseconds: 300,000. */
  readonly patienceMs?: number;
}

const DEADLINE_MS = 30_000;
const PATIENCE_MS = 300_000;
const PLAIN = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/;

/** Adds to each call who makes it. */
export function identity(caller: Caller): Interceptor {
  return (next) => async (request) => {
    if (caller.token) {
      const token = typeof caller.token === "string" ? caller.token : await caller.token();
      request.header.set("authorization", `Bearer ${token}`);
    } else {
      name(request.header, "dovetail-agent", caller.agent);
      name(request.header, "dovetail-team", caller.team);
    }
    return next(request);
  };
}

/** An id in a header; one beyond ASCII goes as bytes, under a key of its own. */
function name(header: Headers, key: string, id: string | undefined): void {
  if (!id) return;
  if (PLAIN.test(id)) header.set(key, id);
  else header.set(`${key}-bin`, encodeBinaryHeader(new TextEncoder().encode(id)));
}

/**
 * The stubs of a service of which each unary call has a deadline and, where the request has the
 * field, a request id, and is repeated until its outcome is known. Streams are as they are.
 */
export function careful<Service extends DescService>(
  service: Service,
  transport: Transport,
  caller: Caller,
): Client<Service> {
  const raw = createClient(service, transport) as Record<string, unknown>;
  const made = { ...raw };
  for (const method of service.methods) {
    if (method.methodKind === "unary") {
      const call = raw[method.localName] as UnaryCall;
      made[method.localName] = patient(method.input, call, caller);
    }
  }
  return made as Client<Service>;
}

type UnaryCall = (request: Message, options: CallOptions) => Promise<Message>;

function patient(schema: DescMessage, call: UnaryCall, caller: Caller) {
  return async (init: MessageInitShape<DescMessage>, options: CallOptions = {}) => {
    const request = create(schema, init);
    identify(schema, request);
    toBinary(schema, request); // What cannot be sent is a mistake here, and not repeated.
    const own = (caller.deadlineMs ?? DEADLINE_MS) + waitMs(request);
    const each = { ...options, timeoutMs: whole(options.timeoutMs ?? own) };
    const patience = caller.patienceMs ?? PATIENCE_MS;
    return insist(() => call(request, each), patience, options.signal);
  };
}

/** Milliseconds as gRPC takes them: a part of one would fail this call and those after it. */
export function whole(ms: number): number {
  return Math.max(1, Math.ceil(ms));
}

/** Give a request an id, if it may have one and has none: its repeats are then the same request. */
function identify(schema: DescMessage, request: Message): void {
  const fields = request as unknown as Record<string, unknown>;
  if (schema.field.requestId && !fields.requestId) fields.requestId = crypto.randomUUID();
}

/** How long the call itself waits. */
function waitMs(request: Message): number {
  const { maxWait } = request as unknown as { maxWait?: Duration };
  return maxWait ? Number(maxWait.seconds) * 1_000 + maxWait.nanos / 1e6 : 0;
}
