"""Tasks that needed more than one attempt: who held each, how it ended and why, what it used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dovetail.cli.output.lists import attempt_length, attempt_words
from dovetail.cli.output.render import said, used
from dovetail.cli.output.text import local
from dovetail.cli.pages import parts
from dovetail.cli.pages.markup import Markup, element, joined, written_by_others
from dovetail.tasks.v1 import tasks_pb2 as work

NOTHING = Markup("")
HEADER = ("attempt", "holder", "end", "what", "used", "lasted", "began")
WORDS_MAX = 500
"""Characters of a failure or reason that are shown."""


@dataclass(frozen=True, kw_only=True)
class RetriedTask:
    """A task, and its last attempts in order; `left_out` came before them."""

    task: work.Task
    attempts: Sequence[work.TaskAttempt]
    left_out: int = 0


def retried_tasks(tasks: Sequence[RetriedTask]) -> Markup:
    """A table of attempts for each task."""
    if not tasks:
        return NOTHING
    return parts.section("Tasks that needed more than one attempt", *map(_one, tasks))


def _one(retried: RetriedTask) -> Markup:
    task = retried.task
    state = said(work.TaskState, task.state)
    head = element(
        "h3", written_by_others(task.task_id), ": ", written_by_others(task.title), f", {state}"
    )
    caption = f"Attempts of {task.task_id}"
    if retried.left_out:
        caption += (
            f": the last {len(retried.attempts):,}; {retried.left_out:,} before them are left out"
        )
    return joined(head, parts.table(caption, HEADER, [_row(each) for each in retried.attempts]))


def _row(attempt: work.TaskAttempt) -> tuple[str, ...]:
    words = attempt_words(attempt)
    if len(words) > WORDS_MAX:
        words = f"{words[:WORDS_MAX]}…"
    return (
        str(attempt.attempt),
        written_by_others(attempt.holder_id) if attempt.holder_id else "-",
        said(work.AttemptEnd, attempt.end) if attempt.end else "at work",
        element("bdi", words, class_="words"),
        used(attempt.usage) if attempt.HasField("usage") else "-",
        attempt_length(attempt) or "-",
        local(attempt.start_time),
    )
