"""Attachments of tasks: those of the input, of the result, and of late results."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from dovetail.server.access.caller import Caller
from dovetail.server.preconditions import attachment_not_found
from dovetail.server.store.store import Store
from dovetail.server.store.tables import attachments, attempts, tasks
from dovetail.server.store.tables.attachments import Attachment
from dovetail.server.store.transaction import Snapshot
from dovetail.server.tasks.loading import require_task, task_not_found


class AttachmentPlace(IntEnum):
    """Where a task has an attachment."""

    INPUT = 1
    RESULT = 2
    LATE_RESULT = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class AttachmentQuery:
    """Which attachment of a task. `start_event` began the attempt of a late result."""

    task_id: str
    name: str
    place: AttachmentPlace
    start_event: int


class TaskAttachments:
    """Finds attachments of tasks."""

    def __init__(self, store: Store) -> None:
        """Read the attachments of `store`."""
        self._store = store

    async def get(self, caller: Caller, query: AttachmentQuery) -> Attachment:
        """One attachment, with its bytes."""

        def find(snapshot: Snapshot) -> Attachment:
            start_event, told = _find_told(snapshot, query)
            names = [each.name for each in attachments.decode(told)]
            if query.name not in names:
                words = query.place.name.lower().replace("_", " ")
                of = f"the {words} of task {query.task_id!r}"
                raise attachment_not_found(of, query.name, names)
            found = attachments.find_of_task(snapshot, query.task_id, start_event, query.name)
            assert found is not None
            return found

        return await self._store.read(caller.team_id, find)


def _find_told(snapshot: Snapshot, query: AttachmentQuery) -> tuple[int, str]:
    """The event under which attachments are kept, and what task or attempt say of them.

    Both are asked, because a late result is kept under the event of the task's last attempt too,
    where the task was cancelled. Raises NotFoundError for an unknown task.
    """
    if query.place is AttachmentPlace.LATE_RESULT:
        # Attempts stay when their task is deleted, with what they brought.
        if tasks.find(snapshot, query.task_id) is None:
            raise task_not_found("task_id", query.task_id)
        attempt = attempts.find(snapshot, query.task_id, query.start_event)
        late = attempt and attempt.late
        return query.start_event, late.attachments_json if late else ""
    task = require_task(snapshot, query.task_id)
    if query.place is AttachmentPlace.RESULT:
        return task.start_event, task.outcome_attachments_json
    return attachments.INPUT, task.input_attachments_json
