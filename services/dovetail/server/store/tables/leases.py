"""Leases of tasks, and overdue tasks: read for all teams at once."""

from __future__ import annotations

from dataclasses import dataclass

from peewee import SQL

from dovetail.server.store.schema import TaskRow
from dovetail.server.store.tables.tasks import TaskState
from dovetail.server.store.transaction import GlobalSnapshot, Statement, param

_EXPIRABLE = Statement(
    TaskRow.select(
        TaskRow.team_id,
        TaskRow.task_id,
        TaskRow.lease_token,
        TaskRow.lease_count,
        TaskRow.lease_duration,
    ).where(TaskRow.lease_token != SQL("''"), TaskRow.state == int(TaskState.IN_PROGRESS))
)
# The conditions repeat those of the index on due tasks, or SQLite would not use it.
_OVERDUE = Statement(
    TaskRow.select(TaskRow.team_id, TaskRow.task_id)
    .where(
        TaskRow.due_time.is_null(False),
        TaskRow.overdue_told == SQL("0"),
        TaskRow.end_time.is_null(),
        TaskRow.delete_time.is_null(),
        TaskRow.due_time <= param("now"),
    )
    .order_by(TaskRow.due_time)
    .limit(param("most"))
)


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldLease:
    """A lease as it is now: while `count` grows, its holder is alive. `duration` in µs."""

    team_id: str
    task_id: str
    token: str
    count: int
    duration: int


def held(snapshot: GlobalSnapshot) -> list[HeldLease]:
    """All leases that can expire: those of tasks IN_PROGRESS."""
    return [
        HeldLease(team_id=team_id, task_id=task_id, token=token, count=count, duration=duration)
        for team_id, task_id, token, count, duration in snapshot.rows(_EXPIRABLE)
    ]


def overdue(snapshot: GlobalSnapshot, now: int, most: int) -> list[tuple[str, str]]:
    """The team and id of open tasks whose due time has passed without a notice so far."""
    return [(team_id, task_id) for team_id, task_id in snapshot.rows(_OVERDUE, now=now, most=most)]
