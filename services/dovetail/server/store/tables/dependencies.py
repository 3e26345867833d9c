"""Dependencies: the edges between tasks, and the count of open ones on each task."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from peewee import JOIN, SQL

from dovetail.server.store.chunks import chunks
from dovetail.server.store.queries import Delete, Select
from dovetail.server.store.schema import TaskDependencyRow, TaskRow
from dovetail.server.store.sets import Index, Row, Table, plain
from dovetail.server.store.tables.tasks import COLUMNS, Task, TaskState, from_rows
from dovetail.server.store.transaction import Need, Snapshot, Statement, Transaction, param

REACHED_TASKS_MAX = 10_000
"""Open tasks that the search for a cycle reads. It then holds the writer for some 50 ms."""
_EDGE = (TaskDependencyRow.team_id, TaskDependencyRow.task_id, TaskDependencyRow.depends_on_id)
_TABLE: Table[Row] = Table(_EDGE[1:], 2, plain(2))
_ANY_WAITER = Index(_TABLE, _EDGE[2:])
_REMOVE = Statement(
    Delete(TaskDependencyRow).where(
        TaskDependencyRow.team_id == param("team_id"),
        TaskDependencyRow.task_id == param("task_id"),
    )
)
_WAITERS = TaskDependencyRow.select(TaskDependencyRow.task_id).where(
    TaskDependencyRow.team_id == param("team_id"),
    TaskDependencyRow.depends_on_id == param("task_id"),
)
_ADJUST_WAITING = Statement(
    TaskRow.update({TaskRow.waiting_for_count: TaskRow.waiting_for_count + param("by")}).where(
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
        TaskRow.number > param("after"),
    )
    .order_by(TaskRow.number)
    .limit(param("most"))
)
_READY_DEPENDENTS = Statement(
    TaskRow.select(*COLUMNS)
    .where(
        TaskRow.team_id == param("team_id"),
        TaskRow.task_id.in_(_WAITERS),
        TaskRow.state == int(TaskState.PENDING),
        TaskRow.waiting_for_count == SQL("0"),
        TaskRow.delete_time.is_null(),
        TaskRow.number > param("after"),
    )
    .order_by(TaskRow.number)
    .limit(param("most"))
)


def add(transaction: Transaction, edges: Iterable[tuple[str, str]]) -> None:
    """Write edges: pairs of a task and what it waits for."""
    for edge in edges:
        transaction.add(_TABLE, edge)


def replace(transaction: Transaction, task: Task) -> None:
    """Replace the edges of a task by those that it names now."""
    transaction.write(_REMOVE, task_id=task.task_id)
    add(transaction, ((task.task_id, each) for each in task.depends_on))


def count_open(snapshot: Snapshot, task_ids: Sequence[str]) -> int:
    """How many of these tasks are not COMPLETED."""
    return len(still_open(snapshot, task_ids))


def still_open(snapshot: Snapshot, task_ids: Sequence[str]) -> list[str]:
    """Which of these tasks are not COMPLETED."""
    completed: set[str] = set()
    for some in chunks(task_ids):
        query = TaskRow.select(TaskRow.task_id).where(
            TaskRow.team_id == snapshot.team_id,
            TaskRow.task_id.in_(some),
            TaskRow.state == int(TaskState.COMPLETED),
        )
        completed.update(task_id for (task_id,) in snapshot.select(query))
    return [task_id for task_id in task_ids if task_id not in completed]


def unknown(snapshot: Snapshot, task_ids: Sequence[str]) -> list[str]:
    """Which of these tasks do not exist, or were deleted."""
    found: set[str] = set()
    for some in chunks(task_ids):
        query = TaskRow.select(TaskRow.task_id).where(
            TaskRow.team_id == snapshot.team_id,
            TaskRow.task_id.in_(some),
            TaskRow.delete_time.is_null(),
        )
        found.update(task_id for (task_id,) in snapshot.select(query))
    return [task_id for task_id in task_ids if task_id not in found]


def any_dependents(snapshot: Snapshot, task_id: str) -> bool:
    """Whether any task waits for this one, or has waited for it."""
    return snapshot.find(_ANY_WAITER, task_id) is not None


def need(task_id: str) -> Need:
    """What a unit needs that ends a task or opens it again."""
    return Need(_ANY_WAITER, (task_id,))


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """Which dependents: at most `most` of those created after the task with number `after`."""

    most: int
    after: int = 0


def dependents(snapshot: Snapshot, task_id: str, window: Window) -> list[Task]:
    """Tasks that wait for this one and have not ended, in order of creation."""
    rows = snapshot.rows(_DEPENDENTS, task_id=task_id, most=window.most, after=window.after)
    return from_rows(snapshot, rows)


def ready_dependents(snapshot: Snapshot, task_id: str, window: Window) -> list[Task]:
    """Tasks that depend on this one and wait for no other, in order of creation."""
    rows = snapshot.rows(_READY_DEPENDENTS, task_id=task_id, most=window.most, after=window.after)
    return from_rows(snapshot, rows)


def adjust_waiting(transaction: Transaction, task_id: str, by: int) -> None:
    """Add `by` to the count of open dependencies of all tasks that wait for this one."""
    transaction.write(_ADJUST_WAITING, task_id=task_id, by=by)


def path(snapshot: Snapshot, begin: Sequence[str], end: str) -> list[str] | None:
    """The shortest chain of dependencies from one of these tasks to another; empty: there is none.

    None if more than REACHED_TASKS_MAX tasks would have to be read. Only tasks that are not
    COMPLETED are followed: a COMPLETED task waits for nothing, and when it is reopened the search
    is repeated from there (`Lifecycle.reopen`), so that open tasks never wait in a circle.
    """
    if end in begin:
        return [end]
    reached = _reached(snapshot, begin)
    if len(reached) > REACHED_TASKS_MAX:
        return None
    edges = _edges_from(snapshot, reached)
    came_from: dict[str, str] = dict.fromkeys(begin, "")
    frontier = list(begin)
    while frontier and end not in came_from:
        following: list[str] = []
        for task_id in frontier:
            new = [each for each in edges.get(task_id, ()) if each not in came_from]
            came_from.update(dict.fromkeys(new, task_id))
            following += new
        frontier = following
    return _path_to(came_from, end) if end in came_from else []


def _reached(snapshot: Snapshot, begin: Sequence[str]) -> list[str]:
    """These tasks and all tasks that they wait for that are not COMPLETED, in one statement."""
    is_open = (TaskRow.team_id == snapshot.team_id) & (TaskRow.state != int(TaskState.COMPLETED))
    first = (
        TaskRow.select(TaskRow.task_id)
        .where(is_open, TaskRow.task_id.in_(list(begin)))
        .cte("reached", recursive=True, columns=("task_id",))
    )
    # CROSS JOIN keeps this order on SQLite: if it began with the edges, it would read all of them
    # for each task that was reached.
    further = (
        Select([first], [TaskDependencyRow.depends_on_id])
        .join(TaskDependencyRow, JOIN.CROSS)
        .join(TaskRow, JOIN.CROSS)
        .where(
            TaskDependencyRow.team_id == snapshot.team_id,
            TaskDependencyRow.task_id == first.c.task_id,
            is_open,
            TaskRow.task_id == TaskDependencyRow.depends_on_id,
        )
    )
    reached = first.union(further)
    query = reached.select_from(reached.c.task_id).limit(REACHED_TASKS_MAX + 1)
    return [task_id for (task_id,) in snapshot.select(query)]


def _edges_from(snapshot: Snapshot, task_ids: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for some in chunks(task_ids):
        query = TaskDependencyRow.select(*_EDGE[1:]).where(
            TaskDependencyRow.team_id == snapshot.team_id,
            TaskDependencyRow.task_id.in_(some),
        )
        for task_id, depends_on_id in snapshot.select(query.order_by(SQL("1"), SQL("2"))):
            found[task_id].append(depends_on_id)
    return found


def _path_to(came_from: dict[str, str], end: str) -> list[str]:
    steps = [end]
    while came_from[steps[-1]]:
        steps.append(came_from[steps[-1]])
    return steps[::-1]
