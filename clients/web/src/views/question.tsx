/** An open question, with everything that is needed to answer it where it stands. */
import type { Dovetail } from "@client/dovetail.js";
import { DovetailError } from "@client/errors.js";
import { TaskState } from "@client/generated/dovetail/tasks/v1/tasks_pb.js";
import { DeliveryState, Order, TaskVerb } from "@client/generated/dovetail/types/v1/types_pb.js";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { type Question, type TaskRow, taskRow } from "../data/rows.js";
import { session } from "../data/session.js";
import { published, team } from "../data/team.js";
import { SECOND } from "../lib/time.js";
import { Fault, useAction } from "../parts/fault.js";
import { sendByKey } from "../parts/keys.js";
import { TaskLink, Who } from "../parts/names.js";
import { Long, T } from "../parts/text.js";
import { Ago, Until } from "../parts/time.js";

/** After a question was replaced by another, nothing is sent for so long. */
const CHANGED_MS = SECOND;
/** After a card has come or moved, its options take no click for so long: that may be meant for another. */
const MOVED_MS = SECOND / 2;
/** A smaller move leaves the same button under the pointer. */
const MOVED_PX = 4;
/** A timer may come a little before its time. */
const SPARE_MS = 20;
const QUICK = ["Approve", "Refuse"];
/** What asks for more than a consent: for a choice, or for facts. */
const OPEN = /\b(?:or|which|what|how|who|whom|whose|when|where|why)\b/i;

export function QuestionCard({ row }: { row: TaskRow }) {
  const question = row.question;
  const [text, setText] = useState("");
  const action = useAction();
  const { isNew, isFresh } = useChange(question?.askTime ?? 0);
  const { box, isMoved } = useMove();
  if (!question) return null;
  const role = session.value?.role;
  const mayAnswer =
    role === "operator" || (role === "agent" && question.agentId === session.value?.agentId);
  const isOff = action.isRunning || isFresh;
  const answer = async (given: Given) => {
    const isDone = await action.run((requestId) => {
      const { client } = session.value ?? {};
      if (!client) throw new Error("You have signed out.");
      return provide(client, row, { ...given, requestId }).catch((reason: unknown) =>
        readAgain(reason, row.taskId),
      );
    });
    if (isDone) setText("");
    published();
  };
  return (
    <article
      ref={box}
      class="card question"
      data-test="question"
      data-task={row.taskId}
      aria-label={`Question about ${row.taskId}`}
    >
      <header>
        <Who agentId={row.assigneeId} /> <span class="faint">asks</span>{" "}
        {question.agentId === session.value?.agentId ? "you" : <Who agentId={question.agentId} />}
        <span class="spread" />
        {question.deadline !== undefined && (
          <span class="badge warn" data-test="question-deadline">
            <Until at={question.deadline} />
          </span>
        )}
        <Ago at={question.askTime} />
      </header>
      <div class="about">
        <TaskLink taskId={row.taskId} title={row.title} />
      </div>
      <Long text={question.text} />
      {isNew && (
        <p class="fault" role="alert">
          The question has changed: this is the present one.
        </p>
      )}
      {mayAnswer && (
        <Answering
          question={question}
          text={text}
          setText={setText}
          isOff={isOff}
          isMoved={isMoved}
          answer={(given) => void answer(given)}
        />
      )}
      {question.deadline !== undefined && question.defaultAnswer && (
        <p class="faint small">
          Without an answer it goes on with <T text={question.defaultAnswer} most={200} />.
        </p>
      )}
      <Fault error={action.error} />
    </article>
  );
}

interface Given {
  readonly option?: string;
  readonly text: string;
}

/** The options as buttons, and a box for a free answer or a remark. */
function Answering(props: {
  question: Question;
  text: string;
  setText: (text: string) => void;
  isOff: boolean;
  isMoved: () => boolean;
  answer: (given: Given) => void;
}) {
  const { question, text, setText, isOff, isMoved, answer } = props;
  const hasOptions = question.options.length > 0;
  const consents = isConsent(question.text) ? QUICK.map((name) => ({ name, description: "" })) : [];
  const choices = hasOptions ? question.options : consents;
  const submit = (event: Event) => {
    event.preventDefault();
    if (text.trim()) answer({ text });
  };
  return (
    <form class="answer" onSubmit={submit}>
      {choices.length > 0 && (
        <div class="options" role="group" aria-label="Options">
          {choices.map(({ name, description }) => (
            <button
              key={name}
              type="button"
              disabled={isOff}
              aria-disabled={isMoved()}
              data-test="question-option"
              data-option={name}
              onClick={() => {
                if (isMoved()) return;
                answer(hasOptions ? { option: name, text } : { text: quick(name, text) });
              }}
            >
              <T text={name} most={128} />
              {name === question.defaultAnswer && <span class="badge">default</span>}
              {description && (
                <small>
                  <T text={description} most={512} />
                </small>
              )}
            </button>
          ))}
        </div>
      )}
      <div class="box">
        <label>
          <span class="hidden">Your answer</span>
          <textarea
            rows={1}
            value={text}
            placeholder={hasOptions ? "Remark or answer" : "Answer"}
            onInput={(event) => setText(event.currentTarget.value)}
            onKeyDown={sendByKey}
            data-test="question-answer"
          />
        </label>
        <button
          type="submit"
          class={text.trim() ? "main" : ""}
          disabled={isOff || !text.trim()}
          data-test="question-send"
        >
          Answer
        </button>
      </div>
    </form>
  );
}

