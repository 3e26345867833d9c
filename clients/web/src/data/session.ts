/** Who uses the page, and what that credential may do. */
import { createConnectTransport } from "@connectrpc/connect-web";
import { signal } from "@preact/signals";
import { identity } from "@client/calls.js";
import { Dovetail } from "@client/dovetail.js";
import { DovetailError } from "@client/errors.js";
import { type Agent, AgentKind } from "@client/generated/dovetail/messaging/v1/messaging_pb.js";
import { observed } from "./link.js";

/** What the gateway says of itself. */
export interface Config {
  /** Whether the servers ask for a token; null while they cannot be reached. */
  readonly credentials: boolean | null;
  readonly team_id: string;
  readonly agent_id: string;
  readonly version: string;
}

export type Role = "operator" | "agent" | "observer";

/** A person at the page. */
export interface Session {
  readonly client: Dovetail;
  /** For what is read again by itself: it soon says that something cannot be read. */
  readonly reader: Dovetail;
  /** Empty: a token that names no agent. */
  readonly agentId: string;
  readonly teamId: string;
  readonly role: Role;
}

/** What a person says to come in: a token, or a name. */
export interface Identity {
  readonly token?: string;
  readonly agent?: string;
  readonly team?: string;
}

export const config = signal<Config | undefined>(undefined);
export const session = signal<Session | undefined>(undefined);
/** Why the page asks anew who uses it; empty at first. */
export const notice = signal("");

const KEY = "dovetail";
const DEADLINE_MS = 20_000;
const PATIENCE_MS = 15_000;
const READER_PATIENCE_MS = 4_000;

export async function readConfig(): Promise<Config> {
  const response = await fetch("/config.json", { cache: "no-store" });
  if (!response.ok) throw new Error(`config.json: ${response.status}`);
  config.value = (await response.json()) as Config;
  return config.value;
}

/** The identity of this tab, if it was given before. */
export function remembered(): Identity | undefined {
  try {
    const kept: unknown = JSON.parse(sessionStorage.getItem(KEY) ?? "null");
    return kept && typeof kept === "object" ? kept : undefined;
  } catch {
    return undefined;
  }
}

/** Come in. Throws DovetailError, and Error with a sentence, for what cannot use the page. */
export async function enter(who: Identity): Promise<void> {
  const caller = { ...who, deadlineMs: DEADLINE_MS, patienceMs: PATIENCE_MS };
  const transport = createConnectTransport({
    baseUrl: globalThis.location.origin,
    useBinaryFormat: true,
    interceptors: [identity(caller), observed],
  });
  const transports = { messaging: transport, tasks: transport };
  const client = new Dovetail(caller, transports);
  const reader = new Dovetail({ ...caller, patienceMs: READER_PATIENCE_MS }, transports);
  const me = await introduced(client, who);
  const role: Role = who.token ? await roleOf(client) : "operator";
  const { agentId = "" } = me ?? {};
  session.value = { client, reader, agentId, teamId: who.team ?? "", role };
  notice.value = "";
  sessionStorage.setItem(KEY, JSON.stringify(who));
}

/** Leave, and say why. */
export function leave(why = ""): void {
  sessionStorage.removeItem(KEY);
  session.value = undefined;
  notice.value = why;
}

/** The caller as an agent. A name that the team does not know is registered as a person; one that it knows stays. */
async function introduced(client: Dovetail, who: Identity): Promise<Agent | undefined> {
  try {
    if (!who.token) return (await client.messaging.registerAgent({ kind: AgentKind.PERSON })).agent;
    return (await client.messaging.getAgent({})).agent;
  } catch (reason) {
    if (!(reason instanceof DovetailError)) throw reason;
    if (reason.reason === "ROLE_REFUSED" && reason.metadata.role === "ADMIN") {
      throw new Error("This is an admin's token, which sees no team. Use an operator's.");
    }
    if (reason.reason === "CALLER_AGENT_REQUIRED") return undefined;
    throw reason;
  }
}

/** What the token may do, as the server shows by what it refuses: observers no mail, agents no team. */
async function roleOf(client: Dovetail): Promise<Role> {
  if (!(await allowed(client.messaging.listMessages({ pageSize: 1 })))) return "observer";
  return (await allowed(client.admin.getTeam({}))) ? "operator" : "agent";
}

async function allowed(call: Promise<unknown>): Promise<boolean> {
  try {
    await call;
    return true;
  } catch (reason) {
    if (reason instanceof DovetailError && reason.reason === "ROLE_REFUSED") return false;
    throw reason;
  }
}
