"""Lists of tasks: a page in order of creation, or of the last change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

from peewee import Expression

from dovetail.server.store.filters import EVER, within
from dovetail.server.store.pages import Columns, Page, Stretch, take_bytes
from dovetail.server.store.schema import TaskLinkRow, TaskRow
from dovetail.server.store.tables import tasks
from dovetail.server.store.tables.tasks import Task, TaskFilter
from dovetail.server.store.transaction import Snapshot


class TaskOrder(IntEnum):
    """The time by which tasks are listed."""

    CREATE_TIME = 1
    UPDATE_TIME = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class ListRequest:
    """A page of tasks: which ones, in which order, after which key.

    A key is a number, or, by UPDATE_TIME, a time and a number.
    """

    filter: TaskFilter
    newest_first: bool
    after: Any
    most: int
    most_bytes: int
    by: TaskOrder = TaskOrder.CREATE_TIME


def page(snapshot: Snapshot, asked: ListRequest) -> Page[Task]:
    """A page of at most `most` tasks and about `most_bytes`, but at least one."""
    key: Any = TaskRow.number
    if asked.by is TaskOrder.UPDATE_TIME:
        key = Columns(TaskRow.update_time, TaskRow.number)
    stretch = Stretch(newest_first=asked.newest_first, after=asked.after)
    wanted = tasks.conditions(snapshot, asked.filter)
    if asked.filter.linked_task_id and asked.by is TaskOrder.CREATE_TIME:
        stretch, led = _linking(snapshot, stretch, asked.filter.linked_task_id)
        wanted.append(led)
    elif not _is_led(asked):
        stretch = stretch.step(snapshot, key, *_scope(snapshot, asked))
    wanted += stretch.of(key)
    query = TaskRow.select(TaskRow.number, TaskRow.update_time, tasks.SIZE).where(*wanted)
    rows = snapshot.select(query.order_by(stretch.order(key)).limit(asked.most + 1))
    sized = [((number, time), size) for number, time, size in rows]
    keys = take_bytes(sized[: asked.most], asked.most_bytes)
    numbers = [number for number, _ in keys]
    found = in_order(snapshot, numbers)
    if len(keys) == len(rows):
        return Page(found, stretch.until)
    number, time = keys[-1]
    return Page(found, (time, number) if asked.by is TaskOrder.UPDATE_TIME else number)


def in_order(snapshot: Snapshot, numbers: Sequence[int]) -> list[Task]:
    """The tasks with these numbers, which there must be, in the same order."""
    if not numbers:
        return []
    chosen = TaskRow.select(*tasks.COLUMNS).where(
        TaskRow.team_id == snapshot.team_id, TaskRow.number.in_(list(numbers))
    )
    found = {task.number: task for task in tasks.from_rows(snapshot, snapshot.select(chosen))}
    return [found[number] for number in numbers]


def _linking(
    snapshot: Snapshot, stretch: Stretch, linked_task_id: str
) -> tuple[Stretch, Expression]:
    """The first STEP_ROWS tasks that link to this one, as a stretch and as a condition."""
    number = TaskLinkRow.number
    scope = (
        TaskLinkRow.team_id == snapshot.team_id,
        TaskLinkRow.linked_task_id == linked_task_id,
    )
    stretch = stretch.step(snapshot, number, *scope)
    links = TaskLinkRow.select(number).where(*scope, *stretch.of(number))
    return stretch, TaskRow.number.in_(links)


def _is_led(asked: ListRequest) -> bool:
    """Whether an index leads to what is asked for, so that few rows are read in vain."""
    filter = asked.filter
    if asked.by is TaskOrder.UPDATE_TIME:
        return replace(filter, update_time=EVER).is_empty
    assigned = filter.assignee_ids or filter.unassigned
    led = assigned or filter.states or filter.parent_task_id
    return bool(led) or filter.is_empty


def _scope(snapshot: Snapshot, asked: ListRequest) -> list[Expression]:
    """Where to look if no index leads: in the team, and in what the index of the order has."""
    mine = TaskRow.team_id == snapshot.team_id
    by_time = asked.by is TaskOrder.UPDATE_TIME
    return [mine, *within(TaskRow.update_time, asked.filter.update_time if by_time else EVER)]
