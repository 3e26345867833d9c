/** The reads that fill the team: each bounded, and as small as the RPC allows. */
import { DovetailError } from "@client/errors.js";
import {
  type ListTasksResponse,
  TaskOrder,
  TaskState,
} from "@client/generated/dovetail/tasks/v1/tasks_pb.js";
import { DeliveryState, Order, TaskVerb } from "@client/generated/dovetail/types/v1/types_pb.js";
import { HOUR, millis, MINUTE, timestamp } from "../lib/time.js";
import { eventRow, talkRow, taskRow } from "./rows.js";
import type { Session } from "./session.js";
import type { Team } from "./team.js";

const PAGE = 1_000;
const PENDING_MAX = 500;
const FAILED_MAX = 200;
const EVENT_PAGES = 4;
const TALK_PAGES = 4;
const DELTA_PAGES = 4;
const UNREAD_AGENTS = 8;
const NAMED_MAX = 30;

/** What the lanes show. */
export const SPAN = HOUR;

/** What is no change of a task's state or holder: only the time of the last one is kept. */
const CHANGES = Object.values(TaskVerb).filter(
  (each): each is TaskVerb =>
    typeof each === "number" && ![TaskVerb.UNSPECIFIED, TaskVerb.HEARTBEAT].includes(each),
);

/** Events that tell of something to act on, though it happened before the last hour. */
const TELLING = [TaskVerb.BECOME_OVERDUE, TaskVerb.SPEND_BUDGET, TaskVerb.EXPIRE_LEASE];

const LAST_CHANGED = { order: Order.NEWEST_FIRST, orderBy: TaskOrder.UPDATE_TIME };

function keep(team: Team, response: ListTasksResponse): void {
  for (const task of response.tasks) team.put(taskRow(task));
}

/** Where the watch begins: all before it is read by the loads that follow. */
export async function cursor({ client }: Session): Promise<bigint> {
  return (await client.tasks.listTasks({ pageSize: 1, order: Order.NEWEST_FIRST })).throughEvent;
}

/** Open and failed tasks. */
export async function loadTasks({ client }: Session, team: Team): Promise<void> {
  const list = (
    state: TaskState,
    pageSize: number,
    order: Order,
    orderBy = TaskOrder.CREATE_TIME,
  ) => client.tasks.listTasks({ filter: { states: [state] }, pageSize, order, orderBy });
  const last = await client.tasks.listTasks({ ...LAST_CHANGED, pageSize: 1 });
  const pages = await Promise.all([
    list(TaskState.FAILED, FAILED_MAX, Order.NEWEST_FIRST, TaskOrder.UPDATE_TIME),
    list(TaskState.PENDING, PENDING_MAX, Order.OLDEST_FIRST),
    list(TaskState.IN_PROGRESS, PAGE, Order.OLDEST_FIRST),
    list(TaskState.INPUT_REQUIRED, PAGE, Order.OLDEST_FIRST),
  ]);
  team.tasks.clear();
  for (const page of pages) keep(team, page);
  team.changesThrough = millis(last.tasks[0]?.updateTime) ?? 0;
}

/** The tasks that changed since the last one that is known; all again if they are too many. */
export async function loadChangedTasks(session: Session, team: Team): Promise<void> {
  if (!team.changesThrough) return loadTasks(session, team);
  const filter = { updateTime: { startTime: timestamp(team.changesThrough) } };
  let pageToken = "";
  for (let page = 0; page < DELTA_PAGES; page += 1) {
    const response = await session.client.tasks.listTasks({
      ...{ filter, pageToken, pageSize: PAGE },
      ...{ order: Order.OLDEST_FIRST, orderBy: TaskOrder.UPDATE_TIME },
    });
    keep(team, response);
    team.changesThrough = millis(response.tasks.at(-1)?.updateTime) ?? team.changesThrough;
    pageToken = response.nextPageToken;
    if (!pageToken) return;
  }
  await loadTasks(session, team);
}

/** The events of the last hour, and the telling ones before it. */
export async function loadEvents(session: Session, team: Team): Promise<void> {
  const { client } = session;
  const createTime = { startTime: timestamp(Date.now() - SPAN) };
  const found = [];
  let pageToken = "";
  for (let page = 0; page < EVENT_PAGES; page += 1) {
    const response = await client.tasks.listTaskEvents({
      ...{
        filter: { createTime, verbs: CHANGES },
        order: Order.NEWEST_FIRST,
        pageSize: PAGE,
        pageToken,
      },
    });
    found.push(...response.events.map(eventRow));
    pageToken = response.nextPageToken;
    if (!pageToken) break;
  }
  team.eventsSince = pageToken ? (found.at(-1)?.time ?? 0) : Date.now() - SPAN;
  const telling = await client.tasks.listTaskEvents({
    ...{ filter: { verbs: TELLING }, order: Order.NEWEST_FIRST, pageSize: FAILED_MAX },
  });
  const known = new Set(found.map((each) => each.number));
  found.push(...telling.events.map(eventRow).filter((each) => !known.has(each.number)));
  found.sort((one, other) => (one.number < other.number ? -1 : 1));
  team.events.replace(found);
  const reports = await client.tasks.listTaskEvents({
    ...{
      filter: { createTime, verbs: [TaskVerb.HEARTBEAT] },
      order: Order.NEWEST_FIRST,
      pageSize: PAGE,
    },
  });
  for (const event of reports.events.reverse())
    team.progressTimes.set(event.taskId, millis(event.createTime) ?? 0);
  await loadNamed(
    session,
    team,
    telling.events.map((each) => each.taskId),
  );
}

