"""The figures of a report, from all tasks that match a filter."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from peewee import SQL, ColumnBase, Expression, fn

from dovetail.server.store.chunks import chunks
from dovetail.server.store.schema import AgentRow, TaskRow, TeamRow
from dovetail.server.store.statements import Row
from dovetail.server.store.tables import tasks
from dovetail.server.store.tables.tasks import OPEN_STATES, TaskFilter, TaskState
from dovetail.server.store.tables.usage import UsageTotal
from dovetail.server.store.transaction import Snapshot, Statement, param

_TASK_TIME = TaskRow.end_time - TaskRow.start_time
_QUEUE_TIME = TaskRow.start_time - TaskRow.create_time


class ReportBasis(IntEnum):
    """How a report was computed. The numbers are those of the contract."""

    SCAN = 1
    KEPT = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class DurationSummary:
    """Figures of a set of durations, in microseconds; None without samples."""

    sample_count: int
    average: int | None
    median: int | None
    p95: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """The work of one assignee among the tasks of a report."""

    assignee_id: str
    states: Mapping[TaskState, int]
    average_task_time: int | None
    oldest_open_create_time: int | None
    unacknowledged_messages: int
    average_acknowledge_time: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class TeamFigures:
    """What a report tells of the team, whatever its filter.

    `report_time` is the time now, but not before the last change of the team. Tasks that ended at
    `complete_since` or later are all kept; None: all are.
    """

    report_time: int
    sent_messages: int
    complete_since: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Bucket:
    """How many tasks were created and ended in a span of time that begins at `start_time`."""

    start_time: int
    created: int
    completed: int
    failed: int
    cancelled: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """The figures of a set of tasks. Usage is by assignee."""

    states: Mapping[TaskState, int]
    task_time: DurationSummary
    queue_time: DurationSummary
    input_wait: DurationSummary
    workloads: Sequence[Workload]
    total_assignees: int
    series: Sequence[Bucket]
    oldest_question_time: int | None
    basis: ReportBasis
    team: TeamFigures
    usage: Mapping[str, UsageTotal] = field(default_factory=dict[str, UsageTotal])
    removed_tasks: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class InboxLoad:
    """The message load of an agent."""

    unacknowledged_count: int
    average_acknowledge_time: int | None


_NO_INBOX = InboxLoad(unacknowledged_count=0, average_acknowledge_time=None)


_TEAM = Statement(
    TeamRow.select(TeamRow.last_time, TeamRow.last_message, TeamRow.tasks_complete_since).where(
        TeamRow.team_id == param("team_id")
    )
)


def team(snapshot: Snapshot) -> TeamFigures:
    """The figures of the team."""
    row = snapshot.row(_TEAM)
    return team_of(snapshot, row) if row else team_of(snapshot, (0, 0, None))


def team_of(snapshot: Snapshot, row: Row) -> TeamFigures:
    """The figures of a team whose row has been read."""
    last_time, last_message, complete_since = row
    return TeamFigures(
        report_time=snapshot.time_of(snapshot.team_id, last_time)[0],
        sent_messages=last_message,
        complete_since=complete_since,
    )


def oldest_question(snapshot: Snapshot, filter: TaskFilter) -> int | None:
    """When the open question of these tasks that has waited longest was asked, or None."""
    is_open = TaskRow.state == int(TaskState.INPUT_REQUIRED)
    wanted = [*tasks.conditions(snapshot, filter), is_open]
    return snapshot.select(TaskRow.select(fn.MIN(TaskRow.ask_time)).where(*wanted))[0][0]


def workloads(snapshot: Snapshot, filter: TaskFilter) -> list[Workload]:
    """The workload of each assignee of these tasks, in order of id."""
    wanted = tasks.conditions(snapshot, filter)
    columns = (
        TaskRow.assignee_id,
        TaskRow.state,
        fn.COUNT(TaskRow.number),
        fn.MIN(TaskRow.create_time),
        fn.SUM(_TASK_TIME),
    )
    query = TaskRow.select(*columns).where(*wanted)
    counts: dict[str, dict[TaskState, int]] = defaultdict(dict)
    oldest: dict[str, int] = {}
    averages: dict[str, int] = {}
    for assignee_id, number, count, create_time, total in snapshot.select(
        query.group_by(TaskRow.assignee_id, TaskRow.state)
    ):
        state = TaskState(number)
        counts[assignee_id][state] = count
        if state in OPEN_STATES:
            oldest[assignee_id] = min(create_time, oldest.get(assignee_id, create_time))
        elif state is TaskState.COMPLETED:
            averages[assignee_id] = int(total) // count
    inboxes = _inboxes(snapshot, list(counts))
    return [
        Workload(
            assignee_id=assignee_id,
            states=counts[assignee_id],
            average_task_time=averages.get(assignee_id),
            oldest_open_create_time=oldest.get(assignee_id),
            unacknowledged_messages=inboxes.get(assignee_id, _NO_INBOX).unacknowledged_count,
            average_acknowledge_time=inboxes.get(assignee_id, _NO_INBOX).average_acknowledge_time,
        )
        for assignee_id in sorted(counts)
    ]


def task_times(snapshot: Snapshot, filter: TaskFilter) -> DurationSummary:
    """Durations from start to end, of completed tasks."""
    completed = TaskRow.state == int(TaskState.COMPLETED)
    return _summary(snapshot, _TASK_TIME, [*tasks.conditions(snapshot, filter), completed])


def queue_times(snapshot: Snapshot, filter: TaskFilter) -> DurationSummary:
    """Durations from creation to start, of tasks that were started."""
    started = TaskRow.start_time.is_null(False)
    return _summary(snapshot, _QUEUE_TIME, [*tasks.conditions(snapshot, filter), started])


def input_waits(snapshot: Snapshot, filter: TaskFilter) -> DurationSummary:
    """Durations of waiting for answers, of tasks that received one."""
    waited = TaskRow.input_wait > 0
    wanted = [*tasks.conditions(snapshot, filter), waited]
    return _summary(snapshot, TaskRow.input_wait, wanted)


def span(snapshot: Snapshot, filter: TaskFilter) -> tuple[int, int] | None:
    """The first time that one of these tasks was created, and the last that one was or ended."""
    times = fn.MIN(TaskRow.create_time), fn.MAX(TaskRow.create_time), fn.MAX(TaskRow.end_time)
    query = TaskRow.select(*times).where(*tasks.conditions(snapshot, filter))
    first, last, end = snapshot.select(query)[0]
    return None if first is None else (first, max(last, end or 0))


def created(snapshot: Snapshot, filter: TaskFilter, bucket: int) -> dict[int, int]:
    """How many were created in each bucket of so many microseconds, by the bucket's start."""
    # By division, as Peewee writes % as LIKE. Grouped by position: the parameter in the expression
    # would be a second one, of which PostgreSQL does not know that it is equal.
    query = TaskRow.select(TaskRow.create_time / bucket, fn.COUNT(TaskRow.number))
    rows = query.where(*tasks.conditions(snapshot, filter)).group_by(SQL("1"))
    return {number * bucket: count for number, count in snapshot.select(rows)}


