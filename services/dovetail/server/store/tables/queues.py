"""Queues: the tasks that are ready to be claimed, in the order in which they are assigned.

A queue holds the tasks of one assignee; that of the empty id is the pool. Claims that wait at a
queue watch the bell of its name, which no inbox can have.
"""

from __future__ import annotations

from collections.abc import Sequence

from peewee import SQL, Expression, ModelSelect, fn

from dovetail.server.store.chunks import chunks
from dovetail.server.store.queries import descending
from dovetail.server.store.rings import QUEUE
from dovetail.server.store.schema import TaskRow
from dovetail.server.store.tables import tasks
from dovetail.server.store.tables.tasks import Task, TaskFilter
from dovetail.server.store.transaction import Snapshot, Statement, param

POOL = ""
_LAST = SQL("9223372036854775807")
# Repeats the conditions of the indexes on ready tasks, or SQLite would not use them.
READY = (
    (TaskRow.state == SQL("1"))
    & (TaskRow.waiting_for_count == SQL("0"))
    & (TaskRow.spent_budgets == SQL("0"))
    & TaskRow.delete_time.is_null()
)
_ORDER = (descending(TaskRow.priority), fn.COALESCE(TaskRow.due_time, _LAST), TaskRow.number)
_FIRST = Statement(
    TaskRow.select(*tasks.COLUMNS)
    .where(
        TaskRow.team_id == param("team_id"),
        TaskRow.assignee_id == param("assignee_id"),
        READY,
        TaskRow.schedule_time.is_null() | (TaskRow.schedule_time <= param("now")),
    )
    .order_by(*_ORDER)
    .limit(param("most"))
)
_NEXT_TIME = Statement(
    TaskRow.select(fn.MIN(TaskRow.schedule_time)).where(
        TaskRow.team_id == param("team_id"), READY, TaskRow.schedule_time > param("now")
    )
)


def name(assignee_id: str) -> str:
    """The name of a queue's bell."""
    return QUEUE + assignee_id


def ready(
    snapshot: Snapshot,
    assignee_id: str,
    filter: TaskFilter | None,
    limit: tuple[int, int],
) -> list[Task]:
    """The first ready tasks of a queue; `limit` is the time now, and how many at most."""
    now, most = limit
    if filter is None:
        values = {"assignee_id": assignee_id, "now": now, "most": most}
        return tasks.from_rows(snapshot, snapshot.rows(_FIRST, **values))
    query = TaskRow.select(*tasks.COLUMNS).where(
        TaskRow.assignee_id == assignee_id,
        *_waiting(snapshot.team_id, now),
        *_chosen(snapshot, filter),
    )
    return tasks.from_rows(snapshot, snapshot.select(query.order_by(*_ORDER).limit(most)))


def any_ready(
    snapshot: Snapshot,
    assignee_ids: Sequence[str],
    filter: TaskFilter | None,
    now: int,
) -> bool:
    """Whether any of these queues has a ready task."""
    chosen = _chosen(snapshot, filter)
    return any(
        snapshot.select(_first(snapshot.team_id, some, chosen, now))
        for some in chunks(assignee_ids)
    )


def next_time(snapshot: Snapshot, now: int) -> int | None:
    """When the next scheduled task of a team becomes ready, or None."""
    ((found,),) = snapshot.rows(_NEXT_TIME, now=now)
    return found


def due(snapshot: Snapshot, since: int, until: int) -> list[str]:
    """The queues in which a scheduled task became ready between two times."""
    query = TaskRow.select(TaskRow.assignee_id).where(
        TaskRow.team_id == snapshot.team_id,
        READY,
        TaskRow.schedule_time >= since,
        TaskRow.schedule_time <= until,
    )
    return [assignee_id for (assignee_id,) in snapshot.select(query.distinct())]


def _waiting(team_id: str, now: int) -> list[Expression]:
    return [
        TaskRow.team_id == team_id,
        READY,
        TaskRow.schedule_time.is_null() | (TaskRow.schedule_time <= now),
    ]


def _first(
    team_id: str, assignee_ids: Sequence[str], chosen: Sequence[Expression], now: int
) -> ModelSelect[TaskRow]:
    """One ready task of these queues. For one queue the first: the order then uses its index."""
    query = TaskRow.select(TaskRow.number).where(
        TaskRow.assignee_id.in_(list(assignee_ids)), *_waiting(team_id, now), *chosen
    )
    return (query if len(assignee_ids) > 1 else query.order_by(*_ORDER)).limit(1)


def _chosen(snapshot: Snapshot, filter: TaskFilter | None) -> list[Expression]:
    return tasks.conditions(snapshot, filter) if filter else []
