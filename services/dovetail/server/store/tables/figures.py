"""Figures that are kept beside the tasks: a report over all tasks of a team reads few rows."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from operator import itemgetter
from typing import Any

from peewee import JOIN, SQL, ColumnBase, fn

from dovetail.server.store import sketches
from dovetail.server.store.queries import descending
from dovetail.server.store.schema import (
    AgentRow,
    AssigneeFiguresRow,
    DurationFiguresRow,
    RemovedAssigneeFiguresRow,
    TaskRow,
    TeamRow,
    UsageFiguresRow,
)
from dovetail.server.store.sets import Row
from dovetail.server.store.sketches import PAGE_BUCKETS
from dovetail.server.store.tables import reports
from dovetail.server.store.tables.reports import DurationSummary, TeamFigures, Workload
from dovetail.server.store.tables.shares import DURATIONS, DurationKind
from dovetail.server.store.tables.task_states import TaskState
from dovetail.server.store.tables.usage import NANOS, TOKENS, UsageTotal
from dovetail.server.store.transaction import MICROS, Snapshot, Statement, param

_STATES = (
    AssigneeFiguresRow.pending_tasks,
    AssigneeFiguresRow.in_progress_tasks,
    AssigneeFiguresRow.input_required_tasks,
    AssigneeFiguresRow.completed_tasks,
    AssigneeFiguresRow.failed_tasks,
    AssigneeFiguresRow.cancelled_tasks,
)
_STATE_ORDER = tuple(TaskState)
_NO_SAMPLES = DurationSummary(sample_count=0, average=None, median=None, p95=None)

_MINE = AssigneeFiguresRow.team_id == param("team_id")


def _total(model: Any = AssigneeFiguresRow) -> ColumnBase:
    """How many tasks an assignee has."""
    first, *others = (getattr(model, str(state.name)) for state in _STATES)
    total: ColumnBase = first
    for count in others:
        total += count
    return total


_REMOVED = RemovedAssigneeFiguresRow.select(fn.SUM(_total(RemovedAssigneeFiguresRow))).where(
    RemovedAssigneeFiguresRow.team_id == param("team_id")
)


# The conditions repeat those of the index on open tasks, or SQLite would not use it.
_OLDEST_OPEN = (
    TaskRow.select(TaskRow.create_time)
    .where(
        TaskRow.team_id == AssigneeFiguresRow.team_id,
        TaskRow.assignee_id == AssigneeFiguresRow.assignee_id,
        TaskRow.end_time.is_null(),
        TaskRow.delete_time.is_null(),
    )
    .order_by(TaskRow.create_time)
    .limit(1)
)
_WORKLOADS = Statement(
    AssigneeFiguresRow.select(
        AssigneeFiguresRow.assignee_id,
        *_STATES,
        AssigneeFiguresRow.task_seconds,
        AssigneeFiguresRow.task_micros,
        _OLDEST_OPEN,
        AgentRow.unacknowledged_count,
        AgentRow.acknowledged_count,
        AgentRow.acknowledge_micros,
    )
    .join(
        AgentRow,
        JOIN.LEFT_OUTER,
        on=(AgentRow.team_id == AssigneeFiguresRow.team_id)
        & (AgentRow.agent_id == AssigneeFiguresRow.assignee_id),
    )
    .where(_MINE, _total() > SQL("0"))
    .order_by(descending(_total()), AssigneeFiguresRow.assignee_id)
    .limit(param("most"))
)
# The state as it is written in the index on questions, or SQLite would not use it.
_OLDEST_QUESTION = TaskRow.select(fn.MIN(TaskRow.ask_time)).where(
    TaskRow.team_id == param("team_id"),
    TaskRow.state == SQL(str(int(TaskState.INPUT_REQUIRED))),
)
_TOTALS = Statement(
    TeamRow.select(
        TeamRow.last_time,
        TeamRow.last_message,
        TeamRow.tasks_complete_since,
        _REMOVED,
        _OLDEST_QUESTION,
        fn.COUNT(AssigneeFiguresRow.assignee_id),
        *(fn.SUM(each) for each in _STATES),
    )
    .join(
        AssigneeFiguresRow,
        JOIN.LEFT_OUTER,
        on=(AssigneeFiguresRow.team_id == TeamRow.team_id) & (_total() > SQL("0")),
    )
    .where(TeamRow.team_id == param("team_id"))
    .group_by(TeamRow.team_id)
)
_NO_TEAM = (0, 0, None, 0, None, 0, *[0] * len(_STATES))
_USAGE = Statement(
    UsageFiguresRow.select(
        UsageFiguresRow.assignee_id,
        UsageFiguresRow.measure,
        UsageFiguresRow.billions,
        UsageFiguresRow.units,
    )
    .where(
        UsageFiguresRow.team_id == param("team_id"),
        (UsageFiguresRow.billions != SQL("0")) | (UsageFiguresRow.units != SQL("0")),
    )
    .order_by(UsageFiguresRow.assignee_id, UsageFiguresRow.measure)
)
_PAGES = Statement(
    DurationFiguresRow.select(*DURATIONS.columns[1:])
    .where(DurationFiguresRow.team_id == param("team_id"))
    .order_by(DurationFiguresRow.kind, DurationFiguresRow.page)
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """The figures of all tasks of a team. `assignees` is how many have tasks.

    Tasks that were removed are among them. Percentiles of durations are estimates. Workloads are in
    order of id; usage is by assignee, and only that of those who used something.
    """

    assignees: int
    states: Mapping[TaskState, int]
    oldest_question_time: int | None
    durations: Mapping[DurationKind, DurationSummary]
    workloads: Sequence[Workload]
    usage: Mapping[str, UsageTotal]
    team: TeamFigures
    removed_tasks: int


def read(snapshot: Snapshot, most: int) -> Figures:
    """All figures; at most so many workloads, those with most tasks. Read nothing after them."""
    statements = _TOTALS, _PAGES, _WORKLOADS, _USAGE
    totals, pages, workloads, usage = snapshot.last_rows(statements, most=most)
    row: Row = totals[0] if totals else _NO_TEAM
    removed, question_time, assignees, *counts = row[3:]
    return Figures(
        assignees=assignees,
        states={state: int(counts[state - 1] or 0) for state in _STATE_ORDER},
        oldest_question_time=question_time,
        durations=_durations(pages),
        workloads=sorted(map(_workload, workloads), key=lambda each: each.assignee_id),
        usage={assignee_id: _usage([*each]) for assignee_id, each in groupby(usage, itemgetter(0))},
        team=reports.team_of(snapshot, row[:3]),
        removed_tasks=int(removed or 0),
    )


def _durations(pages: Sequence[Row]) -> dict[DurationKind, DurationSummary]:
    by_kind = {kind: _summary([*each]) for kind, each in groupby(pages, key=itemgetter(0))}
    return {kind: by_kind.get(kind, _NO_SAMPLES) for kind in DurationKind}


def _usage(rows: Sequence[Row]) -> UsageTotal:
    sums = {measure: int(high) * NANOS + int(low) for _, measure, high, low in rows}
    tokens = {measure: sums.pop(measure, 0) for measure in TOKENS}
    return UsageTotal(
        **tokens, costs={currency: nanos for currency, nanos in sums.items() if nanos}
    )


def _summary(pages: Sequence[Row]) -> DurationSummary:
    """A sketch, from its pages in order."""
    upto = [0, *accumulate(sum(counts) for _, _, *counts, _, _ in pages)]
    count = upto[-1]
    if not count:
        return _NO_SAMPLES
    seconds, micros = sum(map(itemgetter(-2), pages)), sum(map(itemgetter(-1), pages))

    def percentile(percent: int) -> int:
        rank = -(-count * percent // 100)
        at = bisect_left(upto, rank) - 1
        _, page, first, *counts, _, _ = pages[at]
        within = [*accumulate(counts, initial=upto[at] + first)]
        return sketches.estimate(page * PAGE_BUCKETS + bisect_left(within, rank))

    return DurationSummary(
        sample_count=count,
        average=(seconds * MICROS + micros) // count,
        median=percentile(50),
        p95=percentile(95),
    )


def _workload(row: Row) -> Workload:
    assignee_id, *counts = row[: 1 + len(_STATES)]
    seconds, micros, oldest, unacknowledged, acknowledged, acknowledge_micros = row[-6:]
    completed = counts[TaskState.COMPLETED - 1]
    return Workload(
        assignee_id=assignee_id,
        states=dict(zip(_STATE_ORDER, counts, strict=True)),
        average_task_time=(seconds * MICROS + micros) // completed if completed else None,
        oldest_open_create_time=oldest,
        unacknowledged_messages=unacknowledged or 0,
        average_acknowledge_time=acknowledge_micros // acknowledged if acknowledged else None,
    )
