"""Deliveries: the content of each inbox, in order, and what was seen and acknowledged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from itertools import islice

from peewee import Expression

from dovetail.server.store.keyed import finding
from dovetail.server.store.queries import fn
from dovetail.server.store.rings import ROOM, Delivery
from dovetail.server.store.schema import DeliveryRow
from dovetail.server.store.sets import Index, Range, Row, Table, plain
from dovetail.server.store.tables import handouts
from dovetail.server.store.tables.agents import AGENTS, Agent, AgentRecord
from dovetail.server.store.transaction import Need, Snapshot, Transaction


class DeliveryState(IntEnum):
    """The state of a delivery: the furthest that is known."""

    UNACKNOWLEDGED = 1
    ACKNOWLEDGED = 2
    SENT = 10
    SEEN = 11


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """What became of a message at one recipient. Times are None where that is not known."""

    recipient_id: str
    sequence: int
    message_number: int
    acknowledge_time: int | None
    send_time: int | None = None
    see_time: int | None = None

    @property
    def state(self) -> DeliveryState:
        """The state, derived from the times."""
        if self.acknowledge_time is not None:
            return DeliveryState.ACKNOWLEDGED
        if self.see_time is not None:
            return DeliveryState.SEEN
        return DeliveryState.UNACKNOWLEDGED if self.send_time is None else DeliveryState.SENT

    @property
    def state_time(self) -> int | None:
        """When it came into this state."""
        times = (self.acknowledge_time, self.see_time, self.send_time)
        return next((time for time in times if time is not None), None)


ACKNOWLEDGED_MAX = 1_000
"""Deliveries that one call of `acknowledge` acknowledges: they are one commit."""

SPANS_MAX = 32
"""Spans that one unit names before it runs. Of very many it is cheaper to ask for each."""

# Message, size and times after the key: each update writes those that change.
DELIVERIES: Table[Row] = Table(
    (
        DeliveryRow.agent_id,
        DeliveryRow.sequence,
        DeliveryRow.message_number,
        DeliveryRow.size,
        DeliveryRow.create_time,
        DeliveryRow.see_time,
        DeliveryRow.acknowledge_time,
    ),
    2,
    plain(2),
)
_SIZE, _CREATED, _SEEN, _ACKNOWLEDGED = 3, 4, 5, 6
_SPAN = Range(
    DELIVERIES,
    (DeliveryRow.agent_id, DeliveryRow.sequence, DeliveryRow.sequence),
    '"agent_id" = ? AND "sequence" >= ? AND "sequence" <= ? AND "acknowledge_time" IS NULL',
    order='"sequence"',
    most=ACKNOWLEDGED_MAX,
)
# The id as an expression: else SQLite may go through the whole inbox, where the index on messages
# leads to the one row.
_OF_MESSAGE = Index(
    DELIVERIES,
    (DeliveryRow.agent_id, DeliveryRow.message_number),
    """("agent_id" || '') = ? AND "message_number" = ?""",
)
_UNACKNOWLEDGED = DeliveryRow.acknowledge_time.is_null()
_FIRST = finding(
    'SELECT MIN("sequence") FROM "deliveries" WHERE "team_id" = ? AND "agent_id" = ?',
    (DeliveryRow.team_id, DeliveryRow.agent_id),
)


def need(agent_id: str, spans: Iterable[tuple[int, int]]) -> list[Need]:
    """What a unit needs that acknowledges these spans of an inbox."""
    return [Need(_SPAN, (agent_id, first, last)) for first, last in islice(spans, SPANS_MAX)]


def need_of_message(agent_id: str, message_number: int) -> Need:
    """What a unit needs that marks the delivery of a message to an agent."""
    return Need(_OF_MESSAGE, (agent_id, message_number))


def room(agent_id: str) -> str:
    """The name that rings when deliveries of an inbox are acknowledged."""
    return ROOM + agent_id


def add(transaction: Transaction, receipts: Iterable[Receipt], payload: bytes, size: int) -> None:
    """Add a message to inboxes, at the sequences of these receipts, and ring their watchers.

    The agents must exist. `payload` is the message, `size` what it takes of a limit: 0 of a notice.
    """
    now, is_live = transaction.team.stamp, transaction.can_deliver(payload)
    for receipt in receipts:
        agent_id, sequence, number = receipt.recipient_id, receipt.sequence, receipt.message_number
        transaction.add(DELIVERIES, (agent_id, sequence, number, size, now, None, None))
        agent = _agent(transaction, agent_id)
        grown = agent._replace(
            last_sequence=sequence,
            unacknowledged_count=agent.unacknowledged_count + 1,
            mail_count=agent.mail_count + (size > 0),
            mail_bytes=agent.mail_bytes + size,
        )
        transaction.put(AGENTS, grown)
        if is_live:
            transaction.deliver(agent_id, Delivery(sequence, receipt.message_number, None, payload))
        else:
            transaction.ring(agent_id)


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
        DeliveryRow.create_time,
        DeliveryRow.see_time,
        DeliveryRow.acknowledge_time,
        handouts.send_time(),
    ).where(
        DeliveryRow.team_id == snapshot.team_id,
        DeliveryRow.message_number.in_([*recipient_ids]),
        DeliveryRow.agent_id.in_(list({each for ids in recipient_ids.values() for each in ids})),
    )
    found = {
        (number, agent_id): Receipt(
            recipient_id=agent_id,
            sequence=sequence,
            message_number=number,
            acknowledge_time=acknowledged,
            # The time of a hand-out is reckoned back, so it may fall a little short.
            send_time=sent and max(sent, created),
            see_time=seen,
        )
        for number, agent_id, sequence, created, seen, acknowledged, sent in snapshot.select(query)
    }
    return {
        number: [found[number, agent_id] for agent_id in ids if (number, agent_id) in found]
        for number, ids in recipient_ids.items()
    }


def acknowledge(transaction: Transaction, agent_id: str, span: tuple[int, int], most: int) -> int:
    """Acknowledge the first `most` deliveries of a span, both ends included. Returns how many.

    At most ACKNOWLEDGED_MAX.
    """
    found = transaction.find_all(_SPAN, agent_id, *span)
    rows = [row for row in found if row[_ACKNOWLEDGED] is None][:most]
    if not rows:
        return 0
    now, micros = transaction.team.stamp, 0
    for row in rows:
        transaction.put(DELIVERIES, (*row[:_ACKNOWLEDGED], now))
        micros += now - row[_CREATED]
    agent = without(_agent(transaction, agent_id), [row[_SIZE] for row in rows])
    transaction.put(
        AGENTS,
        agent._replace(
            acknowledged_count=agent.acknowledged_count + len(rows),
            acknowledge_micros=agent.acknowledge_micros + micros,
        ),
    )
    transaction.ring(room(agent_id))
    return len(rows)


def without(agent: AgentRecord, sizes: Sequence[int]) -> AgentRecord:
    """An agent whose inbox has deliveries of these sizes less that are unacknowledged."""
    return agent._replace(
        unacknowledged_count=agent.unacknowledged_count - len(sizes),
        mail_count=agent.mail_count - sum(size > 0 for size in sizes),
        mail_bytes=agent.mail_bytes - sum(sizes),
    )


def mark_seen(transaction: Transaction, agent_id: str, sequences: Sequence[int]) -> int:
    """Mark deliveries as seen. Returns how many were neither seen nor acknowledged before."""
    rows = (
        row for span in spans(sequences) for row in transaction.find_all(_SPAN, agent_id, *span)
    )
    return sum(_mark_seen(transaction, row) for row in rows)


def mark_message_seen(transaction: Transaction, need: Need) -> None:
    """Mark the delivery that `need_of_message` names as seen, if there is one."""
    row = transaction.find(_OF_MESSAGE, *need.key)
    if row is not None:
        _mark_seen(transaction, row)


def _mark_seen(transaction: Transaction, row: Row) -> bool:
    if row[_SEEN] is not None or row[_ACKNOWLEDGED] is not None:
        return False
    transaction.put(DELIVERIES, (*row[:_SEEN], transaction.team.stamp, None))
    return True


def _agent(transaction: Transaction, agent_id: str) -> AgentRecord:
    agent = transaction.find(AGENTS.by_key, agent_id)
    if agent is None:
        raise AssertionError(f"no agent {agent_id!r}: the unit did not check that")
    return agent


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


def with_first(snapshot: Snapshot, found: Sequence[Agent]) -> list[Agent]:
    """Agents with the first sequence that is kept of the inbox of each."""
    changed = [agent for agent in found if agent.removed_count]
    rows = snapshot.fetch(_FIRST, [(snapshot.team_id, agent.agent_id) for agent in changed])
    firsts = {
        agent.agent_id: agent.last_sequence + 1 if first is None else first
        for agent, ((first,),) in zip(changed, rows, strict=True)
    }
    return [replace(each, first_sequence=firsts.get(each.agent_id, 1)) for each in found]


def in_states(states: Sequence[int]) -> list[Expression]:
    """A condition on deliveries: in one of these states; without states, no condition."""
    unseen = _UNACKNOWLEDGED & DeliveryRow.see_time.is_null()
    tests = {
        DeliveryState.UNACKNOWLEDGED: _UNACKNOWLEDGED,
        DeliveryState.ACKNOWLEDGED: DeliveryRow.acknowledge_time.is_null(False),
        DeliveryState.SENT: unseen & (fn.COALESCE(handouts.send_time(), 0) > 0),
        DeliveryState.SEEN: _UNACKNOWLEDGED & DeliveryRow.see_time.is_null(False),
    }
    if not states or set(states) >= {DeliveryState.UNACKNOWLEDGED, DeliveryState.ACKNOWLEDGED}:
        return []
    first, *others = (tests[DeliveryState(state)] for state in set(states))
    for each in others:
        first |= each
    return [first]
