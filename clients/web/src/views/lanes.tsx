/** One lane for each agent: work as bars, messages as arcs between lanes. */
import { useEffect, useRef, useState } from "preact/hooks";
import { computed } from "@preact/signals";
import { lanes, type Placed, showSpan, span, SPANS } from "../data/lanes.js";
import { go, openTask } from "../data/route.js";
import type { TalkRow } from "../data/rows.js";
import { current } from "../data/team.js";
import { stateWord, verbWord } from "../data/words.js";
import { counted, line, number } from "../lib/text.js";
import { age, clock, HOUR, length, MINUTE, now, SECOND } from "../lib/time.js";
import { Empty } from "../parts/band.js";
import { Who } from "../parts/names.js";

const LANE = 34;
const BAR = 14;
/** What the bars of a lane share where there are several levels. */
const ROOM = 26;
const TOP = 24;
const NARROW = 560;
/** How often the axis moves on: often enough to follow, seldom enough to read. */
const STEP = 5 * SECOND;
const moment = computed(() => Math.floor(now.value / STEP) * STEP + STEP);

export function Lanes() {
  const box = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(800);
  const { agentIds, hiddenAgents, bars, levels, talk } = lanes.value;
  useEffect(() => {
    const observer = new ResizeObserver(
      ([entry]) => entry && setWidth(Math.floor(entry.contentRect.width)),
    );
    if (box.current) observer.observe(box.current);
    return () => observer.disconnect();
  }, []);
  const end = moment.value;
  const begin = end - span.value;
  const names = width < NARROW ? 92 : 150;
  const inner = Math.max(80, width - names - 30);
  const x = (time: number) =>
    names + (inner * (Math.max(begin, Math.min(end, time)) - begin)) / span.value;
  const y = (agentId: string) => TOP + LANE * agentIds.indexOf(agentId) + LANE / 2;
  const height = TOP + LANE * agentIds.length + 4;
  const last = span.value === HOUR ? "hour" : length(span.value);
  const label = `The last ${last}: ${counted(bars.length, "span")} of work and ${counted(talk.length, "message")} between ${counted(agentIds.length, "agent")}`;
  const refused = current().talkRefused;
  return (
    <section class="lanes" aria-label="Talk and work over time" data-test="lanes">
      <header class="band-head">
        <h3>Talk and work</h3>
        <div class="switch" role="group" aria-label="How much time is shown">
          {SPANS.map((each) => (
            <button
              key={each}
              type="button"
              aria-pressed={span.value === each}
              onClick={() => showSpan(each)}
            >
              {age(each)}
            </button>
          ))}
        </div>
      </header>
      <div ref={box} class="lanes-box">
        <Empty
          reads={["events", "messages"]}
          isEmpty={!agentIds.length}
          reading="Reading the last hour."
        >
          No work and no messages in the last {last}.
        </Empty>
        {agentIds.length > 0 && (
          <svg
            class={talk.length > 120 ? "many" : ""}
            width={width}
            height={height}
            viewBox={`0 0 ${width} ${height}`}
            role="img"
            aria-label={label}
          >
            {ticks(begin, end, inner).map((time) => (
              <g key={time} class="tick">
                <line x1={x(time)} x2={x(time)} y1={TOP - 6} y2={height} />
                <text x={x(time)} y={12} text-anchor="middle">
                  {clock(time)}
                </text>
              </g>
            ))}
            {agentIds.map((agentId) => (
              <g key={agentId} class="lane">
                <line x1={names} x2={names + inner} y1={y(agentId)} y2={y(agentId)} />
                <text x={0} y={y(agentId) + 4} class="lane-name">
                  {line(agentId, names < 100 ? 12 : 20)}
                  <title>{line(agentId, 128)}</title>
                </text>
              </g>
            ))}
            {bars.map((bar) => (
              <BarShape
                key={`${bar.taskId} ${bar.begin} ${bar.isWaiting}`}
                bar={bar}
                of={levels.get(bar.agentId) ?? 1}
                x={x}
                y={y}
                end={end}
              />
            ))}
            {talk.map(
              (each) =>
                each.time > begin && (
                  <Arcs key={each.messageId} row={each} x={x} y={y} lanes={agentIds} />
                ),
            )}
          </svg>
        )}
      </div>
      <p class="legend faint small">
        <span class="key in-progress" /> at work <span class="key input-required" /> waits for an
        answer <span class="key completed" /> completed <span class="key failed" /> ended badly{" "}
        {refused ? (
          refused
        ) : (
          <>
            <span class="key arc" /> message <span class="key arc notice" /> notice
          </>
        )}
        {hiddenAgents > 0 && <> · {number(hiddenAgents)} less active agents are not shown</>}
      </p>
      <details>
        <summary>The last messages as a list</summary>
        <ul class="plain">
          {talk
            .slice(-20)
            .reverse()
            .map((each) => (
              <li key={each.messageId} class="small">
                {clock(each.time, true)} <Who agentId={each.senderId} none="a server" /> to{" "}
                {each.recipientIds.slice(0, 3).map((to) => (
                  <Who key={to} agentId={to} />
                ))}
                : <bdi class="t">{line(each.subject, 160)}</bdi>
              </li>
            ))}
        </ul>
      </details>
    </section>
  );
}