/** Tasks that are named and not known, a few. */
function loadNamed(session: Session, team: Team, taskIds: readonly string[]): Promise<void> {
  return loadEach(
    session,
    team,
    taskIds.filter((each) => !team.tasks.has(each)),
  );
}

/** These tasks as they now are, a few: what events tell of that is no change by `update_time`. */
export async function loadEach(
  { client }: Session,
  team: Team,
  taskIds: readonly string[],
): Promise<void> {
  const unknown = [...new Set(taskIds)].slice(0, NAMED_MAX);
  const found = await Promise.allSettled(unknown.map((taskId) => client.tasks.getTask({ taskId })));
  for (const each of found) {
    if (each.status === "fulfilled" && each.value.task) team.put(taskRow(each.value.task));
  }
}

/** The first agents of the team, and the person at the page. */
export async function loadAgents({ client, agentId }: Session, team: Team): Promise<void> {
  const response = await client.messaging.listAgents({ pageSize: PAGE });
  const agents = new Map(response.agents.map((each) => [each.agentId, each]));
  if (response.nextPageToken && agentId && !agents.has(agentId)) {
    const { agent } = await client.messaging.getAgent({ agentId });
    if (agent) agents.set(agentId, agent);
  }
  team.agents = agents;
  team.moreAgents = response.nextPageToken !== "";
}

/** The messages of the last hour, or those after the last one that is known. */
export async function loadTalk({ client, role }: Session, team: Team): Promise<void> {
  if (role === "observer") {
    team.talkRefused = "Observers read no messages.";
    return;
  }
  const last = team.talk.items.at(-1);
  const startTime = timestamp(Math.max(last?.time ?? 0, Date.now() - SPAN));
  const known = new Set(team.talk.items.slice(-PAGE).map((each) => each.messageId));
  const found = [];
  let pageToken = "";
  for (let page = 0; page < TALK_PAGES; page += 1) {
    const response = await client.messaging.listMessages({
      ...{ filter: { createTime: { startTime } }, pageSize: PAGE, pageToken },
      order: last ? Order.OLDEST_FIRST : Order.NEWEST_FIRST,
    });
    for (const { message } of response.records) {
      if (message && !known.has(message.messageId)) found.push(talkRow(message));
    }
    pageToken = response.nextPageToken;
    if (!pageToken) break;
  }
  if (!last) found.reverse();
  team.talk.push(...found);
  team.talk.keep((each) => each.time > Date.now() - SPAN);
}

export async function loadReport({ client }: Session, team: Team): Promise<void> {
  team.report = (await client.tasks.getReport({})).report;
}

/** What was completed in the last hour, in minutes; without them where tasks are too old for that. */
export async function loadHour({ client }: Session, team: Team): Promise<void> {
  const filter = { endTime: { startTime: timestamp(Date.now() - SPAN) } };
  const bucketDuration = { seconds: BigInt((2 * MINUTE) / 1_000), nanos: 0 };
  try {
    team.hour = (await client.tasks.getReport({ filter, bucketDuration })).report;
  } catch (reason) {
    if (!(reason instanceof DovetailError && reason.reason === "TOO_MANY_BUCKETS")) throw reason;
    team.hour = (await client.tasks.getReport({ filter })).report;
  }
}

/** What the tasks used that changed today. */
export async function loadToday({ client }: Session, team: Team): Promise<void> {
  const midnight = new Date().setHours(0, 0, 0, 0);
  const filter = { updateTime: { startTime: timestamp(midnight) } };
  team.today = (await client.tasks.getReport({ filter })).report;
}

/** The oldest open delivery of those agents that have most of them. */
export async function loadUnread({ client, role }: Session, team: Team): Promise<void> {
  if (role === "observer" || role === "agent") return;
  const agents = [...team.agents.values()]
    .filter((each) => each.unacknowledgedCount > 0n)
    .sort((one, other) => Number(other.unacknowledgedCount - one.unacknowledgedCount))
    .slice(0, UNREAD_AGENTS);
  const found = await Promise.all(
    agents.map(async ({ agentId, unacknowledgedCount }) => {
      const response = await client.messaging.listMessages({
        ...{ recipientId: agentId, states: [DeliveryState.UNACKNOWLEDGED] },
        ...{ order: Order.OLDEST_FIRST, pageSize: 1 },
      });
      const message = response.records[0]?.message;
      return message && { agentId, count: Number(unacknowledgedCount), oldest: talkRow(message) };
    }),
  );
  team.unread = found.flatMap((each) => (each ? [each] : []));
}