/** Whether it asks for a consent, as far as its words show: then that takes one click. */
function isConsent(text: string): boolean {
  const last = /([^.!?\n]*)\?\s*$/.exec(text.slice(-600))?.[1];
  return last !== undefined && !OPEN.test(last);
}

function quick(name: string, text: string): string {
  const word = name === "Approve" ? "Approved" : "Refused";
  return text.trim() ? `${word}: ${text.trim()}` : `${word}.`;
}

/** Answer, and acknowledge the question in the person's own inbox in the same commit. */
async function provide(client: Dovetail, row: TaskRow, given: Given & { requestId: string }) {
  const me = session.value?.agentId ?? "";
  const acknowledgeSequences =
    row.question?.agentId === me ? await asked(client, me, row.taskId) : [];
  const request = { ...given, taskId: row.taskId, etag: row.etag, acknowledgeSequences };
  const { task } = await client.tasks.provideTaskInput(request);
  if (task) team.value.put(taskRow(task));
}

const NOTICES = 20;

/** Where the open questions about a task are in an inbox. */
async function asked(client: Dovetail, recipientId: string, taskId: string): Promise<bigint[]> {
  const { records } = await client.messaging.listMessages({
    ...{ recipientId, states: [DeliveryState.UNACKNOWLEDGED], filter: { taskId } },
    ...{ pageSize: NOTICES, order: Order.NEWEST_FIRST },
  });
  return records
    .filter((each) => each.message?.notice?.verb === TaskVerb.REQUEST_INPUT)
    .flatMap((each) => each.receipts.filter((receipt) => receipt.recipientId === recipientId))
    .map((receipt) => receipt.sequence);
}

/** The task as it now is takes the place of what was answered; the error is still said. */
async function readAgain(reason: unknown, taskId: string): Promise<never> {
  if (reason instanceof DovetailError && ["ETAG_MISMATCH", "TASK_STATE"].includes(reason.reason)) {
    const response = await session.value?.client.tasks.getTask({ taskId });
    if (response?.task && response.task.state !== TaskState.UNSPECIFIED)
      team.value.put(taskRow(response.task));
  }
  throw reason;
}

/** Whether the question of a card was replaced, and whether that was just now; known as it is drawn. */
function useChange(askTime: number): { isNew: boolean; isFresh: boolean } {
  const first = useRef(askTime);
  const last = useRef({ askTime, restsUntil: 0 });
  const [, setRested] = useState(0);
  const now = performance.now();
  if (last.current.askTime !== askTime) last.current = { askTime, restsUntil: now + CHANGED_MS };
  const { restsUntil } = last.current;
  useEffect(() => {
    if (!restsUntil) return undefined;
    const timer = setTimeout(() => setRested(restsUntil), restsUntil - now + SPARE_MS);
    return () => clearTimeout(timer);
  }, [restsUntil]);
  return { isNew: first.current !== askTime, isFresh: now < restsUntil };
}

/** Whether a card has come to its place on the page just now, whatever moved it; known before it is painted. */
function useMove() {
  const box = useRef<HTMLElement>(null);
  const place = useRef(-Infinity);
  const restsUntil = useRef(Infinity);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>();
  const [, draw] = useState(0);
  useLayoutEffect(() => {
    if (!box.current) return;
    const top = topOf(box.current);
    if (Math.abs(top - place.current) < MOVED_PX) return;
    place.current = top;
    restsUntil.current = performance.now() + MOVED_MS;
    draw(restsUntil.current);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => draw(0), MOVED_MS + SPARE_MS);
  });
  useEffect(() => () => clearTimeout(timer.current), []);
  return { box, isMoved: () => performance.now() < restsUntil.current };
}

/** Where it is on the page, however far that is scrolled. */
function topOf(element: HTMLElement): number {
  let top = 0;
  for (let each: Element | null = element; each instanceof HTMLElement; each = each.offsetParent)
    top += each.offsetTop;
  return top;
}
