"""Figures that are kept beside the tasks: a report over all tasks of a team reads few rows."""

from __future__ import annotations

from collections import defaultdict

from peewee import JOIN, SQL, ColumnBase, fn

from dovetail.server.store import sketches
from dovetail.server.store.queries import descending
from dovetail.server.store.schema import AgentRow, AssigneeFiguresRow, DurationFiguresRow, TaskRow
from dovetail.server.store.sets import Row
from dovetail.server.store.tables.reports import DurationSummary, Workload
from dovetail.server.store.tables.shares import DurationKind
from dovetail.server.store.tables.task_states import TaskState
from dovetail.server.store.transaction import MICROS, Snapshot, Statement, param

_STATES = (
    AssigneeFiguresRow.pending_tasks,
    AssigneeFiguresRow.in_progress_tasks,
    AssigneeFiguresRow.input_required_tasks,
    AssigneeFiguresRow.completed_tasks,
    AssigneeFiguresRow.failed_tasks,
    AssigneeFiguresRow.cancelled_tasks,
)
"""In the order of TaskState."""

_MINE = AssigneeFiguresRow.team_id == param("team_id")


def _total() -> ColumnBase:
    """How many tasks an assignee has."""
    total: ColumnBase = _STATES[0]
    for count in _STATES[1:]:
        total += count
    return total


_TOTALS = Statement(
    AssigneeFiguresRow.select(fn.COUNT(SQL("1")), *(fn.SUM(each) for each in _STATES)).where(
        _MINE, _total() > SQL("0")
    )
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
_DURATIONS = Statement(
    DurationFiguresRow.select(
        DurationFiguresRow.kind,
        DurationFiguresRow.bucket,
        DurationFiguresRow.sample_count,
        DurationFiguresRow.seconds,
        DurationFiguresRow.micros,
    )
    .where(
        DurationFiguresRow.team_id == param("team_id"), DurationFiguresRow.sample_count > SQL("0")
    )
    .order_by(DurationFiguresRow.kind, DurationFiguresRow.bucket)
)


def totals(snapshot: Snapshot) -> tuple[int, dict[TaskState, int]]:
    """How many assignees have tasks, and how many tasks are in each state."""
    ((assignees, *counts),) = snapshot.rows(_TOTALS)
    return assignees, {state: int(counts[state - 1] or 0) for state in TaskState}


def workloads(snapshot: Snapshot, most: int) -> list[Workload]:
    """The workload of each assignee, in order of id; at most so many, those with most tasks."""
    rows = snapshot.rows(_WORKLOADS, most=most)
    return sorted(map(_workload, rows), key=lambda each: each.assignee_id)


def durations(snapshot: Snapshot) -> dict[DurationKind, DurationSummary]:
    """The durations of all tasks, by kind. Percentiles are estimates."""
    buckets: dict[int, list[tuple[int, int]]] = defaultdict(list)
    sums: dict[int, int] = defaultdict(int)
    for kind, bucket, count, seconds, micros in snapshot.rows(_DURATIONS):
        buckets[kind].append((bucket, count))
        sums[kind] += seconds * MICROS + micros
    return {kind: _summary(buckets[kind], sums[kind]) for kind in DurationKind}


def _summary(buckets: list[tuple[int, int]], total: int) -> DurationSummary:
    count = sum(samples for _, samples in buckets)
    if not count:
        return DurationSummary(sample_count=0, average=None, median=None, p95=None)
    return DurationSummary(
        sample_count=count,
        average=total // count,
        median=sketches.percentile(buckets, 50),
        p95=sketches.percentile(buckets, 95),
    )


def _workload(row: Row) -> Workload:
    assignee_id, *counts = row[: 1 + len(_STATES)]
    seconds, micros, oldest, unacknowledged, acknowledged, acknowledge_micros = row[-6:]
    completed = counts[TaskState.COMPLETED - 1]
    return Workload(
        assignee_id=assignee_id,
        states=dict(zip(TaskState, counts, strict=True)),
        average_task_time=(seconds * MICROS + micros) // completed if completed else None,
        oldest_open_create_time=oldest,
        unacknowledged_messages=unacknowledged or 0,
        average_acknowledge_time=acknowledge_micros // acknowledged if acknowledged else None,
    )
