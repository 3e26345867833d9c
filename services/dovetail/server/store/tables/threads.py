"""Threads: which one a message belongs to, and who may see it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from dovetail.server.store.chunks import chunks
from dovetail.server.store.schema import MessageRow
from dovetail.server.store.tables.messages import MESSAGES
from dovetail.server.store.transaction import Snapshot


@dataclass(frozen=True, kw_only=True, slots=True)
class Thread:
    """The thread of a message, and the agents that may see it: its sender and its recipients."""

    thread_id: str
    party_ids: tuple[str, ...]

    @property
    def sender_id(self) -> str:
        """Whoever sent the message."""
        return self.party_ids[0]


def of_messages(snapshot: Snapshot, numbers: Sequence[int]) -> dict[int, Thread]:
    """The threads of those of these messages that exist, by their numbers.

    One is found by its key, which a group fetches in a set. Several are found by a query that reads
    no content: each may have a MiB.
    """
    if len(numbers) == 1:
        record = snapshot.find(MESSAGES.by_key, *numbers)
        if record is None:
            return {}
        return {record.number: _thread(record.thread_id, record.sender_id, record.recipients)}
    number = MessageRow.number
    columns = (number, MessageRow.thread_id, MessageRow.sender_id, MessageRow.recipients)
    found: dict[int, Thread] = {}
    for some in chunks(numbers):
        query = MessageRow.select(*columns).where(
            MessageRow.team_id == snapshot.team_id, number.in_(some)
        )
        found |= {each: _thread(*rest) for each, *rest in snapshot.select(query)}
    return found


def _thread(thread_id: str, sender_id: str, recipients: str) -> Thread:
    return Thread(thread_id=thread_id, party_ids=(sender_id, *json.loads(recipients)))
