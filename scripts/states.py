"""Writes docs/states.md from the tables in the code; with --check, proves that it is up to date."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from dovetail.server.store.records import TaskState
from dovetail.server.tasks.notices import RETRIED as TOLD_OF_RETRIES
from dovetail.server.tasks.notices import RULES, Rule
from dovetail.server.tasks.states import (
    BEFALLS,
    FORCED,
    HOLDERS,
    RETRIED,
    TRANSITIONS,
    Verb,
)

PAGE = Path(__file__).parent.parent / "docs" / "states.md"
HEAD = """# The life of a task

This page is written by `make states` from the tables in `dovetail.server.tasks.states` and
`dovetail.server.tasks.notices`; `make lint` fails when it is out of date.

"""

WHAT_BEFALLS = {
    Verb.LOSE_LEASE: "its holder was silent for the whole length of the lease, as a server saw",
    Verb.BECOME_READY: "the last of what it depends on was completed",
    Verb.LOSE_DEPENDENCY: "something that it depends on failed or was cancelled",
    Verb.BECOME_OVERDUE: "its due time has passed; it is told once",
}

Moves = dict[TaskState, TaskState]


def main() -> int:
    """Write the page, or compare it."""
    parts = (_diagram(), _verbs(), _befalls(), _holders(), _notices())
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
                    arrows.setdefault((before, after), []).append(verb.value + suffix)
    for (before, after), verbs in arrows.items():
        yield f"    {before.name} --> {after.name}: {', '.join(verbs)}"
    yield "```"


def _verbs() -> Iterator[str]:
    yield from _head("verb", *_names())
    for verb, moves in TRANSITIONS.items():
        if verb not in BEFALLS:
            yield _row(verb.value, *(_cell(verb, moves, state) for state in TaskState))
    yield ""
    yield "Refused: FAILED_PRECONDITION `TASK_STATE`, with the state and the verbs that it allows."
    yield "Retry: the failure was said to be retryable, and attempts are left. To start or claim a"
    yield "task it must be ready: all that it depends on is COMPLETED, and its `schedule_time` has"
    yield "passed. Otherwise it is FAILED_PRECONDITION `TASK_NOT_READY`."


def _cell(verb: Verb, moves: Moves, state: TaskState) -> str:
    """Where a verb leads from a state."""
    retried, forced = RETRIED.get(verb, {}), FORCED.get(verb, {})
    if state in moves:
        again = f"; retry: {retried[state].name}" if state in retried else ""
        return moves[state].name + again
    return f"with `force`: {forced[state].name}" if state in forced else "refused"


def _befalls() -> Iterator[str]:
    yield "## What befalls it"
    yield ""
    yield "This happens without a call. Where it leads nowhere it is an event alone."
    yield ""
    yield from _head("what", "when", "where it leads")
    for verb, when in WHAT_BEFALLS.items():
        moves = TRANSITIONS.get(verb, {})
        leads = (f"{state.name}: {_cell(verb, moves, state)}" for state in moves)
        yield _row(verb.value, when, "; ".join(leads))


def _holders() -> Iterator[str]:
    verbs = ", ".join(verb.value for verb in Verb if verb in HOLDERS)
    yield "## Who may"
    yield ""
    yield f"While a task is held under a lease, its token is needed for: {verbs}."
    yield "Without one they are `LEASE_TOKEN_REQUIRED`; with one that is not, or no longer, the"
    yield "task's they are `LEASE_LOST`. Where servers ask for credentials, the caller must besides"
    yield "[have a part in the task](reference/rights.md#whose-own-a-task-is)."


def _notices() -> Iterator[str]:
    yield "## Who is told"
    yield ""
    yield "Never the agent that acted, nobody twice of one change, nobody with `notify: NONE`."
    yield ""
    yield from _head("verb", "event of the notice", "who is told")
    for verb, rule in RULES.items():
        yield _told(verb.value, rule)
        if verb is Verb.FAIL:
            yield _told(f"{verb.value} (retry)", TOLD_OF_RETRIES)


def _told(name: str, rule: Rule) -> str:
    return _row(name, rule.event.name, ", ".join(part.value for part in rule.audience))


def _names() -> Iterable[str]:
    return (state.name for state in TaskState)


def _head(*names: str) -> Iterator[str]:
    yield _row(*names)
    yield "|---" * len(names) + "|"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