function ticks(begin: number, end: number, width: number): number[] {
  const most = Math.max(2, Math.floor(width / 80));
  const step =
    [1, 2, 5, 10, 15, 30]
      .map((each) => each * MINUTE)
      .find((each) => (end - begin) / each <= most) ?? 30 * MINUTE;
  const found = [];
  for (let time = Math.ceil((begin + step / 4) / step) * step; time < end - step / 8; time += step)
    found.push(time);
  return found;
}

interface Scale {
  readonly x: (time: number) => number;
  readonly y: (agentId: string) => number;
}

function BarShape({ bar, of, x, y, end }: { bar: Placed; of: number; end: number } & Scale) {
  const height = of > 1 ? Math.floor((ROOM - of) / of) : BAR;
  const top = y(bar.agentId) - (of * (height + 1) - 1) / 2 + bar.level * (height + 1);
  const left = x(bar.begin);
  const tone = bar.isWaiting
    ? "input-required"
    : bar.isLost
      ? "failed"
      : bar.end === undefined
        ? "in-progress"
        : stateWord(bar.outcome).tone;
  const row = current().tasks.get(bar.taskId);
  const said = bar.isWaiting
    ? "waited for an answer"
    : bar.end === undefined
      ? "at work"
      : stateWord(bar.outcome).text;
  return (
    <rect
      class={`work ${tone === "pending" ? "cancelled" : tone}`}
      x={left}
      y={top}
      width={Math.max(2, x(bar.end ?? end) - left)}
      height={height}
      rx={of > 1 ? 2 : 3}
      onClick={() => openTask(bar.taskId)}
    >
      <title>{`${line(row?.title || bar.taskId, 200)}\n${said}, ${length((bar.end ?? end) - Math.max(bar.begin, 0))}`}</title>
    </rect>
  );
}

const ARCS_OF_ONE = 10;

function Arcs({ row, x, y, lanes: known }: { row: TalkRow; lanes: readonly string[] } & Scale) {
  const at = x(row.time);
  const from = y(row.senderId);
  const said = row.isNotice && row.verb !== undefined ? `notice: ${verbWord(row.verb)}` : "message";
  const to = row.recipientIds
    .filter((each) => each !== row.senderId && known.includes(each))
    .slice(0, ARCS_OF_ONE);
  return (
    <g
      class={row.isNotice ? "arc notice" : "arc"}
      onClick={() => go({ view: "thread", subject: row.threadId, taskId: "" })}
    >
      {to.map((each) => {
        const bend = Math.min(26, 8 + Math.abs(y(each) - from) / 10);
        return (
          <g key={each}>
            <path
              d={`M${at} ${from}C${at + bend} ${from} ${at + bend} ${y(each)} ${at} ${y(each)}`}
            />
            <circle cx={at} cy={y(each)} r="2.5" />
          </g>
        );
      })}
      <title>{`${line(row.senderId, 60)} to ${to.map((each) => line(each, 60)).join(", ")} at ${clock(row.time, true)}\n${said}: ${line(row.subject, 200)}`}</title>
    </g>
  );
}
