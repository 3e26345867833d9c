"""Events: the history of tasks, as numbered changes.

`number` is the place in the history of the team, `generation` that in the history of the task.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Any

from peewee import Expression, Value

from dovetail.server.store.filters import EVER, TimeRange, within
from dovetail.server.store.idempotency import IdempotencyKey, stored_key
from dovetail.server.store.pages import Page, Stretch, take_bytes
from dovetail.server.store.queries import descending, fn
from dovetail.server.store.rings import EVENTS
from dovetail.server.store.schema import TaskEventRow, TaskRow, TeamRow
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
    KEEP_LATE_RESULT = 24
    SPEND_BUDGET = 25

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
    generation: int
    attempt: int
    changes_json: str | None
    """A list of [field, old value, new value]; see `tasks/changes.py`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EventFilter:
    """Which events: each condition that is set must hold."""

    task_id: str = ""
    actor_ids: Sequence[str] = ()
    verbs: Sequence[TaskVerb] = ()
    create_time: TimeRange = EVER


@dataclass(frozen=True, kw_only=True, slots=True)
class ListRequest:
    """A page of events: which ones, in which order, after which number."""

    filter: EventFilter
    newest_first: bool
    after: int | None
    most: int
    most_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class StretchRequest:
    """Which events of those that follow one, and how many at most. The filter has tuples."""

    filter: EventFilter
    after: int
    most: int
    most_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretched:
    """Events in order: all up to `through_event` are here, or do not match the request.

    An exhausted stretch reaches the team's last event. With a filter, one may be empty and not
    exhausted: STEP_EVENTS events were read, and none of them matches. Events up to
    `removed_through` may be missing.
    """

    events: list[TaskEvent]
    through_event: int
    exhausted: bool
    removed_through: int


STEP_EVENTS = 2_000
"""Events that one step of a stretch with a filter reads, unless a task leads it: some 10 ms."""

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
    TaskEventRow.generation,
    TaskEventRow.attempt,
    TaskEventRow.changes,
    TaskEventRow.request_id,
    TaskEventRow.request_hash,
)


CHANGING_NOTHING = (TaskVerb.KEEP_LATE_RESULT, TaskVerb.SPEND_BUDGET)
_RENAMED = {"changes": "changes_json"}
_EVENT_FIELDS = tuple(
    _RENAMED.get(str(column.name), str(column.name)) for column in _EVENT_COLUMNS[:-2]
)


_EVENTS = Statement(
    TaskEventRow.select(*_EVENT_COLUMNS)
    .where(TaskEventRow.team_id == param("team_id"), TaskEventRow.task_id == param("task_id"))
    .order_by(TaskEventRow.number)
)

_ENDS = Statement(
    TeamRow.select(TeamRow.last_event, TeamRow.removed_event).where(
        TeamRow.team_id == param("team_id")
    )
)
_FIRST_OF_TASK = Statement(
    TaskEventRow.select(TaskEventRow.number, TaskEventRow.generation)
    .where(TaskEventRow.team_id == param("team_id"), TaskEventRow.task_id == param("task_id"))
    .order_by(TaskEventRow.number)
    .limit(1)
)

_ENVELOPE_BYTES = 128
_TEXTS = (
    TaskEventRow.task_id,
    TaskEventRow.actor_id,
    TaskEventRow.assignee_id,
    TaskEventRow.former_assignee_id,
    TaskEventRow.reason,
    TaskEventRow.changes,
)
# The text of changes is shorter than they are as messages, by less than four times.
_SIZE = sum((4 * fn.COALESCE(fn.OCTET_LENGTH(text), 0) for text in _TEXTS), Value(_ENVELOPE_BYTES))


def need(actor_id: str, repeat: IdempotencyKey | None) -> list[Need]:
    """What a unit needs that may be a repeat."""
    return [Need(_REPEATS, (actor_id, repeat.key))] if repeat else []


def append(transaction: Transaction, event: TaskEvent) -> None:
    """Write one change of a task, and wake those who watch the team's events."""
    transaction.add(_TABLE, event)
    transaction.ring(EVENTS)


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


