"""Trees of tasks: the tasks of which one is a part, and those that are parts of it."""

from __future__ import annotations

from collections.abc import Sequence

from peewee import JOIN, SQL

from dovetail.server.store.queries import Select
from dovetail.server.store.schema import TaskRow
from dovetail.server.store.tables import queues, tasks
from dovetail.server.store.tables.tasks import Task
from dovetail.server.store.transaction import Snapshot, Statement, Transaction, param

LEVELS_MAX = 100
"""So many levels up usage is summed, and so many budgets hold a task back."""

QUEUES_RUNG_MAX = 1_000
"""Queues that are rung when a tree may go on; claims at others find its tasks when they look."""

ABOVE_TASKS_MAX = 1_000
"""Tasks above one: as many as a cascade cancels below one. 5 to 7 ms."""


def _tree() -> Select:
    """The ids of a task and of all its sub-tasks, and theirs. UNION ends it, whatever is stored."""
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
        .where(mine, TaskRow.parent_task_id == first.c.task_id, tasks.IS_SUBTASK)
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


def path(snapshot: Snapshot, begin: str, end: str) -> list[str] | None:
    """The chain of parents from one task up to another; empty if that is not above it.

    None if more than ABOVE_TASKS_MAX tasks would have to be read. Deleted tasks are followed too:
    what is below them stays below what is above them.
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
            first.c.depth <= ABOVE_TASKS_MAX,
        )
    )
    above = first.union_all(further)
    query = above.select_from(above.c.task_id).order_by(above.c.depth)
    chain = [task_id for (task_id,) in snapshot.select(query)]
    if end in chain:
        return chain
    return None if len(chain) > ABOVE_TASKS_MAX + 1 else []


def shift_spent(transaction: Transaction, task_id: str, by: int) -> None:
    """Add `by` to the count of spent budgets of a task and all below it."""
    transaction.write(_SHIFT, task_id=task_id, by=by)


def ring_queues(transaction: Transaction, task_id: str) -> None:
    """Wake the claims that wait for ready tasks of a tree."""
    for (assignee_id,) in transaction.rows(_QUEUES, task_id=task_id):
        transaction.ring(queues.name(assignee_id))
