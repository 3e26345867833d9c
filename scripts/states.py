"""Writes docs/states.md from the tables in the code; with --check, proves that it is up to date."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from dovetail.server.store.records import TaskState
from dovetail.server.tasks.notices import RULES
from dovetail.server.tasks.states import FORCED, TRANSITIONS

PAGE = Path(__file__).parent.parent / "docs" / "states.md"
HEAD = """# The life of a task

This page is written by `make states` from the tables in `dovetail.server.tasks.states` and
`dovetail.server.tasks.notices`; `make lint` fails when it is out of date.

"""


def main() -> int:
    """Write the page, or compare it."""
    text = HEAD + "\n".join((*_diagram(), "", *_verbs(), "", *_notices())) + "\n"
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
    for table, suffix in ((TRANSITIONS, ""), (FORCED, " (force)")):
        for verb, moves in table.items():
            for before, after in moves.items():
                if before is not after:
                    arrows.setdefault((before, after), []).append(verb.value + suffix)
    for (before, after), verbs in arrows.items():
        yield f"    {before.name} --> {after.name}: {', '.join(verbs)}"
    yield "```"


def _verbs() -> Iterator[str]:
    yield "| verb | " + " | ".join(state.name for state in TaskState) + " |"
    yield "|---|" + "---|" * len(TaskState)
    for verb, moves in TRANSITIONS.items():
        forced = FORCED.get(verb, {})
        cells = [
            moves[state].name
            if state in moves
            else f"with `force`: {forced[state].name}"
            if state in forced
            else "refused"
            for state in TaskState
        ]
        yield f"| {verb.value} | " + " | ".join(cells) + " |"
    yield ""
    yield "Refused: FAILED_PRECONDITION `TASK_STATE`, with the state and the verbs that it allows."


def _notices() -> Iterator[str]:
    yield "## Who is told"
    yield ""
    yield "Never the agent that acted, nobody twice of one change, nobody with `notify: NONE`."
    yield ""
    yield "| verb | event of the notice | who is told |"
    yield "|---|---|---|"
    for verb, rule in RULES.items():
        audience = ", ".join(part.value for part in rule.audience)
        yield f"| {verb.value} | {rule.event.name} | {audience} |"


if __name__ == "__main__":
    sys.exit(main())