def ended(snapshot: Snapshot, filter: TaskFilter, bucket: int) -> dict[tuple[int, TaskState], int]:
    """How many ended in each bucket, by the bucket's start and their state."""
    columns = TaskRow.end_time / bucket, TaskRow.state, fn.COUNT(TaskRow.number)
    wanted = [*tasks.conditions(snapshot, filter), TaskRow.end_time.is_null(False)]
    rows = snapshot.select(TaskRow.select(*columns).where(*wanted).group_by(SQL("1"), SQL("2")))
    return {(number * bucket, TaskState(state)): count for number, state, count in rows}


def usage_by_assignee(snapshot: Snapshot, filter: TaskFilter) -> dict[str, UsageTotal]:
    """The usage of the tasks that a filter chooses, by assignee; only of those who have any."""
    query = TaskRow.select(TaskRow.number, TaskRow.assignee_id, TaskRow.usage).where(
        *tasks.conditions(snapshot, filter), TaskRow.usage.is_null(False)
    )
    found: dict[str, _UsageSum] = defaultdict(_UsageSum)
    for rows in snapshot.select_in_parts(query, TaskRow.number):
        for _, assignee_id, text in rows:
            found[assignee_id].add(json.loads(text))
    return {assignee_id: each.total() for assignee_id, each in sorted(found.items())}


class _UsageSum:
    """A sum that grows: a value for each of very many rows takes ten times as long."""

    def __init__(self) -> None:
        self._tokens = [0, 0, 0]
        self._costs: dict[str, int] = {}

    def add(self, row: list[Any]) -> None:
        for at in range(len(self._tokens)):
            self._tokens[at] += row[at]
        for currency, nanos in row[-1].items():
            self._costs[currency] = self._costs.get(currency, 0) + nanos

    def total(self) -> UsageTotal:
        input_tokens, output_tokens, cached_tokens = self._tokens
        return UsageTotal(
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cached_tokens=cached_tokens,
            costs=dict(sorted(self._costs.items())),
        )


def _summary(
    snapshot: Snapshot, length: ColumnBase, wanted: Sequence[Expression]
) -> DurationSummary:
    """Count, mean and nearest-rank percentiles of a duration."""
    totals = TaskRow.select(fn.COUNT(TaskRow.number), fn.SUM(length)).where(*wanted)
    count, total = snapshot.select(totals)[0]
    if not count:
        return DurationSummary(sample_count=0, average=None, median=None, p95=None)
    ordered = TaskRow.select(length).where(*wanted).order_by(length)

    def percentile(percent: int) -> int:
        rank = -(-count * percent // 100)
        return snapshot.select(ordered.limit(1).offset(rank - 1))[0][0]

    return DurationSummary(
        sample_count=count,
        average=int(total) // count,
        median=percentile(50),
        p95=percentile(95),
    )


def _inboxes(snapshot: Snapshot, agent_ids: Sequence[str]) -> dict[str, InboxLoad]:
    found: dict[str, InboxLoad] = {}
    for some in chunks(agent_ids):
        query = AgentRow.select(
            AgentRow.agent_id,
            AgentRow.unacknowledged_count,
            AgentRow.acknowledged_count,
            AgentRow.acknowledge_micros,
        ).where(
            AgentRow.team_id == snapshot.team_id,
            AgentRow.agent_id.in_(some),
        )
        for agent_id, unacknowledged, acknowledged, micros in snapshot.select(query):
            average = micros // acknowledged if acknowledged else None
            found[agent_id] = InboxLoad(
                unacknowledged_count=unacknowledged, average_acknowledge_time=average
            )
    return found
