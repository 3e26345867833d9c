"""What led to a message: its cause, and how long and how deep the chain behind it is.

The counts of a message are with each of its deliveries, so they are at hand where the sender acts
on one: to know them costs no statement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from dovetail.server.store.loop_limits import HOUR_MICROS, LoopLimits
from dovetail.server.store.tables import agents, chains, deliveries
from dovetail.server.store.tables.deliveries import DeliveryRecord
from dovetail.server.store.tables.messages import message_number
from dovetail.server.store.tables.threads import Thread
from dovetail.server.store.transaction import Need, Transaction


class Traced(Protocol):
    """A message to send, with what may be its cause."""

    @property
    def recipient_ids(self) -> Sequence[str]: ...
    @property
    def in_reply_to(self) -> str: ...
    @property
    def cause_sequence(self) -> int: ...
    @property
    def acknowledge(self) -> Sequence[int]: ...


class Trace(NamedTuple):
    """The number of the message that led to another, and the counts of that one."""

    cause_number: int | None = None
    hop_count: int = 0
    depth: int = 0


_BEGINNING = Trace()


def needs(sender_id: str, batch: Sequence[Traced]) -> list[Need]:
    """What a unit needs beside the deliveries that are replied to or acknowledged."""
    sequences = {each.cause_sequence for each in batch if each.cause_sequence}
    return [deliveries.need_of_sequence(sender_id, each) for each in sequences]


def others(sender_id: str, outgoing: Traced) -> set[str]:
    """The recipients beside the sender: none of a note to oneself."""
    return set(outgoing.recipient_ids).difference([sender_id])


class Tracer:
    """Traces the messages of one sender in its unit, before it acknowledges anything.

    `known` are the threads of what it replies to.
    """

    def __init__(
        self,
        transaction: Transaction,
        sender_id: str,
        known: Mapping[int, Thread],
        limits: LoopLimits,
    ) -> None:
        """Trace under the limits of the team."""
        self._transaction = transaction
        self._sender_id = sender_id
        self._known = known
        self._limits = limits

    def trace_all(self, batch: Sequence[Traced]) -> list[Trace]:
        """The trace of each message. Those of a person begin anew."""
        if agents.is_person(self._transaction, self._sender_id):
            return [_BEGINNING] * len(batch)
        return [self._trace(each) for each in batch]

    def _trace(self, outgoing: Traced) -> Trace:
        cause = self._cause(outgoing)
        if cause is None or cause.create_time + HOUR_MICROS < self._transaction.team.stamp:
            return _BEGINNING
        number, hop_count, depth = cause.message_number, cause.hop_count or 0, cause.depth or 0
        recipients = others(self._sender_id, outgoing)
        if not recipients:
            return Trace(number, hop_count, depth)
        return Trace(number, hop_count + 1, self._depth(number, depth, recipients))

    def _cause(self, outgoing: Traced) -> DeliveryRecord | None:
        """The delivery on which the sender acts, if it is known."""
        transaction, sender_id = self._transaction, self._sender_id
        if outgoing.cause_sequence:
            return deliveries.find(transaction, sender_id, outgoing.cause_sequence)
        if outgoing.in_reply_to:
            number = message_number(outgoing.in_reply_to) or 0
            return deliveries.find_of_message(transaction, sender_id, number)
        found = deliveries.find_open(transaction, sender_id, outgoing.acknowledge)
        return max(found, key=lambda each: (each.hop_count or 0, each.sequence), default=None)

    def _depth(self, number: int, depth: int, recipients: set[str]) -> int:
        """The depth behind a cause: less where the message goes back to the cause's sender alone.

        Where it is not limited it is not kept: the sender of a cause may cost a statement.
        """
        if not self._limits.depth:
            return 0
        is_back = len(recipients) == 1 and self._sender_of(number) in recipients
        return max(0, depth - 1) if is_back else depth + 1

    def _sender_of(self, number: int) -> str:
        if number in self._known:
            return self._known[number].sender_id
        link = chains.find(self._transaction, number)
        return link.sender_id if link else ""
