/** The attempts of a task: who held it, how it ended and why, what it used. */
import type { TaskAttempt } from "@client/generated/dovetail/tasks/v1/tasks_pb.js";
import { money } from "../data/rows.js";
import { endWord } from "../data/words.js";
import { compact, number } from "../lib/text.js";
import { length, millis, now } from "../lib/time.js";
import { Who } from "../parts/names.js";
import { T } from "../parts/text.js";
import { At } from "../parts/time.js";

export function Attempts({ attempts }: { attempts: readonly TaskAttempt[] }) {
  if (!attempts.length) return null;
  return (
    <section data-test="attempts">
      <h2>
        Attempts <span class="faint num">{number(attempts.length)}</span>
      </h2>
      <ol class="plain">
        {attempts.map((attempt) => (
          <Row key={String(attempt.startEventNumber)} attempt={attempt} />
        ))}
      </ol>
    </section>
  );
}

function Row({ attempt }: { attempt: TaskAttempt }) {
  const begin = millis(attempt.startTime) ?? 0;
  const { text, tone } = endWord(attempt.end);
  const late = attempt.lateResult?.outcome;
  const lateText =
    late?.case === "result"
      ? late.value.summary
      : late?.case === "failure"
        ? late.value.message
        : "";
  const why = attempt.failure?.message || attempt.reason;
  const tokens = attempt.usage ? Number(attempt.usage.inputTokens + attempt.usage.outputTokens) : 0;
  const costs = attempt.usage?.cost ? money(attempt.usage.cost) : "";
  return (
    <li class="item">
      <div class="item-main">
        <span class="num faint">{attempt.attempt}.</span>{" "}
        <Who agentId={attempt.holderId} none="no agent" />{" "}
        <span class={`state ${tone}`}>{text}</span>
        {why && (
          <div class="item-said">
            <T text={why} most={600} />
          </div>
        )}
        {late && (
          <div class="item-said">
            came too late, and was kept: <T text={lateText} most={600} />
          </div>
        )}
      </div>
      <div class="item-side">
        <span>
          <At at={begin} exact />, {length((millis(attempt.endTime) ?? now.value) - begin)}
        </span>
        {attempt.usage && (
          <span>
            {compact(tokens)} tokens{costs && `, ${costs}`}
            {attempt.usage.model && (
              <>
                , <T text={attempt.usage.model} most={40} />
              </>
            )}
          </span>
        )}
      </div>
    </li>
  );
}
