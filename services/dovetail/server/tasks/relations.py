"""What an update of a task's dependencies, parent and links requires of the other tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dovetail.server.errors import FailedPreconditionError, Reason, ResourceExhaustedError
from dovetail.server.store.tables import dependencies, trees
from dovetail.server.store.tables.tasks import Task, TaskState
from dovetail.server.store.transaction import Snapshot
from dovetail.server.tasks.batches import cycle, parent_cycle, too_deep
from dovetail.server.tasks.loading import require_task, task_not_found


def related(snapshot: Snapshot, task: Task, changed: Task) -> Task:
    """The changed task, if the other tasks that it newly names are known and lead to no cycle."""
    if changed.parent_task_id != task.parent_task_id:
        _check_parent(snapshot, task.task_id, changed.parent_task_id)
    if changed.links != task.links:
        _check_links(snapshot, task, changed)
    if changed.depends_on != task.depends_on:
        return _rewired(snapshot, task, changed)
    return changed


def _check_parent(snapshot: Snapshot, task_id: str, parent_id: str) -> None:
    """Refuse a parent that is unknown, is below the task, or is too deep below others."""
    field = "task.parent_task_id"
    if not parent_id:
        return
    require_task(snapshot, parent_id, field)
    path = trees.path(snapshot, parent_id, task_id)
    if path:
        raise parent_cycle(field, [task_id, *path])
    levels = trees.levels_above(snapshot, [parent_id])[parent_id] + 1
    if levels + trees.levels_below(snapshot, task_id) > trees.LEVELS_MAX:
        raise too_deep(field, parent_id)


def _check_links(snapshot: Snapshot, task: Task, changed: Task) -> None:
    """Refuse new links to tasks that are not there. Those that it had may be deleted since."""
    known = {link.task_id for link in task.links}
    new = [link.task_id for link in changed.links if link.task_id not in known]
    unknown = dependencies.unknown(snapshot, new)
    if unknown:
        raise task_not_found("task.links", unknown[0])


def _rewired(snapshot: Snapshot, task: Task, changed: Task) -> Task:
    """The task with other dependencies, which must be known and must not come back to it."""
    field, wanted = "task.depends_on", changed.depends_on
    if task.state is not TaskState.PENDING:
        raise FailedPreconditionError(
            Reason.TASK_STATE,
            f"{field}: of a task that is {task.state.name} it cannot change, only while PENDING",
            metadata={"task_id": task.task_id, "state": task.state.name},
        )
    unknown = dependencies.unknown(snapshot, wanted)
    if unknown:
        raise task_not_found(field, unknown[0])
    check_no_cycle(snapshot, field, task.task_id, wanted)
    return replace(changed, waiting_for_count=dependencies.count_open(snapshot, wanted))


def check_no_cycle(snapshot: Snapshot, field: str, task_id: str, wanted: Sequence[str]) -> None:
    """Refuse dependencies that come back to the task, or that lead too far to be looked at."""
    path = dependencies.path(snapshot, wanted, task_id)
    if path is None:
        most = dependencies.REACHED_TASKS_MAX
        raise ResourceExhaustedError(
            Reason.TOO_MANY_TASKS,
            f"{field}: task {task_id!r} would wait for more than {most:,} open tasks, with those"
            " that its dependencies wait for: complete some first, or depend on fewer",
            metadata={"most": str(most)},
        )
    if path:
        raise cycle(field, [task_id, *path])
