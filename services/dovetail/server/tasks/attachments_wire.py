"""Attachments of tasks on the wire: a part of `reading.py` and `proto.py`, with the same duties."""

from __future__ import annotations

from collections.abc import Sequence

from dovetail.server.edge.attachments import (
    attachment_message,
    check_bytes,
    check_name,
    read_attachments,
)
from dovetail.server.edge.validation import Checks
from dovetail.server.store.tables import attachments
from dovetail.server.store.tables.attachments import Attachment
from dovetail.server.tasks.attachments import AttachmentPlace, AttachmentQuery
from dovetail.server.tasks.requests import SEQUENCE_MAX
from dovetail.tasks.v1 import tasks_pb2 as pb
from dovetail.types.v1 import types_pb2


def read_files(
    check: Checks, field: str, files: Sequence[types_pb2.Attachment]
) -> tuple[Attachment, ...]:
    """The attachments of an input or of a result."""
    read = read_attachments(check, field, files)
    check_bytes(check, field, read)
    return read


def read_query(check: Checks, request: pb.GetTaskAttachmentRequest) -> AttachmentQuery:
    """Which attachment to return."""
    check.id("task_id", request.task_id)
    check_name(check, "name", request.name)
    place = check.enum("place", request.place, AttachmentPlace.INPUT)
    start_event = request.start_event_number
    if place is AttachmentPlace.LATE_RESULT:
        check.number("start_event_number", start_event, 1, SEQUENCE_MAX)
    elif start_event:
        check.refuse("start_event_number", "must be unset unless place is LATE_RESULT")
    return AttachmentQuery(
        task_id=request.task_id, name=request.name, place=place, start_event=start_event
    )


def stored_files(text: str) -> list[types_pb2.Attachment]:
    """What a column says of attachments, as messages without bytes."""
    return [attachment_message(each) for each in attachments.decode(text)]
