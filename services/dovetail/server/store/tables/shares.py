"""What each task adds to the figures that are kept of all tasks of a team.

Of each assignee it is how many tasks are in which state, the sum of the task times, and what the
tasks used; of the team the durations as sketches. Deleted tasks add nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum

from dovetail.server.store import sketches
from dovetail.server.store.schema import (
    AssigneeFiguresRow,
    DurationFiguresRow,
    RemovedAssigneeFiguresRow,
    RemovedDurationFiguresRow,
    RemovedUsageFiguresRow,
    TaskRow,
    UsageFiguresRow,
)
from dovetail.server.store.sketches import PAGE_BUCKETS
from dovetail.server.store.tables import usage
from dovetail.server.store.tables.task_states import TaskState
from dovetail.server.store.tallies import Share, Tally
from dovetail.server.store.transaction import MICROS


class DurationKind(IntEnum):
    """The durations of tasks that a report tells. The numbers are stored."""

    TASK_TIME = 1
    QUEUE_TIME = 2
    INPUT_WAIT = 3


_NOTHING = (0,) * (len(TaskState) + 2)
"""A count for each state, seconds, microseconds."""

_ONE_AT = [tuple(int(at == one) for at in range(PAGE_BUCKETS)) for one in range(PAGE_BUCKETS)]
"""By bucket of a page: one duration in it, and none in the others."""


def _of_assignee(
    assignee_id: str,
    state: int,
    start_time: int | None,
    end_time: int | None,
    delete_time: int | None,
) -> Iterator[Share]:
    """What a task adds to the figures of its assignee."""
    if delete_time is None:
        amounts = [*_NOTHING]
        amounts[state - 1] = 1
        if state == TaskState.COMPLETED:
            amounts[-2:] = divmod((end_time or 0) - (start_time or 0), MICROS)
        yield (assignee_id,), amounts


def _of_durations(  # noqa: PLR0913 - the fields of a row, in order
    state: int,
    create_time: int,
    start_time: int | None,
    end_time: int | None,
    input_wait: int,
    delete_time: int | None,
) -> Iterator[Share]:
    """What a task adds to the sketches of the team."""
    if delete_time is not None:
        return
    if start_time is not None:
        yield _sample(DurationKind.QUEUE_TIME, start_time - create_time)
        if state == TaskState.COMPLETED:
            yield _sample(DurationKind.TASK_TIME, (end_time or 0) - start_time)
    if input_wait:
        yield _sample(DurationKind.INPUT_WAIT, input_wait)


def _of_usage(assignee_id: str, usage_json: str | None, delete_time: int | None) -> Iterator[Share]:
    """What a task adds to the usage of its assignee: tokens, and billionths by currency."""
    if usage_json is None or delete_time is not None:
        return
    total = usage.decode_total(usage_json)
    measures = {name: getattr(total, name) for name in usage.TOKENS} | dict(total.costs)
    for measure, amount in measures.items():
        if amount:
            yield (assignee_id, measure), divmod(amount, usage.NANOS)


def _sample(kind: DurationKind, micros: int) -> Share:
    page, at = divmod(sketches.bucket_of(micros), PAGE_BUCKETS)
    return (int(kind), page), (*_ONE_AT[at], *divmod(micros, MICROS))


ASSIGNEES = Tally(
    AssigneeFiguresRow,
    (
        TaskRow.assignee_id,
        TaskRow.state,
        TaskRow.start_time,
        TaskRow.end_time,
        TaskRow.delete_time,
    ),
    _of_assignee,
)
DURATIONS = Tally(
    DurationFiguresRow,
    (
        TaskRow.state,
        TaskRow.create_time,
        TaskRow.start_time,
        TaskRow.end_time,
        TaskRow.input_wait,
        TaskRow.delete_time,
    ),
    _of_durations,
)
USAGE = Tally(UsageFiguresRow, (TaskRow.assignee_id, TaskRow.usage, TaskRow.delete_time), _of_usage)

REMOVED = {
    Tally(model, tally.fields, tally.shares): tally
    for model, tally in (
        (RemovedAssigneeFiguresRow, ASSIGNEES),
        (RemovedDurationFiguresRow, DURATIONS),
        (RemovedUsageFiguresRow, USAGE),
    )
}
"""Sums over the tasks that were removed, each with the one over all tasks that has it in it."""
