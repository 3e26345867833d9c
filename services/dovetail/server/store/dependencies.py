"""What tasks wait for: the edges between them, and the count of open ones on each task."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from peewee import SQL

from dovetail.server.store.models import TaskDependencyRow, TaskRow
from dovetail.server.store.records import Task, TaskState
from dovetail.server.store.tasks import COLUMNS, from_row
from dovetail.server.store.transaction import Snapshot, Statement, Transaction, param, params

_CHUNK = 500
_EDGE = (TaskDependencyRow.team_id, TaskDependencyRow.task_id, TaskDependencyRow.depends_on_id)
_ADD = Statement(TaskDependencyRow.insert(params(*_EDGE)))
_REMOVE = Statement(
    TaskDependencyRow.delete().where(
        TaskDependencyRow.team_id == param("team_id"),
        TaskDependencyRow.task_id == param("task_id"),
    )
)
_WAITERS = TaskDependencyRow.select(TaskDependencyRow.task_id).where(
    TaskDependencyRow.team_id == param("team_id"),
    TaskDependencyRow.depends_on_id == param("task_id"),
)
_ANY_WAITER = Statement(_WAITERS.limit(1))
_SHIFT = Statement(
    TaskRow.update({TaskRow.waiting_for: TaskRow.waiting_for + param("by")}).where(
        TaskRow.team_id == param("team_id"), TaskRow.task_id.in_(_WAITERS)
    )
)
_DEPENDENTS = Statement(
    TaskRow.select(*COLUMNS)
    .where(
        TaskRow.team_id == param("team_id"),
        TaskRow.task_id.in_(_WAITERS),
        TaskRow.end_time.is_null(),
        TaskRow.delete_time.is_null(),
    )
    .order_by(TaskRow.number)
)


def add(transaction: Transaction, team_id: str, edges: Iterable[tuple[str, str]]) -> None:
    """Write edges: pairs of a task and what it waits for."""
    rows = [
        {"team_id": team_id, "task_id": task_id, "depends_on_id": depends_on_id}
        for task_id, depends_on_id in edges
    ]
    if rows:
        transaction.write_many(_ADD, rows)


def replace(transaction: Transaction, team_id: str, task: Task) -> None:
    """Have a task wait for what it now names, and for nothing else."""
    transaction.write(_REMOVE, team_id=team_id, task_id=task.task_id)
    add(transaction, team_id, ((task.task_id, each) for each in task.depends_on))


def count_open(snapshot: Snapshot, team_id: str, task_ids: Sequence[str]) -> int:
    """How many of these tasks are not COMPLETED."""
    return len(still_open(snapshot, team_id, task_ids))


def still_open(snapshot: Snapshot, team_id: str, task_ids: Sequence[str]) -> list[str]:
    """Which of these tasks are not COMPLETED."""
    completed: set[str] = set()
    for start in range(0, len(task_ids), _CHUNK):
        query = TaskRow.select(TaskRow.task_id).where(
            TaskRow.team_id == team_id,
            TaskRow.task_id.in_(list(task_ids[start : start + _CHUNK])),
            TaskRow.state == int(TaskState.COMPLETED),
        )
        completed.update(task_id for (task_id,) in snapshot.select(query))
    return [task_id for task_id in task_ids if task_id not in completed]


def unknown(snapshot: Snapshot, team_id: str, task_ids: Sequence[str]) -> list[str]:
    """Which of these are no tasks, or were deleted."""
    found: set[str] = set()
    for start in range(0, len(task_ids), _CHUNK):
        query = TaskRow.select(TaskRow.task_id).where(
            TaskRow.team_id == team_id,
            TaskRow.task_id.in_(list(task_ids[start : start + _CHUNK])),
            TaskRow.delete_time.is_null(),
        )
        found.update(task_id for (task_id,) in snapshot.select(query))
    return [task_id for task_id in task_ids if task_id not in found]


def any_dependents(snapshot: Snapshot, team_id: str, task_id: str) -> bool:
    """Whether any task was ever made to wait for this one."""
    return snapshot.row(_ANY_WAITER, team_id=team_id, task_id=task_id) is not None


def dependents(snapshot: Snapshot, team_id: str, task_id: str) -> list[Task]:
    """The tasks that wait for this one and have not ended, in order of creation."""
    rows = snapshot.rows(_DEPENDENTS, team_id=team_id, task_id=task_id)
    return [from_row(row) for row in rows]


def shift(transaction: Transaction, team_id: str, task_id: str, by: int) -> None:
    """One more, or one less, is open for all that wait for this task."""
    transaction.write(_SHIFT, team_id=team_id, task_id=task_id, by=by)


def path(snapshot: Snapshot, team_id: str, begin: Sequence[str], end: str) -> list[str]:
    """A chain of dependencies from one of these tasks to another, shortest first; or none."""
    came_from: dict[str, str] = dict.fromkeys(begin, "")
    frontier = list(begin)
    while frontier and end not in came_from:
        edges = _edges_from(snapshot, team_id, frontier)
        frontier = list[str]()
        for task_id, targets in edges.items():
            new = [each for each in targets if each not in came_from]
            came_from.update(dict.fromkeys(new, task_id))
            frontier += new
    return _backwards(came_from, end) if end in came_from else []


def _edges_from(snapshot: Snapshot, team_id: str, task_ids: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for start in range(0, len(task_ids), _CHUNK):
        query = TaskDependencyRow.select(*_EDGE[1:]).where(
            TaskDependencyRow.team_id == team_id,
            TaskDependencyRow.task_id.in_(list(task_ids[start : start + _CHUNK])),
        )
        for task_id, depends_on_id in snapshot.select(query.order_by(SQL("1"), SQL("2"))):
            found[task_id].append(depends_on_id)
    return found


def _backwards(came_from: dict[str, str], end: str) -> list[str]:
    steps = [end]
    while came_from[steps[-1]]:
        steps.append(came_from[steps[-1]])
    return steps[::-1]
