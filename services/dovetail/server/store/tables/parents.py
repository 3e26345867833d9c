"""Parents: the tasks above a task, of which it is a part."""

from __future__ import annotations

from peewee import JOIN, SQL

from dovetail.server.store.queries import Select
from dovetail.server.store.schema import TaskRow
from dovetail.server.store.transaction import Snapshot

ABOVE_TASKS_MAX = 1_000
"""Tasks above one: as many as a cascade cancels below one. 5 to 7 ms."""


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
