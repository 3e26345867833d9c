"""The attachments of tasks: what messages of the contract leave out is read here."""

from __future__ import annotations

from dovetail.client.attachments import Attachment
from dovetail.client.records import record
from dovetail.client.task_history import TaskHistory
from dovetail.client.words import AttachmentPlace, WordLike, number
from dovetail.tasks.v1 import tasks_pb2 as pb


class TaskAttachments(TaskHistory):
    """The attachments of the tasks of a team."""

    async def attachment(
        self,
        task_id: str,
        name: str,
        *,
        place: WordLike = 0,
        start_event_number: int = 0,
    ) -> Attachment:
        """Return one attachment of a task with its bytes, by default of its input.

        `place="result"`: of its result; `place="late_result"`: of what the attempt brought too late
        that began with `start_event_number`.
        """
        request = pb.GetTaskAttachmentRequest(
            task_id=task_id,
            name=name,
            place=number(AttachmentPlace, place),
            start_event_number=start_event_number,
        )
        found = await self._call(self._stub.GetTaskAttachment, request)
        return record(Attachment, found.attachment)
