"""Events: the history of tasks, as numbered changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from dovetail.server.store.idempotency import IdempotencyKey, stored_key
from dovetail.server.store.queries import descending
from dovetail.server.store.schema import TaskEventRow, TaskRow
from dovetail.server.store.sets import Codec, Index, Row, Table
from dovetail.server.store.tables.tasks import COLUMNS, Task, from_rows
from dovetail.server.store.transaction import Need, Snapshot, Statement, Transaction, param


class TaskVerb(IntEnum):
    """What callers can do to a task, and what can happen to it without a caller."""

    CREATE = 1
    UPDATE = 2
    DELETE = 3
    ASSIGN = 4
    UNASSIGN = 5
    CLAIM = 6
    START = 7
    HEARTBEAT = 8
    RELEASE = 9
    REQUEST_INPUT = 10
    PROVIDE_INPUT = 11
    COMPLETE = 12
    FAIL = 13
    CANCEL = 14
    REOPEN = 15
    RETRY = 16
    EXPIRE_LEASE = 20
    BECOME_READY = 21
    FAIL_DEPENDENCY = 22
    BECOME_OVERDUE = 23

    @property
    def words(self) -> str:
        """The verb as errors and the command line write it: "request-input"."""
        return self.name.lower().replace("_", "-")


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskEvent:
    """One numbered change of a task."""

    number: int
    task_id: str
    verb: TaskVerb
    actor_id: str
    from_state: int
    to_state: int
    assignee_id: str
    former_assignee_id: str
    reason: str
    create_time: int
    message_number: int | None
    repeat: IdempotencyKey | None


_EVENT_COLUMNS = (
    TaskEventRow.number,
    TaskEventRow.task_id,
    TaskEventRow.verb,
    TaskEventRow.actor_id,
    TaskEventRow.from_state,
    TaskEventRow.to_state,
    TaskEventRow.assignee_id,
    TaskEventRow.former_assignee_id,
    TaskEventRow.reason,
    TaskEventRow.create_time,
    TaskEventRow.message_number,
    TaskEventRow.request_id,
    TaskEventRow.request_hash,
)


_EVENT_FIELDS = tuple(str(column.name) for column in _EVENT_COLUMNS[:-2])


_EVENTS = Statement(
    TaskEventRow.select(*_EVENT_COLUMNS)
    .where(TaskEventRow.team_id == param("team_id"), TaskEventRow.task_id == param("task_id"))
    .order_by(TaskEventRow.number)
)


def need(actor_id: str, repeat: IdempotencyKey | None) -> list[Need]:
    """What a unit needs that may be a repeat."""
    return [Need(_REPEATS, (actor_id, repeat.key))] if repeat else []


def append(transaction: Transaction, event: TaskEvent) -> None:
    """Write one change of a task."""
    transaction.add(_TABLE, event)


def find_repeat(snapshot: Snapshot, actor_id: str, repeat: IdempotencyKey) -> TaskEvent | None:
    """The change that an earlier request with this id made, or None."""
    return snapshot.find(_REPEATS, actor_id, repeat.key)


def find_repeats(snapshot: Snapshot, actor_id: str, keys: Sequence[str]) -> list[TaskEvent]:
    """The changes that earlier requests with these keys made, in order."""
    query = TaskEventRow.select(*_EVENT_COLUMNS).where(
        TaskEventRow.team_id == snapshot.team_id,
        TaskEventRow.actor_id == actor_id,
        TaskEventRow.request_id.in_(list(keys)),
    )
    return [_event(row) for row in snapshot.select(query.order_by(TaskEventRow.number))]


def of_task(snapshot: Snapshot, task_id: str) -> list[TaskEvent]:
    """The history of a task."""
    return [_event(row) for row in snapshot.rows(_EVENTS, task_id=task_id)]


def last(snapshot: Snapshot, task_id: str) -> TaskEvent:
    """The last change of a task."""
    query = TaskEventRow.select(*_EVENT_COLUMNS).where(
        TaskEventRow.team_id == snapshot.team_id, TaskEventRow.task_id == task_id
    )
    return _event(snapshot.select(query.order_by(descending(TaskEventRow.number)).limit(1))[0])


def tasks_of(snapshot: Snapshot, first: int, count: int) -> list[Task]:
    """The tasks of so many consecutive events, as they are now, in order."""
    of_task = TaskEventRow.select(TaskEventRow.task_id).where(
        TaskEventRow.team_id == snapshot.team_id,
        TaskEventRow.number >= first,
        TaskEventRow.number < first + count,
    )
    query = TaskRow.select(*COLUMNS).where(
        TaskRow.team_id == snapshot.team_id, TaskRow.task_id.in_(of_task)
    )
    return from_rows(snapshot, snapshot.select(query.order_by(TaskRow.number)))


def _event(row: Row) -> TaskEvent:
    values: dict[str, Any] = dict(zip(_EVENT_FIELDS, row, strict=False))
    values["verb"] = TaskVerb[values["verb"]]
    key, request_hash = row[-2:]
    repeat = key and stored_key(key, bytes(request_hash))
    return TaskEvent(**values, repeat=repeat)


def _row(event: TaskEvent) -> Row:
    repeat = event.repeat
    return (
        event.number,
        event.task_id,
        event.verb.name,
        *(getattr(event, name) for name in _EVENT_FIELDS[3:]),
        repeat and repeat.key,
        repeat and repeat.request_hash,
    )


_TABLE: Table[TaskEvent] = Table(
    _EVENT_COLUMNS, 1, Codec(decode=_event, encode=_row, key_of=lambda event: (event.number,))
)
_REPEATS = Index(_TABLE, (TaskEventRow.actor_id, TaskEventRow.request_id))
