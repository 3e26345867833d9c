"""Heads of messages: what a notice about a message needs to know of it, without its content."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from dovetail.server.store.chunks import chunks
from dovetail.server.store.queries import fn
from dovetail.server.store.schema import MessageRow
from dovetail.server.store.tables.message_bytes import (
    HEAD_BYTES_MAX,
    MessageKind,
    beginning,
    title_of,
)
from dovetail.server.store.transaction import Row, Snapshot


@dataclass(frozen=True, kw_only=True, slots=True)
class MessageHead:
    """Who sent a message to whom, where it belongs, and its subject, or how its text begins."""

    number: int
    sender_id: str
    recipient_ids: tuple[str, ...]
    thread_id: str
    task_id: str
    kind: MessageKind
    title: str


def find(snapshot: Snapshot, number: int) -> MessageHead | None:
    """The head of one message, or None."""
    return find_all(snapshot, [number]).get(number)


def find_all(snapshot: Snapshot, numbers: Sequence[int]) -> dict[int, MessageHead]:
    """The heads of those of these messages that exist, by their numbers."""
    number = MessageRow.number
    columns = (
        number,
        MessageRow.sender_id,
        MessageRow.recipients,
        MessageRow.thread_id,
        MessageRow.task_id,
        MessageRow.kind,
        MessageRow.subject,
        fn.SUBSTR(MessageRow.body, 1, HEAD_BYTES_MAX),
        # Messages may have a MiB each, and a unit may ask for many.
        fn.SUBSTR(MessageRow.payload, 1, HEAD_BYTES_MAX),
    )
    found: dict[int, MessageHead] = {}
    for some in chunks(numbers):
        query = MessageRow.select(*columns).where(
            MessageRow.team_id == snapshot.team_id, number.in_(some)
        )
        found |= {row[0]: _head(row) for row in snapshot.select(query)}
    return found


def _head(row: Row) -> MessageHead:
    number, sender_id, recipients, thread_id, task_id, kind, subject, body, payload = row
    return MessageHead(
        number=number,
        sender_id=sender_id,
        recipient_ids=tuple(json.loads(recipients)),
        thread_id=thread_id,
        task_id=task_id,
        kind=MessageKind(kind),
        # A row from before bytes were stored has its texts in columns of their own.
        title=(subject or beginning(body)) if payload is None else title_of(bytes(payload)),
    )
