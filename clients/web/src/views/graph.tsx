/** The graph of what waits for what, around one task. */
import { useEffect } from "preact/hooks";
import { graphOf, loadNeeded, type Node } from "../data/graph.js";
import { openTask } from "../data/route.js";
import type { TaskRow } from "../data/rows.js";
import { session } from "../data/session.js";
import { current, team } from "../data/team.js";
import { stateWord } from "../data/words.js";
import { line } from "../lib/text.js";

const WIDTH = 150;
const HEIGHT = 40;
const GAP_X = 36;
const GAP_Y = 10;

export function Graph({ row }: { row: TaskRow }) {
  useEffect(() => {
    if (session.value) void loadNeeded(session.value, team.value, row);
  }, [row.taskId, row.dependsOn.length]);
  const { nodes, edges, isCut } = graphOf(current(), row.taskId);
  if (nodes.length < 2) return null;
  const first = Math.min(...nodes.map((each) => each.column));
  const columns = Math.max(...nodes.map((each) => each.column)) - first + 1;
  const rows = Math.max(...nodes.map((each) => each.place)) + 1;
  const x = (node: Node) => (node.column - first) * (WIDTH + GAP_X);
  const y = (node: Node) => node.place * (HEIGHT + GAP_Y);
  const size = {
    width: columns * (WIDTH + GAP_X) - GAP_X,
    height: rows * (HEIGHT + GAP_Y) - GAP_Y,
  };
  return (
    <section data-test="graph">
      <h2>What waits for what</h2>
      <div
        class="graph"
        tabIndex={0}
        role="group"
        aria-label="Tasks on the left must be completed before those on the right"
      >
        <svg {...size} viewBox={`-1 -1 ${size.width + 2} ${size.height + 2}`}>
          {edges.map(([from, to]) => {
            const [left, right] = [x(from) + WIDTH, x(to)];
            const middle = (left + right) / 2;
            const [top, bottom] = [y(from) + HEIGHT / 2, y(to) + HEIGHT / 2];
            return (
              <path
                key={`${from.taskId} ${to.taskId}`}
                d={`M${left} ${top}C${middle} ${top} ${middle} ${bottom} ${right} ${bottom}`}
              />
            );
          })}
          {nodes.map((node) => (
            <Box
              key={node.taskId}
              node={node}
              x={x(node)}
              y={y(node)}
              isHere={node.taskId === row.taskId}
            />
          ))}
        </svg>
      </div>
      {isCut && <p class="faint small">There are more than are shown.</p>}
    </section>
  );
}

function Box({ node, x, y, isHere }: { node: Node; x: number; y: number; isHere: boolean }) {
  const word = node.row && stateWord(node.row.state);
  const title = line(node.row?.title || node.taskId, 200);
  const open = () => openTask(node.taskId);
  return (
    <g
      class={`box ${isHere ? "here" : ""}`}
      transform={`translate(${x} ${y})`}
      role="link"
      tabIndex={isHere ? -1 : 0}
      aria-label={`${title}, ${word?.text ?? "not known"}`}
      onClick={open}
      onKeyDown={(event) => event.key === "Enter" && open()}
    >
      <rect class="ground" width={WIDTH} height={HEIGHT} rx="6" />
      <rect class={word?.tone ?? "pending"} width="4" height={HEIGHT} rx="2" />
      <text x="12" y="17">
        {line(title, 18)}
      </text>
      <text x="12" y="32" class="sub">
        {word?.text ?? "not known"}
      </text>
      <title>{title}</title>
    </g>
  );
}
