"""Follow-ups: the rest of a change's effect on the tasks that wait for its task.

Written in the commit of the change, advanced in the commit of each step, and removed with the last
one: wherever a process is killed in between, each task is updated, and only once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dovetail.server.store.queries import Delete
from dovetail.server.store.schema import TaskFollowUpRow
from dovetail.server.store.transaction import (
    GlobalSnapshot,
    Row,
    Snapshot,
    Statement,
    Transaction,
    param,
    params,
)

_COLUMNS = (
    TaskFollowUpRow.team_id,
    TaskFollowUpRow.event_number,
    TaskFollowUpRow.task_id,
    TaskFollowUpRow.verb,
    TaskFollowUpRow.actor_id,
    TaskFollowUpRow.notify,
    TaskFollowUpRow.after_number,
)
_ONE = (TaskFollowUpRow.team_id == param("team_id")) & (
    TaskFollowUpRow.event_number == param("event_number")
)
_ADD = Statement(TaskFollowUpRow.insert(params(*_COLUMNS)))
_FIND = Statement(TaskFollowUpRow.select(*_COLUMNS).where(_ONE))
_FIRST = Statement(
    TaskFollowUpRow.select(*_COLUMNS)
    .order_by(TaskFollowUpRow.team_id, TaskFollowUpRow.event_number)
    .limit(param("most"))
)
_MOVE = Statement(
    TaskFollowUpRow.update({TaskFollowUpRow.after_number: param("after_number")}).where(_ONE)
)
_REMOVE = Statement(Delete(TaskFollowUpRow).where(_ONE))


@dataclass(frozen=True, kw_only=True, slots=True)
class FollowUp:
    """What follows (`verb`) from the event `event_number` of a task, and the agent that acted.

    All tasks that wait for it, up to the one with number `after_number`, are updated.
    """

    team_id: str
    event_number: int
    task_id: str
    verb: str
    actor_id: str
    notify: int
    after_number: int


def add(transaction: Transaction, follow_up: FollowUp) -> None:
    """Leave the rest to later commits."""
    values = {column.name: getattr(follow_up, column.name) for column in _COLUMNS}
    transaction.write(_ADD, **values)


def first(snapshot: GlobalSnapshot, most: int) -> list[FollowUp]:
    """The first open ones, of all teams."""
    return [_from_row(row) for row in snapshot.rows(_FIRST, most=most)]


def find(snapshot: Snapshot, event_number: int) -> FollowUp | None:
    """One that is open, as it is now, or None."""
    row = snapshot.row(_FIND, event_number=event_number)
    return _from_row(row) if row else None


def move(transaction: Transaction, follow_up: FollowUp, after_number: int) -> None:
    """All tasks up to this one are updated."""
    one = {"team_id": follow_up.team_id, "event_number": follow_up.event_number}
    transaction.write(_MOVE, **one, after_number=after_number)


def remove(transaction: Transaction, follow_up: FollowUp) -> None:
    """All tasks are updated."""
    one = {"team_id": follow_up.team_id, "event_number": follow_up.event_number}
    transaction.write(_REMOVE, **one)


def _from_row(row: Row) -> FollowUp:
    values: dict[str, Any] = dict(zip((column.name for column in _COLUMNS), row, strict=True))
    return FollowUp(**values)
