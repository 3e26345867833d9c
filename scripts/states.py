"""Writes docs/states.md from the tables in the code; with --check, proves that it is up to date."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from dovetail.server.store.tables.delivery_states import (
    OPEN_STATES,
    DeliveryAct,
    DeliveryState,
)
from dovetail.server.store.tables.delivery_states import TRANSITIONS as OF_DELIVERIES
from dovetail.server.store.tables.endings import NOTICES_LOOKED_AT, WITHDRAWN_NOTICES_MAX
from dovetail.server.store.tables.events import TaskVerb
from dovetail.server.store.tables.tasks import TaskState
from dovetail.server.tasks.notices import ASKING_VERBS, RULES, Rule
from dovetail.server.tasks.notices import RETRIED as TOLD_OF_RETRIES
from dovetail.server.tasks.states import (
    FORCED,
    LEASE_VERBS,
    RETRIED,
    SYSTEM_VERBS,
    TRANSITIONS,
)

PAGE = Path(__file__).parent.parent / "docs" / "states.md"
HEAD = """# The life of a task, and of a delivery

This page is written by `make states` from the tables in `dovetail.server.tasks.states`,
`dovetail.server.tasks.notices` and `dovetail.server.store.tables.delivery_states`; `make lint`
fails when it is out of date. Of a delivery: [below](#the-life-of-a-delivery).

"""

WHEN = {
    TaskVerb.EXPIRE_LEASE: "a server saw no heartbeat for the lease's whole duration",
    TaskVerb.BECOME_READY: "the last task on which it depends was completed",
    TaskVerb.FAIL_DEPENDENCY: "a task on which it depends failed or was cancelled",
    TaskVerb.BECOME_OVERDUE: "its due time has passed; once",
    TaskVerb.SPEND_BUDGET: "the usage of its tree has reached its max_tokens or max_cost",
    TaskVerb.KEEP_LATE_RESULT: "CompleteTask or FailTask came after others had ended the attempt",
}

Moves = dict[TaskState, TaskState]


def main() -> int:
    """Write the page, or compare it."""
    parts = (_diagram(), _verbs(), _system_verbs(), _holders(), _notices(), _deliveries())
    text = HEAD + "\n".join("\n".join((*part, "")) for part in parts)
    if "--check" not in sys.argv:
        PAGE.write_text(text)
        return 0
    if PAGE.exists() and PAGE.read_text() == text:
        return 0
    print(f"{PAGE.name} is out of date: run make states", file=sys.stderr)
    return 1


def _diagram() -> Iterator[str]:
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield f"    [*] --> {TaskState.PENDING.name}: create"
    arrows: dict[tuple[TaskState, TaskState], list[str]] = {}
    for table, suffix in ((TRANSITIONS, ""), (FORCED, " (force)"), (RETRIED, " (retry)")):
        for verb, moves in table.items():
            for before, after in moves.items():
                if before is not after:
                    arrows.setdefault((before, after), []).append(verb.words + suffix)
    for (before, after), verbs in arrows.items():
        yield f"    {before.name} --> {after.name}: {', '.join(verbs)}"
    yield "```"


def _verbs() -> Iterator[str]:
    yield from _head("verb", *_names())
    for verb, moves in TRANSITIONS.items():
        if verb not in SYSTEM_VERBS:
            yield _row(verb.words, *(_cell(verb, moves, state) for state in TaskState))
    yield ""
    yield "Refused: FAILED_PRECONDITION `TASK_STATE`, with the state and the verbs that it allows."
    yield "Retry: the failure was said to be retryable, and attempts are left. To start or claim a"
    yield "task it must be ready: every task on which it depends is COMPLETED, and its"
    yield "`schedule_time` has passed; otherwise FAILED_PRECONDITION `TASK_NOT_READY`."


def _cell(verb: TaskVerb, moves: Moves, state: TaskState) -> str:
    """Where a verb leads from a state."""
    retried, forced = RETRIED.get(verb, {}), FORCED.get(verb, {})
    if state in moves:
        again = f"; retry: {retried[state].name}" if state in retried else ""
        return moves[state].name + again
    return f"with `force`: {forced[state].name}" if state in forced else "refused"


def _system_verbs() -> Iterator[str]:
    yield "## System events"
    yield ""
    yield "No call is for these. Where one leads to no other state it only writes its event."
    yield ""
    yield from _head("event", "when", "leads to")
    for verb, when in WHEN.items():
        moves = TRANSITIONS.get(verb, {})
        leads = (f"{state.name}: {_cell(verb, moves, state)}" for state in moves)
        yield _row(verb.words, when, "; ".join(leads))


def _holders() -> Iterator[str]:
    verbs = ", ".join(verb.words for verb in TaskVerb if verb in LEASE_VERBS)
    yield "## Who may"
    yield ""
    yield f"While a task is held under a lease, its token is needed for: {verbs}."
    yield "Without one they are `LEASE_TOKEN_REQUIRED`; with one that is not, or no longer, the"
    yield "task's they are `LEASE_LOST`. Where servers ask for credentials, the caller must besides"
    yield "[have a part in the task](reference/rights.md#whose-own-a-task-is)."


def _notices() -> Iterator[str]:
    yield "## Who gets a notice"
    yield ""
    yield "Never the agent that acted; at most one to each agent; none with `notify: NONE`."
    yield ""
    yield from _head("verb", "verb of the notice", "who gets it")
    for verb, rules in RULES.items():
        for rule in rules:
            yield _told(verb.words, rule)
        if verb is TaskVerb.FAIL:
            yield _told(f"{verb.words} (retry)", TOLD_OF_RETRIES)
    asking = ", ".join(verb.name for verb in TaskVerb if verb in ASKING_VERBS)
    yield ""
    yield "A task that is cancelled withdraws, in the same commit, those of its notices that are"
    yield f"still open and ask for something: {asking}."
    yield "The others report what happened, and stay. It looks at the last"
    yield f"{NOTICES_LOOKED_AT} messages about the task (with `cascade` about each task), and"
    yield f"withdraws {WITHDRAWN_NOTICES_MAX:,} deliveries at most; what is older stays open."


ACTS = {
    DeliveryAct.HAND_OUT: "a server wrote it to a call of its recipient",
    DeliveryAct.SEE: "MarkMessagesSeen, or a reply to it",
    DeliveryAct.ACKNOWLEDGE: "AcknowledgeMessages, and `acknowledge_…` of other calls",
    DeliveryAct.REJECT: "RejectMessage",
    DeliveryAct.WITHDRAW: "WithdrawMessage; CancelTask, of notices",
    DeliveryAct.EXPIRE: "the `expire_time` of its message has passed",
}


def _deliveries() -> Iterator[str]:
    yield "## The life of a delivery"
    yield ""
    yield "What becomes of a message in one inbox, as receipts tell it."
    yield ""
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield f"    [*] --> {DeliveryState.UNACKNOWLEDGED.name}: send"
    for act, moves in OF_DELIVERIES.items():
        for before, after in moves.items():
            if before is not after:
                yield f"    {before.name} --> {after.name}: {act.value}"
    yield "```"
    yield ""
    states = [*OPEN_STATES, *(state for state in DeliveryState if state not in OPEN_STATES)]
    yield from _head("act", "by", *(state.name for state in states))
    for act, moves in OF_DELIVERIES.items():
        cells = (moves[state].name if state in moves else "refused" for state in states)
        yield _row(act.value, ACTS[act], *cells)
    yield ""
    yield f"Open are {', '.join(state.name for state in OPEN_STATES)}: they are counted as"
    yield "unacknowledged. The others are ends: none changes any more, and only what is"
    yield "ACKNOWLEDGED is handed out again, to a stream that includes it. An act that leads to the"
    yield "same state changes nothing, and is no error. Refused: FAILED_PRECONDITION"
    yield "`DELIVERY_ACKNOWLEDGED`."


def _told(name: str, rule: Rule) -> str:
    return _row(name, rule.verb.name, ", ".join(part.value for part in rule.audience))


def _names() -> Iterable[str]:
    return (state.name for state in TaskState)


def _head(*names: str) -> Iterator[str]:
    yield _row(*names)
    yield "|---" * len(names) + "|"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
