"""Trees of tasks: the tasks of which one is a part, and those that are parts of it."""

from __future__ import annotations

from collections.abc import Sequence

from peewee import JOIN, SQL

from dovetail.server.store.chunks import chunks
from dovetail.server.store.queries import Select, fn
from dovetail.server.store.schema import TaskRow
from dovetail.server.store.tables import queues, tasks
from dovetail.server.store.tables.tasks import Task
from dovetail.server.store.transaction import Snapshot, Statement, Transaction, param

LEVELS_MAX = 100
"""Tasks above one: so many sums a report changes, and so many budgets may hold a task back."""

QUEUES_RUNG_MAX = 1_000
"""Queues that are rung when a tree may go on; claims at others find its tasks when they look."""


def _tree() -> Select:
    """The ids of a task and of all its sub-tasks, and theirs, but not of a tree in it (`but`).

    UNION ends it, whatever is stored.
    """
    mine = TaskRow.team_id == param("team_id")
    first = (
        TaskRow.select(TaskRow.task_id)
        .where(mine, TaskRow.task_id == param("task_id"))
        .cte("tree", recursive=True, columns=("task_id",))
    )
    # CROSS JOIN keeps this order on SQLite, as in `dependencies.py`.
    further = (
        Select([first], [TaskRow.task_id])
        .join(TaskRow, JOIN.CROSS)
        .where(
            mine,
            TaskRow.parent_task_id == first.c.task_id,
            tasks.IS_SUBTASK,
            TaskRow.task_id != param("but"),
        )
    )
    tree = first.union(further)
    return tree.select_from(tree.c.task_id)


_SHIFT = Statement(
    TaskRow.update({TaskRow.spent_budgets: TaskRow.spent_budgets + param("by")}).where(
        TaskRow.team_id == param("team_id"), TaskRow.task_id.in_(_tree())
    )
)
_QUEUES = Statement(
    TaskRow.select(TaskRow.assignee_id)
    .where(TaskRow.team_id == param("team_id"), TaskRow.task_id.in_(_tree()), queues.READY)
    .distinct()
    .limit(QUEUES_RUNG_MAX)
)


def ancestors(snapshot: Snapshot, task: Task) -> Sequence[Task]:
    """The tasks of which a task is a part, the nearest first, deleted ones too."""
    found: list[Task] = []
    parent_id = task.parent_task_id
    while parent_id and len(found) < LEVELS_MAX:
        parent = tasks.find(snapshot, parent_id)
        if parent is None:
            break
        found.append(parent)
        parent_id = parent.parent_task_id
    return found


def levels_above(snapshot: Snapshot, task_ids: Sequence[str]) -> dict[str, int]:
    """How many tasks are above each of these; LEVELS_MAX + 1 stands for any number beyond it."""
    mine = TaskRow.team_id == snapshot.team_id
    found = dict.fromkeys(task_ids, 0)
    for some in chunks(task_ids):
        first = (
            TaskRow.select(TaskRow.task_id, TaskRow.parent_task_id, SQL("0"))
            .where(mine, TaskRow.task_id.in_(some), tasks.IS_SUBTASK)
            .cte("above", recursive=True, columns=("begin", "parent_task_id", "level"))
        )
        further = (
            Select([first], [first.c.begin, TaskRow.parent_task_id, first.c.level + 1])
            .join(TaskRow, JOIN.CROSS)
            .where(mine, TaskRow.task_id == first.c.parent_task_id, first.c.level <= LEVELS_MAX)
        )
        above = first.union_all(further)
        deepest = above.select_from(above.c.begin, fn.MAX(above.c.level)).group_by(above.c.begin)
        found |= dict(snapshot.select(deepest))
    return found


def levels_below(snapshot: Snapshot, task_id: str) -> int:
    """How many levels of sub-tasks are below a task; LEVELS_MAX + 1 stands for any more."""
    mine = TaskRow.team_id == snapshot.team_id
    first = (
        TaskRow.select(TaskRow.task_id, SQL("0"))
        .where(mine, TaskRow.task_id == task_id)
        .cte("below", recursive=True, columns=("task_id", "level"))
    )
    further = (
        Select([first], [TaskRow.task_id, first.c.level + 1])
        .join(TaskRow, JOIN.CROSS)
        .where(
            mine,
            TaskRow.parent_task_id == first.c.task_id,
            tasks.IS_SUBTASK,
            first.c.level <= LEVELS_MAX,
        )
    )
    below = first.union(further)
    ((deepest,),) = snapshot.select(below.select_from(fn.MAX(below.c.level)))
    return deepest or 0


def path(snapshot: Snapshot, begin: str, end: str) -> list[str]:
    """The chain of parents from one task up to another; empty if that is not above it.

    Deleted tasks are followed too: what is below them stays below what is above them.
    """
    mine = TaskRow.team_id == snapshot.team_id
    columns = (TaskRow.task_id, TaskRow.parent_task_id)
    first = (
        TaskRow.select(*columns, SQL("0"))
        .where(mine, TaskRow.task_id == begin)
        .cte("above", recursive=True, columns=("task_id", "parent_task_id", "depth"))
    )
    further = (
        Select([first], [*columns, first.c.depth + 1])
        .join(TaskRow, JOIN.CROSS)
        .where(
            mine,
            TaskRow.task_id == first.c.parent_task_id,
            first.c.task_id != end,
            first.c.depth < LEVELS_MAX,
        )
    )
    above = first.union_all(further)
    query = above.select_from(above.c.task_id).order_by(above.c.depth)
    chain = [task_id for (task_id,) in snapshot.select(query)]
    return chain if end in chain else []


def shift_spent(transaction: Transaction, task_id: str, by: int, but: str = "") -> None:
    """Add `by` to the count of spent budgets of a task and all below it.

    Not of the task `but` in its tree, and what is below that.
    """
    transaction.write(_SHIFT, task_id=task_id, by=by, but=but)


def ring_queues(transaction: Transaction, task_id: str) -> None:
    """Wake the claims that wait for ready tasks of a tree."""
    for (assignee_id,) in transaction.rows(_QUEUES, task_id=task_id, but=""):
        transaction.ring(queues.name(assignee_id))
