"""Deliveries: the content of each inbox, in order, and what was acknowledged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from peewee import Expression

from dovetail.server.store.schema import AgentRow, DeliveryRow
from dovetail.server.store.transaction import Snapshot, Statement, Transaction, param, params


class DeliveryState(IntEnum):
    """The state of a delivery."""

    UNACKNOWLEDGED = 1
    ACKNOWLEDGED = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """The state of a message at one recipient."""

    recipient_id: str
    sequence: int
    message_number: int
    acknowledge_time: int | None

    @property
    def state(self) -> DeliveryState:
        """The state, derived from the time."""
        return DeliveryState.ACKNOWLEDGED if self.acknowledge_time else DeliveryState.UNACKNOWLEDGED


_ADD = Statement(
    DeliveryRow.insert(
        params(
            DeliveryRow.team_id,
            DeliveryRow.agent_id,
            DeliveryRow.sequence,
            DeliveryRow.message_number,
            DeliveryRow.create_time,
        )
    )
)
_COUNTERS = (AgentRow.team_id == param("team_id")) & (AgentRow.agent_id == param("agent_id"))
_EXTEND = Statement(
    AgentRow.update(
        {
            AgentRow.last_sequence: param("sequence"),
            AgentRow.unacknowledged_count: AgentRow.unacknowledged_count + 1,
        }
    ).where(_COUNTERS)
)
_INBOX = (DeliveryRow.team_id == param("team_id")) & (DeliveryRow.agent_id == param("agent_id"))
_UNACKNOWLEDGED = DeliveryRow.acknowledge_time.is_null()
_SPAN = (DeliveryRow.sequence >= param("first")) & (DeliveryRow.sequence <= param("last"))
_TO_ACKNOWLEDGE = Statement(
    DeliveryRow.select(DeliveryRow.sequence, DeliveryRow.create_time)
    .where(_INBOX & _SPAN & _UNACKNOWLEDGED)
    .order_by(DeliveryRow.sequence)
    .limit(param("most"))
)
_ACKNOWLEDGE = Statement(
    DeliveryRow.update({DeliveryRow.acknowledge_time: param("now")}).where(
        _INBOX & _SPAN & _UNACKNOWLEDGED
    )
)
_COUNT_ACKNOWLEDGED = Statement(
    AgentRow.update(
        {
            AgentRow.unacknowledged_count: AgentRow.unacknowledged_count - param("count"),
            AgentRow.acknowledged_count: AgentRow.acknowledged_count + param("count"),
            AgentRow.acknowledge_micros: AgentRow.acknowledge_micros + param("micros"),
        }
    ).where(_COUNTERS)
)


def add(transaction: Transaction, receipts: Iterable[Receipt]) -> None:
    """Add a message to inboxes, at the sequences of these receipts, and ring their watchers."""
    now = transaction.team.stamp
    rows: list[dict[str, object]] = [
        {
            "team_id": transaction.team_id,
            "agent_id": receipt.recipient_id,
            "sequence": receipt.sequence,
            "message_number": receipt.message_number,
            "create_time": now,
        }
        for receipt in receipts
    ]
    transaction.write_many(_ADD, rows)
    transaction.write_many(_EXTEND, rows)
    for row in rows:
        transaction.ring(str(row["agent_id"]))


def receipts(
    snapshot: Snapshot, message_number: int, recipient_ids: Sequence[str]
) -> list[Receipt]:
    """The receipts of a message for some of its recipients, in their order."""
    return receipts_of(snapshot, {message_number: recipient_ids})[message_number]


def receipts_of(
    snapshot: Snapshot, recipient_ids: Mapping[int, Sequence[str]]
) -> dict[int, list[Receipt]]:
    """The receipts of several messages, by their numbers, each for some of its recipients."""
    query = DeliveryRow.select(
        DeliveryRow.message_number,
        DeliveryRow.agent_id,
        DeliveryRow.sequence,
        DeliveryRow.acknowledge_time,
    ).where(
        DeliveryRow.team_id == snapshot.team_id,
        DeliveryRow.message_number.in_([*recipient_ids]),
        DeliveryRow.agent_id.in_(list({each for ids in recipient_ids.values() for each in ids})),
    )
    found = {
        (number, agent_id): Receipt(
            recipient_id=agent_id, sequence=sequence, message_number=number, acknowledge_time=time
        )
        for number, agent_id, sequence, time in snapshot.select(query)
    }
    return {
        number: [found[number, agent_id] for agent_id in ids if (number, agent_id) in found]
        for number, ids in recipient_ids.items()
    }


def acknowledge(transaction: Transaction, agent_id: str, span: tuple[int, int], most: int) -> int:
    """Acknowledge the first `most` deliveries of a span, both ends included. Returns how many."""
    first, last = span
    inbox = {"team_id": transaction.team_id, "agent_id": agent_id}
    rows = transaction.rows(_TO_ACKNOWLEDGE, **inbox, first=first, last=last, most=most)
    if not rows:
        return 0
    now = transaction.team.stamp
    transaction.write(_ACKNOWLEDGE, **inbox, first=first, last=rows[-1][0], now=now)
    micros = sum(now - create_time for _, create_time in rows)
    transaction.write(_COUNT_ACKNOWLEDGED, **inbox, count=len(rows), micros=micros)
    transaction.ring(agent_id)
    return len(rows)


def acknowledge_each(transaction: Transaction, agent_id: str, sequences: Sequence[int]) -> int:
    """Acknowledge deliveries of one inbox. Returns how many were not acknowledged before."""
    return sum(
        acknowledge(transaction, agent_id, span, span[1] - span[0] + 1) for span in spans(sequences)
    )


def spans(sequences: Sequence[int]) -> list[tuple[int, int]]:
    """Sequences as runs without gaps: pairs of first and last."""
    runs: list[tuple[int, int]] = []
    for sequence in sorted(set(sequences)):
        if runs and sequence == runs[-1][1] + 1:
            runs[-1] = runs[-1][0], sequence
        else:
            runs.append((sequence, sequence))
    return runs


def unacknowledged(snapshot: Snapshot, agent_id: str, sequences: Sequence[int]) -> set[int]:
    """Which of these deliveries are not acknowledged."""
    query = DeliveryRow.select(DeliveryRow.sequence).where(
        DeliveryRow.team_id == snapshot.team_id,
        DeliveryRow.agent_id == agent_id,
        DeliveryRow.sequence.in_(list(sequences)),
        _UNACKNOWLEDGED,
    )
    return {sequence for (sequence,) in snapshot.select(query)}


def in_states(states: Sequence[int]) -> list[Expression]:
    """A condition on deliveries: in one of these states; without states, no condition."""
    tests = {
        DeliveryState.UNACKNOWLEDGED: DeliveryRow.acknowledge_time.is_null(),
        DeliveryState.ACKNOWLEDGED: DeliveryRow.acknowledge_time.is_null(False),
    }
    wanted = [tests[DeliveryState(state)] for state in set(states)]
    return wanted if len(wanted) == 1 else []
