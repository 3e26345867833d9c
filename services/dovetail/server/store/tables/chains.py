"""Chains of messages: which one led to which, and who sent them. Their content is not read."""

from __future__ import annotations

from typing import NamedTuple

from dovetail.server.store.queries import descending
from dovetail.server.store.schema import MessageRow
from dovetail.server.store.sets import Codec, Table
from dovetail.server.store.tables.message_bytes import MessageKind
from dovetail.server.store.transaction import Snapshot, Statement, Transaction, param


class Link(NamedTuple):
    """A message of a chain; `cause_number` is the one that led to it, if any."""

    number: int
    sender_id: str
    thread_id: str
    cause_number: int | None


_COLUMNS = (
    MessageRow.number,
    MessageRow.sender_id,
    MessageRow.thread_id,
    MessageRow.cause_number,
)
# Beside MESSAGES, whose rows may have a MiB each. What the group has put there is not found here:
# nobody acts on a message before its commit.
_LINKS: Table[Link] = Table(
    _COLUMNS, 1, Codec(decode=Link._make, encode=tuple, key_of=lambda link: link[:1])
)
_OF_THREAD = MessageRow.select(*_COLUMNS).where(
    MessageRow.team_id == param("team_id"), MessageRow.thread_id == param("thread_id")
)
_LAST_OF_THREAD = Statement(
    _OF_THREAD.where(MessageRow.kind == int(MessageKind.MESSAGE))
    .order_by(descending(MessageRow.number))
    .limit(param("most"))
)
_FIRST_OF_THREAD = Statement(_OF_THREAD.order_by(MessageRow.number).limit(1))


def find(transaction: Transaction, number: int) -> Link | None:
    """One message, or None."""
    return transaction.find(_LINKS.by_key, number)


def causes(transaction: Transaction, number: int, most: int) -> list[Link]:
    """A message and those that led to it, the last ones first."""
    found: list[Link] = []
    following: int | None = number
    while following is not None and len(found) < most:
        link = find(transaction, following)
        if link is None:  # What led to it is not kept any more.
            break
        found.append(link)
        following = link.cause_number
    return found


def last_of_thread(snapshot: Snapshot, thread_id: str, most: int) -> list[Link]:
    """The last messages of a thread, without notices, the last ones first."""
    rows = snapshot.rows(_LAST_OF_THREAD, thread_id=thread_id, most=most)
    return [Link._make(row) for row in rows]


def first_sender(snapshot: Snapshot, thread_id: str) -> str:
    """Whoever began a thread; empty: no agent did, or it is not known any more."""
    row = snapshot.row(_FIRST_OF_THREAD, thread_id=thread_id)
    return row[1] if row else ""
