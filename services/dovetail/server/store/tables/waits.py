"""What agents wait for: their open tasks, and what these depend on. No content is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from peewee import JOIN

from dovetail.server.store.queries import Select
from dovetail.server.store.schema import TaskDependencyRow, TaskRow
from dovetail.server.store.tables.task_states import TaskState
from dovetail.server.store.transaction import Snapshot


class OpenTask(NamedTuple):
    """A task of an agent that has not ended."""

    task_id: str
    assignee_id: str
    state: int
    asked_id: str
    waiting_for_count: int


class Dependency(NamedTuple):
    """A task depends on another, which has not ended."""

    task_id: str
    depends_on_id: str
    assignee_id: str
    """The assignee of the other."""
    state: int
    """The state of the other."""


def open_tasks(snapshot: Snapshot, agent_ids: Sequence[str], most: int) -> list[OpenTask]:
    """So many of the open tasks of these agents, at most a hundred or so."""
    query = TaskRow.select(
        TaskRow.task_id,
        TaskRow.assignee_id,
        TaskRow.state,
        TaskRow.asked_id,
        TaskRow.waiting_for_count,
    ).where(
        TaskRow.team_id == snapshot.team_id,
        TaskRow.assignee_id.in_(list(agent_ids)),
        TaskRow.end_time.is_null(),
        TaskRow.delete_time.is_null(),
    )
    return [OpenTask._make(row) for row in snapshot.select(query.limit(most))]


def open_dependencies(snapshot: Snapshot, task_ids: Sequence[str], most: int) -> list[Dependency]:
    """What PENDING tasks wait for, and what that waits for as long as it is PENDING itself.

    So many dependencies at most, in one statement.
    """
    first = (
        Select([TaskDependencyRow], _selected(TaskDependencyRow.task_id))
        .join(TaskRow, JOIN.CROSS)
        .where(TaskDependencyRow.task_id.in_(list(task_ids)), *_is_open(snapshot.team_id))
        .cte("waiting", recursive=True, columns=Dependency._fields)
    )
    # CROSS JOIN keeps this order on SQLite, as in `dependencies.py`.
    further = (
        Select([first], _selected(TaskDependencyRow.task_id))
        .join(TaskDependencyRow, JOIN.CROSS)
        .join(TaskRow, JOIN.CROSS)
        .where(
            first.c.state == int(TaskState.PENDING),
            TaskDependencyRow.task_id == first.c.depends_on_id,
            *_is_open(snapshot.team_id),
        )
    )
    waiting = first.union(further)
    columns = (getattr(waiting.c, name) for name in Dependency._fields)
    rows = snapshot.select(waiting.select_from(*columns).limit(most))
    return [Dependency._make(row) for row in rows]


def _selected(task_id: Any) -> list[Any]:
    return [task_id, TaskDependencyRow.depends_on_id, TaskRow.assignee_id, TaskRow.state]


def _is_open(team_id: str) -> list[Any]:
    return [
        TaskDependencyRow.team_id == team_id,
        TaskRow.team_id == team_id,
        TaskRow.task_id == TaskDependencyRow.depends_on_id,
        TaskRow.end_time.is_null(),
        TaskRow.delete_time.is_null(),
    ]
