/** What a task waits for, and what waits for it: columns of tasks around it. */
import { DovetailError } from "@client/errors.js";
import { type TaskRow, taskRow } from "./rows.js";
import type { Session } from "./session.js";
import { published, type Team } from "./team.js";

const DEPTH_MAX = 3;
const NODES_MAX = 40;
const COLUMN_MAX = 8;

export interface Node {
  readonly taskId: string;
  readonly row: TaskRow | undefined;
  /** Below 0: what it waits for; 0: the task; above: what waits for it. */
  readonly column: number;
  readonly place: number;
}

export interface Graph {
  readonly nodes: readonly Node[];
  /** From what is needed to what waits for it. */
  readonly edges: readonly (readonly [Node, Node])[];
  readonly isCut: boolean;
}

export function graphOf(team: Team, taskId: string): Graph {
  const dependents = new Map<string, string[]>();
  for (const row of team.tasks.values()) {
    for (const needed of row.dependsOn) {
      const found = dependents.get(needed);
      if (found) found.push(row.taskId);
      else dependents.set(needed, [row.taskId]);
    }
  }
  const nodes = new Map<string, Node>();
  let isCut = false;
  const add = (each: string, column: number): boolean => {
    if (nodes.has(each)) return false;
    const place = [...nodes.values()].filter((other) => other.column === column).length;
    if (nodes.size >= NODES_MAX || place >= COLUMN_MAX) isCut = true;
    else nodes.set(each, { taskId: each, row: team.tasks.get(each), column, place });
    return nodes.has(each);
  };
  const walk = (step: -1 | 1, next: (taskId: string) => readonly string[]) => {
    let front = [taskId];
    for (let depth = 1; depth <= DEPTH_MAX && front.length; depth += 1) {
      front = front.flatMap(next).filter((each) => add(each, step * depth));
    }
  };
  add(taskId, 0);
  walk(-1, (each) => team.tasks.get(each)?.dependsOn ?? []);
  walk(1, (each) => dependents.get(each) ?? []);
  const edges: (readonly [Node, Node])[] = [];
  for (const node of nodes.values()) {
    for (const needed of node.row?.dependsOn ?? []) {
      const other = nodes.get(needed);
      if (other && other.column < node.column) edges.push([other, node]);
    }
  }
  return { nodes: [...nodes.values()], edges, isCut };
}

/** Read the tasks on which one depends that are not known yet, a few. */
export async function loadNeeded({ client }: Session, team: Team, row: TaskRow): Promise<void> {
  const unknown = row.dependsOn.filter((each) => !team.tasks.has(each)).slice(0, COLUMN_MAX);
  if (!unknown.length) return;
  await Promise.all(
    unknown.map(async (taskId) => {
      try {
        const { task } = await client.tasks.getTask({ taskId });
        if (task) team.put(taskRow(task));
      } catch (reason) {
        if (!(reason instanceof DovetailError)) throw reason;
      }
    }),
  );
  published();
}
