"""Attachments: the bytes that come with messages, and with inputs and results of tasks.

They are in tables of their own, because what is read and delivered all the time must stay small.
What is said of them (name, type, size, hash, URL) stands in the message's bytes and in the task's
row as well, so that only who asks for one reads these tables.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import starmap

from dovetail.server.store.chunks import chunks
from dovetail.server.store.queries import Delete
from dovetail.server.store.schema import MessageAttachmentRow, TaskAttachmentRow
from dovetail.server.store.sets import Row, Table, plain
from dovetail.server.store.transaction import Snapshot, Statement, Transaction, param

INPUT = 0
"""In place of the event that began an attempt: the attachments of a task's input."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Attachment:
    """An attachment. `data` is None of a reference, and where only what is said of it was read.

    Of a reference size 0 and an empty hash mean that its sender said nothing.
    """

    name: str
    media_type: str
    size: int
    sha256: bytes
    url: str = ""
    data: bytes | None = None


# The two tables differ in their keys: a message's number, or a task's id and the event that began
# the attempt which brought a result.
_OF_MESSAGES: Table[Row] = Table(
    (
        MessageAttachmentRow.message_number,
        MessageAttachmentRow.name,
        MessageAttachmentRow.media_type,
        MessageAttachmentRow.size,
        MessageAttachmentRow.sha256,
        MessageAttachmentRow.url,
        MessageAttachmentRow.data,
    ),
    2,
    plain(2),
    is_large=True,
)
_OF_TASKS: Table[Row] = Table(
    (
        TaskAttachmentRow.task_id,
        TaskAttachmentRow.start_event,
        TaskAttachmentRow.name,
        TaskAttachmentRow.media_type,
        TaskAttachmentRow.size,
        TaskAttachmentRow.sha256,
        TaskAttachmentRow.url,
        TaskAttachmentRow.data,
    ),
    3,
    plain(3),
    is_large=True,
)
_MESSAGE_NAMES = Statement(
    MessageAttachmentRow.select(MessageAttachmentRow.name)
    .where(
        MessageAttachmentRow.team_id == param("team_id"),
        MessageAttachmentRow.message_number == param("message_number"),
    )
    .order_by(MessageAttachmentRow.name)
)
_REMOVE = Statement(
    Delete(TaskAttachmentRow).where(
        TaskAttachmentRow.team_id == param("team_id"),
        TaskAttachmentRow.task_id == param("task_id"),
        TaskAttachmentRow.start_event == param("start_event"),
    )
)


def add_to_message(
    transaction: Transaction, number: int, attachments: Iterable[Attachment]
) -> None:
    """Write the attachments of a new message."""
    for each in attachments:
        transaction.add(_OF_MESSAGES, (number, *_content(each)))


def add_to_task(
    transaction: Transaction, task_id: str, start_event: int, attachments: Iterable[Attachment]
) -> None:
    """Write attachments of what an attempt brought, or of the INPUT of a new task."""
    for each in attachments:
        transaction.add(_OF_TASKS, (task_id, start_event, *_content(each)))


def find_of_message(snapshot: Snapshot, number: int, name: str) -> Attachment | None:
    """An attachment of a message with its bytes, or None."""
    row = snapshot.find(_OF_MESSAGES.by_key, number, name)
    return _from_row(row[1:]) if row else None


def find_of_task(
    snapshot: Snapshot, task_id: str, start_event: int, name: str
) -> Attachment | None:
    """An attachment of what an attempt brought, or of the INPUT, with its bytes; or None."""
    row = snapshot.find(_OF_TASKS.by_key, task_id, start_event, name)
    return _from_row(row[2:]) if row else None


def names_of_message(snapshot: Snapshot, number: int) -> list[str]:
    """The names of all attachments of a message."""
    return [name for (name,) in snapshot.rows(_MESSAGE_NAMES, message_number=number)]


def remove_from_task(transaction: Transaction, task_id: str, start_event: int) -> None:
    """Delete the attachments of what an attempt brought, or of the INPUT."""
    transaction.write(_REMOVE, task_id=task_id, start_event=start_event)


def delete_of_messages(transaction: Transaction, numbers: Sequence[int]) -> None:
    """Delete all attachments of messages: before the messages, to which they refer."""
    row = MessageAttachmentRow
    for some in chunks(numbers):
        mine = (row.team_id == transaction.team_id) & row.message_number.in_(some)
        transaction.write(Statement(Delete(row).where(mine)))


def delete_of_tasks(transaction: Transaction, task_ids: Sequence[str]) -> None:
    """Delete all attachments of tasks, those of late results too: before the tasks."""
    row = TaskAttachmentRow
    for some in chunks(task_ids):
        mine = (row.team_id == transaction.team_id) & row.task_id.in_(some)
        transaction.write(Statement(Delete(row).where(mine)))


def encode(attachments: Iterable[Attachment]) -> str:
    """What is said of attachments as a text for a column; empty without any."""
    told = [
        (each.name, each.media_type, each.size, each.sha256.hex(), each.url) for each in attachments
    ]
    return json.dumps(told, ensure_ascii=False) if told else ""


def decode(text: str) -> tuple[Attachment, ...]:
    """What a column says of attachments, without their bytes."""
    return tuple(starmap(_told, json.loads(text))) if text else ()


def _told(name: str, media_type: str, size: int, sha256: str, url: str) -> Attachment:
    return Attachment(
        name=name, media_type=media_type, size=size, sha256=bytes.fromhex(sha256), url=url
    )


def _content(attachment: Attachment) -> Row:
    return (
        attachment.name,
        attachment.media_type,
        attachment.size,
        attachment.sha256,
        attachment.url,
        attachment.data,
    )


def _from_row(row: Row) -> Attachment:
    name, media_type, size, sha256, url, data = row
    return Attachment(
        name=name,
        media_type=media_type,
        size=size,
        sha256=bytes(sha256),
        url=url,
        data=None if data is None else bytes(data),
    )
