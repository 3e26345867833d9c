"""Unread mail: whose messages an inbox still has open."""

from __future__ import annotations

from typing import NamedTuple

from peewee import SQL

from dovetail.server.store.queries import Select, descending, fn
from dovetail.server.store.schema import DeliveryRow, MessageRow
from dovetail.server.store.tables.message_bytes import MessageKind
from dovetail.server.store.transaction import Snapshot, Statement, param

LOOKED_AT_MAX = 5_000
"""The newest open deliveries that are looked at: 10 ms for the one writer. Chosen."""


class UnreadOf(NamedTuple):
    """How many messages of a sender are open in an inbox, and the number of the newest."""

    sender_id: str
    messages: int
    newest: int


_OPEN = (
    DeliveryRow.select(DeliveryRow.message_number)
    .where(
        DeliveryRow.team_id == param("team_id"),
        DeliveryRow.agent_id == param("agent_id"),
        DeliveryRow.acknowledge_time.is_null(),
        DeliveryRow.expire_time.is_null() | (DeliveryRow.expire_time > param("now")),
    )
    .order_by(descending(DeliveryRow.sequence))
    .limit(LOOKED_AT_MAX)
    .alias("open")
)
_COUNT, _NEWEST = fn.COUNT(MessageRow.number), fn.MAX(MessageRow.number)
_BY_SENDER = Statement(
    Select([_OPEN], [MessageRow.sender_id, _COUNT, _NEWEST])
    .join(
        MessageRow,
        on=(MessageRow.team_id == param("team_id")) & (MessageRow.number == _OPEN.c.message_number),
    )
    .where(MessageRow.kind == int(MessageKind.MESSAGE), MessageRow.sender_id != SQL("''"))
    .group_by(MessageRow.sender_id)
    .order_by(descending(_NEWEST))
)


def by_sender(snapshot: Snapshot, agent_id: str, now: int) -> list[UnreadOf]:
    """The senders of what is open in an inbox, those of the newest messages first; no notices."""
    return [UnreadOf(*row) for row in snapshot.rows(_BY_SENDER, agent_id=agent_id, now=now)]
