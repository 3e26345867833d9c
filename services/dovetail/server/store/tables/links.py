"""Links: which tasks link to a task. What a task itself links to stands in its row."""

from __future__ import annotations

from dovetail.server.store.queries import Delete
from dovetail.server.store.schema import TaskLinkRow
from dovetail.server.store.sets import Row, Table, plain
from dovetail.server.store.tables.tasks import Task
from dovetail.server.store.transaction import Statement, Transaction, param

_TABLE: Table[Row] = Table((TaskLinkRow.linked_task_id, TaskLinkRow.number), 2, plain(2))
_REMOVE = Statement(
    Delete(TaskLinkRow).where(
        TaskLinkRow.team_id == param("team_id"),
        TaskLinkRow.linked_task_id == param("linked_task_id"),
        TaskLinkRow.number == param("number"),
    )
)


def linked_ids(task: Task) -> set[str]:
    """The tasks to which a task links."""
    return {link.task_id for link in task.links}


def replace(transaction: Transaction, task: Task, before: Task | None = None) -> None:
    """Write the tasks to which a task links now, in place of those to which it linked before."""
    old, new = linked_ids(before) if before else set[str](), linked_ids(task)
    for each in sorted(old - new):
        transaction.write(_REMOVE, linked_task_id=each, number=task.number)
    for each in sorted(new - old):
        transaction.add(_TABLE, (each, task.number))
