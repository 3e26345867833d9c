"""Attachments of tasks on the wire: a part of `servicer.py`, with the same duties."""

from __future__ import annotations

from grpc.aio import ServicerContext

from dovetail.server.access.caller import current_caller
from dovetail.server.edge.attachments import attachment_message
from dovetail.server.edge.validation import Checks
from dovetail.server.tasks import attachments_wire
from dovetail.server.tasks.attachments import TaskAttachments
from dovetail.tasks.v1 import tasks_pb2 as pb
from dovetail.tasks.v1 import tasks_pb2_grpc as pb_grpc

Context = ServicerContext[object, object]


class AttachmentServicer(pb_grpc.TaskServiceServicer):
    """Translates between the contract and the rules of attachments."""

    _attachments: TaskAttachments

    async def GetTaskAttachment(
        self, request: pb.GetTaskAttachmentRequest, context: Context
    ) -> pb.GetTaskAttachmentResponse:
        """Return one attachment of a task."""
        with Checks() as check:
            query = attachments_wire.read_query(check, request)
        found = await self._attachments.get(current_caller.get(), query)
        return pb.GetTaskAttachmentResponse(attachment=attachment_message(found))
