"""Figures of the whole store, over all teams: for those who operate it, and never for callers.

A report of one team reads kept figures; these sum them up. The oldest of something is looked for at
the head of an index for each agent or team.
"""

from __future__ import annotations

from peewee import SQL, Case, fn

from dovetail.server.store.schema import (
    AgentRow,
    AssigneeFiguresRow,
    DeliveryRow,
    RemovedAssigneeFiguresRow,
    TaskRow,
    TeamRow,
)
from dovetail.server.store.tables.queues import READY
from dovetail.server.store.tables.task_states import TaskState
from dovetail.server.store.transaction import GlobalSnapshot, Statement, param

_COLUMNS = [f"{state.name.lower()}_tasks" for state in TaskState]
_TASKS = Statement(
    AssigneeFiguresRow.select(*(fn.SUM(getattr(AssigneeFiguresRow, each)) for each in _COLUMNS))
)
_REMOVED_TASKS = Statement(
    RemovedAssigneeFiguresRow.select(
        *(fn.SUM(getattr(RemovedAssigneeFiguresRow, each)) for each in _COLUMNS)
    )
)
# The first of an inbox: sequences rise with time. The conditions repeat those of the index on what
# is unacknowledged, or SQLite would not use it; a notice has no size.
_FIRST_MAIL = (
    DeliveryRow.select(DeliveryRow.create_time)
    .where(
        DeliveryRow.team_id == AgentRow.team_id,
        DeliveryRow.agent_id == AgentRow.agent_id,
        DeliveryRow.acknowledge_time.is_null(),
        DeliveryRow.size > SQL("0"),
    )
    .order_by(DeliveryRow.sequence)
    .limit(1)
)
_OLDEST_MAIL = Statement(
    AgentRow.select(fn.MIN(_FIRST_MAIL)).where(
        AgentRow.mail_count > SQL("0"), AgentRow.remove_time.is_null()
    )
)
_FIRST_READY = (
    TaskRow.select(
        Case(
            None,
            [(TaskRow.schedule_time > TaskRow.update_time, TaskRow.schedule_time)],
            TaskRow.update_time,
        )
    )
    .where(
        TaskRow.team_id == TeamRow.team_id,
        READY,
        TaskRow.schedule_time.is_null() | (TaskRow.schedule_time <= param("now")),
    )
    .order_by(TaskRow.number)
    .limit(1)
)
_OLDEST_READY = Statement(TeamRow.select(fn.MIN(_FIRST_READY)))


def tasks_by_state(snapshot: GlobalSnapshot) -> dict[TaskState, int]:
    """How many tasks are in which state. Those that were removed are in the sums of both tables."""
    (kept,), (removed,) = snapshot.rows(_TASKS), snapshot.rows(_REMOVED_TASKS)
    return {state: int(kept[state - 1] or 0) - int(removed[state - 1] or 0) for state in TaskState}


def oldest_mail(snapshot: GlobalSnapshot) -> int | None:
    """When the oldest message was delivered that is unacknowledged and no notice."""
    ((oldest,),) = snapshot.rows(_OLDEST_MAIL)
    return oldest


def oldest_ready(snapshot: GlobalSnapshot, now: int) -> int | None:
    """Since when a ready task waits: of those that were created first in each team."""
    ((oldest,),) = snapshot.rows(_OLDEST_READY, now=now)
    return oldest
