/** The report beside the bands: how much, how fast, at what cost. */
import type {
  DurationSummary,
  Report as Figures,
} from "@client/generated/dovetail/tasks/v1/tasks_pb.js";
import { href } from "../data/route.js";
import { used } from "../data/rows.js";
import { current } from "../data/team.js";
import { STATE_ORDER, stateWord } from "../data/words.js";
import { Empty } from "../parts/band.js";
import { compact, counted, number } from "../lib/text.js";
import { clock, durationMs, length, millis } from "../lib/time.js";

export function Report() {
  const { report, hour, today } = current();
  return (
    <section class="report" aria-labelledby="report-title" data-test="report">
      <h2 id="report-title">Report</h2>
      <Empty reads={["report", "hour", "today"]} isEmpty={!report} reading="Reading the report.">
        There is no report.
      </Empty>
      {report && (
        <>
          <Totals report={report} />
          {hour && <Throughput hour={hour} />}
          <Times report={report} />
          <Usage all={report} today={today} />
          <p class="faint small">
            {counted(Number(report.sentMessages), "message")} sent in all
            {report.removedTasks > 0n && (
              <>; {number(Number(report.removedTasks))} tasks are kept as figures alone</>
            )}
          </p>
        </>
      )}
    </section>
  );
}

function Totals({ report }: { report: Figures }) {
  const counts = new Map(report.states.map((each) => [each.state, Number(each.count)]));
  const total = Number(report.totalTasks);
  let at = 0;
  return (
    <>
      <svg
        class="states"
        viewBox="0 0 1000 1000"
        preserveAspectRatio="none"
        role="img"
        aria-label="Tasks by state"
      >
        {STATE_ORDER.map((state) => {
          const width = total ? (1_000 * (counts.get(state) ?? 0)) / total : 0;
          const begin = at;
          at += width;
          return (
            width > 0 && (
              <rect
                key={state}
                class={stateWord(state).tone}
                x={begin}
                y="0"
                width={width}
                height="1000"
              />
            )
          );
        })}
      </svg>
      <dl class="pairs">
        {STATE_ORDER.map((state) => {
          const { text, tone } = stateWord(state);
          return (
            <div key={state}>
              <dt>
                <span class={`key ${tone}`} />
                <a href={href({ view: "tasks", subject: text.replace(" ", "-") })}>{text}</a>
              </dt>
              <dd>{number(counts.get(state) ?? 0)}</dd>
            </div>
          );
        })}
        <div class="sum">
          <dt>tasks</dt>
          <dd>{number(total)}</dd>
        </div>
      </dl>
    </>
  );
}

function Throughput({ hour }: { hour: Figures }) {
  const completed = Number(hour.completedTasks);
  const values = hour.series.map((each) => ({
    time: millis(each.startTime) ?? 0,
    count: Number(each.completedTasks),
  }));
  const most = Math.max(1, ...values.map((each) => each.count));
  const first = Date.now() - 3_600_000;
  const columns = values.filter((each) => each.time > first - 120_000);
  return (
    <>
      <h3>Last hour</h3>
      <p class="figure">
        <b>{number(completed)}</b> completed{" "}
        <span class="faint nowrap">{(completed / 60).toFixed(1)} a minute</span>
      </p>
      {columns.length > 1 && (
        <svg
          class="columns"
          viewBox="0 0 3600 100"
          preserveAspectRatio="none"
          role="img"
          aria-label={`Completed tasks in spans of 2 minutes, at most ${most}`}
        >
          {columns.map(({ time, count }) => (
            <rect
              key={time}
              class="completed"
              x={(time - first) / 1_000 + 10}
              width="100"
              y={100 - (96 * count) / most}
              height={(96 * count) / most}
            >
              <title>{`from ${clock(time)}: ${count} completed`}</title>
            </rect>
          ))}
        </svg>
      )}
    </>
  );
}

function Times({ report }: { report: Figures }) {
  const rows: [string, DurationSummary | undefined][] = [
    ["work", report.taskTime],
    ["queue", report.queueTime],
    ["answers", report.inputWaitTime],
  ];
  return (
    <table class="times">
      <caption class="hidden">How long tasks took and waited</caption>
      <thead>
        <tr>
          <th scope="col">time</th>
          <th scope="col">p50</th>
          <th scope="col">p95</th>
        </tr>
      </thead>
      <tbody>
        {rows.map(([name, summary]) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            <td>{said(durationMs(summary?.median))}</td>
            <td>{said(durationMs(summary?.p95))}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function said(ms: number | undefined): string {
  return ms === undefined ? "\u2013" : length(ms);
}

function Usage({ all, today }: { all: Figures; today: Figures | undefined }) {
  const total = used(all.usage);
  // Read apart from `all`: where all tasks are of today it would only differ by that moment.
  const recent = today && today.totalTasks < all.totalTasks ? used(today.usage) : undefined;
  if (!total) return null;
  return (
    <>
      <h3>Cost</h3>
      <dl class="pairs">
        <div>
          <dt>in all</dt>
          <dd>{total.costs || "\u2013"}</dd>
        </div>
        <div>
          <dt>tokens</dt>
          <dd>{compact(total.tokens)}</dd>
        </div>
        {recent && (
          <div>
            <dt title="of the tasks that changed today">today</dt>
            <dd>{recent.costs || `${compact(recent.tokens)} tokens`}</dd>
          </div>
        )}
      </dl>
    </>
  );
}