def page(snapshot: Snapshot, asked: ListRequest) -> Page[TaskEvent]:
    """A page of at most `most` events and about `most_bytes`, but at least one."""
    mine, number = TaskEventRow.team_id == snapshot.team_id, TaskEventRow.number
    stretch = Stretch(newest_first=asked.newest_first, after=asked.after)
    if is_stepped(asked.filter):
        stretch = stretch.step(snapshot, number, mine)
    order = stretch.order(number)
    wanted = _conditions(asked.filter)
    query = TaskEventRow.select(number, _SIZE).where(mine, *stretch.of(number), *wanted)
    sizes = snapshot.select(query.order_by(order).limit(asked.most + 1))
    numbers = take_bytes(((each, size) for each, size in sizes[: asked.most]), asked.most_bytes)
    chosen = TaskEventRow.select(*_EVENT_COLUMNS).where(mine, number.in_(numbers))
    found = [_event(row) for row in snapshot.select(chosen.order_by(order))]
    return Page(found, numbers[-1] if len(numbers) < len(sizes) else stretch.until)


def stretch(snapshot: Snapshot, asked: StretchRequest) -> Stretched:
    """Read on after an event: at most `most` events and about `most_bytes`, but at least one."""
    after, (last, removed) = asked.after, ends(snapshot)
    # What is kept has few gaps.
    until = min(last, after + STEP_EVENTS) if is_stepped(asked.filter) else last
    sizes, whole = _reading_on(asked.filter)
    found = snapshot.rows(sizes, after=after, until=until, most=asked.most + 1)
    numbers = take_bytes(((each, size) for each, size in found[: asked.most]), asked.most_bytes)
    rows = snapshot.rows(whole, after=after, until=until, most=len(numbers)) if numbers else []
    events = [_event(row) for row in rows]
    is_cut = len(numbers) < len(found)
    return Stretched(
        events=events,
        through_event=numbers[-1] if is_cut else max(until, after),
        exhausted=until >= last and not is_cut,
        removed_through=removed,
    )


def is_stepped(filter: EventFilter) -> bool:
    """Whether events are looked at in steps: a task has an index, other conditions have none."""
    return filter != EventFilter() and not filter.task_id


@lru_cache(maxsize=32)
def _reading_on(filter: EventFilter) -> tuple[Statement, Statement]:
    """The sizes of the events after one, and the events.

    Kept, because each watch reads after each commit, and building them costs ten times that read.
    """
    number = TaskEventRow.number
    where = [TaskEventRow.team_id == param("team_id"), number > param("after")]
    # With an end, SQLite would look at all events of the team in between for those of a task.
    if is_stepped(filter):
        where.append(number <= param("until"))
    where += _conditions(filter)
    sizes, whole = (
        Statement(query.where(*where).order_by(number).limit(param("most")))
        for query in (TaskEventRow.select(number, _SIZE), TaskEventRow.select(*_EVENT_COLUMNS))
    )
    return sizes, whole


def last_number(snapshot: Snapshot) -> int:
    """The number of the team's last event; 0 before the first."""
    return ends(snapshot)[0]


def ends(snapshot: Snapshot) -> tuple[int, int]:
    """The number of the team's last event, and of the last one that was removed."""
    row = snapshot.row(_ENDS)
    return (row[0], row[1]) if row else (0, 0)


def removed_of_task(snapshot: Snapshot, task_id: str) -> int:
    """Up to which number events of a task may have been removed; 0: none was.

    Those that were are before the first that is left, which is known by its place in the history.
    """
    row = snapshot.row(_FIRST_OF_TASK, task_id=task_id)
    if row is None or row[1] <= 1:
        return 0
    return min(row[0] - 1, ends(snapshot)[1])


def _conditions(filter: EventFilter) -> list[Expression]:
    found = within(TaskEventRow.create_time, filter.create_time)
    if filter.task_id:
        found.append(TaskEventRow.task_id == filter.task_id)
    if filter.actor_ids:
        found.append(TaskEventRow.actor_id.in_(list(filter.actor_ids)))
    if filter.verbs:
        found.append(TaskEventRow.verb.in_([verb.name for verb in filter.verbs]))
    return found


def last(snapshot: Snapshot, task_id: str) -> TaskEvent:
    """The last change of a task. Events that change nothing of it do not count."""
    query = TaskEventRow.select(*_EVENT_COLUMNS).where(
        TaskEventRow.team_id == snapshot.team_id,
        TaskEventRow.task_id == task_id,
        TaskEventRow.verb.not_in([verb.name for verb in CHANGING_NOTHING]),
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
