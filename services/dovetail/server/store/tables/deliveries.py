"""Deliveries: the content of each inbox, in order, and what was seen and acknowledged.

What else ends a delivery is in `endings.py`. One whose time has passed counts as EXPIRED from then
on for everything that reads it, and is ended a moment later, by a monitor or by the next unit that
comes upon it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from peewee import Expression

from dovetail.server import clock
from dovetail.server.store.queries import fn
from dovetail.server.store.rings import ROOM, Delivery
from dovetail.server.store.schema import DeliveryRow
from dovetail.server.store.sets import Index, Range, Row, Table, plain
from dovetail.server.store.tables import handouts
from dovetail.server.store.tables.agents import AGENTS, AgentRecord
from dovetail.server.store.tables.delivery_states import OPEN_STATES, DeliveryState
from dovetail.server.store.transaction import Need, Snapshot, Transaction


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """What became of a message at one recipient. Times are None where that is not known.

    `acknowledge_time` is when it ended; `ending` says how, if not by an acknowledgement.
    """

    recipient_id: str
    sequence: int
    message_number: int
    acknowledge_time: int | None
    send_time: int | None = None
    see_time: int | None = None
    ending: DeliveryState | None = None
    reason: str = ""

    @property
    def state(self) -> DeliveryState:
        """The state, derived from the times."""
        if self.acknowledge_time is not None:
            return self.ending or DeliveryState.ACKNOWLEDGED
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


class DeliveryRecord(NamedTuple):
    """A delivery as it is stored; see `DeliveryRow`."""

    agent_id: str
    sequence: int
    message_number: int
    create_time: int
    see_time: int | None
    acknowledge_time: int | None
    ending: int | None
    reason: str | None
    expire_time: int | None
    hop_count: int | None
    depth: int | None


COLUMNS = (
    DeliveryRow.agent_id,
    DeliveryRow.sequence,
    DeliveryRow.message_number,
    DeliveryRow.create_time,
    DeliveryRow.see_time,
    DeliveryRow.acknowledge_time,
    DeliveryRow.ending,
    DeliveryRow.reason,
    DeliveryRow.expire_time,
    DeliveryRow.hop_count,
    DeliveryRow.depth,
)
"""The fields of a DeliveryRecord. An update writes those that change."""

# Rows, and no records: of all tables most rows are added to this one.
DELIVERIES: Table[Row] = Table(COLUMNS, 2, plain(2))
_CREATED, _SEEN, _ACKNOWLEDGED, _EXPIRES = 3, 4, 5, 8
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
_ALL_STATES = {state for state in DeliveryState if state not in OPEN_STATES} | {
    DeliveryState.UNACKNOWLEDGED
}
"""With these every delivery is in one: SENT and SEEN are also UNACKNOWLEDGED."""


def need(agent_id: str, spans: Iterable[tuple[int, int]]) -> list[Need]:
    """What a unit needs that acknowledges these spans of an inbox."""
    return [Need(_SPAN, (agent_id, first, last)) for first, last in islice(spans, SPANS_MAX)]


def need_of_message(agent_id: str, message_number: int) -> Need:
    """What a unit needs that marks the delivery of a message to an agent."""
    return Need(_OF_MESSAGE, (agent_id, message_number))


def room(agent_id: str) -> str:
    """The name that rings when deliveries of an inbox are acknowledged."""
    return ROOM + agent_id


class Carried(NamedTuple):
    """What the deliveries of a message repeat of it. Counts of 0 are None."""

    expire_time: int | None
    hop_count: int | None
    depth: int | None


def add(
    transaction: Transaction, receipts: Iterable[Receipt], payload: bytes, carried: Carried
) -> None:
    """Add a message to inboxes, at the sequences of these receipts, and ring their watchers.

    The agents must exist. `payload` is the message.
    """
    now, is_live = transaction.team.stamp, transaction.can_deliver(payload)
    rest, expire_time = (now, None, None, None, None, *carried), carried.expire_time
    for receipt in receipts:
        agent_id, sequence = receipt.recipient_id, receipt.sequence
        transaction.add(DELIVERIES, (agent_id, sequence, receipt.message_number, *rest))
        agent = _agent(transaction, agent_id)
        count = agent.unacknowledged_count + 1
        grown = agent._replace(last_sequence=sequence, unacknowledged_count=count)
        transaction.put(AGENTS, grown)
        if is_live:
            handed = Delivery(sequence, receipt.message_number, None, payload, None, expire_time)
            transaction.deliver(agent_id, handed)
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
    query = DeliveryRow.select(*COLUMNS, handouts.send_time()).where(
        DeliveryRow.team_id == snapshot.team_id,
        DeliveryRow.message_number.in_([*recipient_ids]),
        DeliveryRow.agent_id.in_(list({each for ids in recipient_ids.values() for each in ids})),
    )
    now = clock.now()
    made = (_receipt(DeliveryRecord._make(row), sent, now) for *row, sent in snapshot.select(query))
    found = {(each.message_number, each.recipient_id): each for each in made}
    return {
        number: [found[number, agent_id] for agent_id in ids if (number, agent_id) in found]
        for number, ids in recipient_ids.items()
    }


def _receipt(record: DeliveryRecord, sent: int | None, now: int) -> Receipt:
    time, ending = record.acknowledge_time, record.ending
    if time is None and has_expired(record, now):
        time, ending = record.expire_time, DeliveryState.EXPIRED
    return Receipt(
        recipient_id=record.agent_id,
        sequence=record.sequence,
        message_number=record.message_number,
        acknowledge_time=time,
        # The time of a hand-out is reckoned back, so it may fall a little short.
        send_time=sent and max(sent, record.create_time),
        see_time=record.see_time,
        ending=None if ending is None else DeliveryState(ending),
        reason=record.reason or "",
    )


def has_expired(row: Row, now: int) -> bool:
    """Whether the time of a delivery has passed, ended or not."""
    expire_time = row[_EXPIRES]
    return expire_time is not None and expire_time <= now


class Taken(NamedTuple):
    """How many deliveries a unit took from those that are open, and how it ended them."""

    acknowledged: int
    expired: int


def acknowledge(transaction: Transaction, agent_id: str, span: tuple[int, int], most: int) -> Taken:
    """Acknowledge the first `most` deliveries of a span, both ends included.

    At most ACKNOWLEDGED_MAX. Those whose time has passed expire instead: no reader may have seen
    them EXPIRED before, and acknowledged later.
    """
    found = transaction.find_all(_SPAN, agent_id, *span)
    rows = [row for row in found if row[_ACKNOWLEDGED] is None][:most]
    if not rows:
        return Taken(0, 0)
    team = transaction.team
    now, clock_time, micros, expired = team.stamp, team.wall_clock, 0, 0
    for row in rows:
        if row[_EXPIRES] is not None and has_expired(row, clock_time):
            expire(transaction, DeliveryRecord._make(row))
            expired += 1
        else:
            transaction.put(DELIVERIES, (*row[:_ACKNOWLEDGED], now, *row[_ACKNOWLEDGED + 1 :]))
            micros += now - row[_CREATED]
    agent, acknowledged = _agent(transaction, agent_id), len(rows) - expired
    transaction.put(
        AGENTS,
        agent._replace(
            unacknowledged_count=agent.unacknowledged_count - len(rows),
            acknowledged_count=agent.acknowledged_count + acknowledged,
            acknowledge_micros=agent.acknowledge_micros + micros,
        ),
    )
    transaction.ring(room(agent_id))
    return Taken(acknowledged, expired)


def expire(transaction: Transaction, record: DeliveryRecord) -> None:
    """End a delivery at its time. The caller counts it in its inbox."""
    transaction.put(
        DELIVERIES,
        record._replace(acknowledge_time=record.expire_time, ending=int(DeliveryState.EXPIRED)),
    )


def mark_seen(transaction: Transaction, agent_id: str, sequences: Sequence[int]) -> int:
    """Mark deliveries as seen. Returns how many were neither seen nor acknowledged before."""
    rows = (
        row for span in spans(sequences) for row in transaction.find_all(_SPAN, agent_id, *span)
    )
    return sum(_mark_seen(transaction, row) for row in rows)


def find(transaction: Transaction, agent_id: str, sequence: int) -> DeliveryRecord | None:
    """The delivery at a sequence, or None."""
    row = transaction.find(DELIVERIES.by_key, agent_id, sequence)
    return None if row is None else DeliveryRecord._make(row)


def need_of_sequence(agent_id: str, sequence: int) -> Need:
    """What a unit needs that looks at the delivery at a sequence."""
    return Need(DELIVERIES.by_key, (agent_id, sequence))


def find_of_message(
    transaction: Transaction, agent_id: str, message_number: int
) -> DeliveryRecord | None:
    """The delivery of a message to an agent, or None."""
    row = transaction.find(_OF_MESSAGE, agent_id, message_number)
    return None if row is None else DeliveryRecord._make(row)


def find_open(
    transaction: Transaction, agent_id: str, sequences: Sequence[int]
) -> list[DeliveryRecord]:
    """Those of these deliveries that have not ended, as far as the group knows."""
    found = [
        row for span in spans(sequences) for row in transaction.find_all(_SPAN, agent_id, *span)
    ]
    return [DeliveryRecord._make(row) for row in found if row[_ACKNOWLEDGED] is None]


def mark_message_seen(transaction: Transaction, need: Need) -> None:
    """Mark the delivery that `need_of_message` names as seen, if there is one."""
    row = transaction.find(_OF_MESSAGE, *need.key)
    if row is not None:
        _mark_seen(transaction, row)


def _mark_seen(transaction: Transaction, row: Row) -> bool:
    team = transaction.team
    is_closed = row[_ACKNOWLEDGED] is not None or has_expired(row, team.wall_clock)
    if is_closed or row[_SEEN] is not None:
        return False
    transaction.put(DELIVERIES, (*row[:_SEEN], team.stamp, *row[_SEEN + 1 :]))
    return True


def _agent(transaction: Transaction, agent_id: str) -> AgentRecord:
    agent = transaction.find(AGENTS.by_key, agent_id)
    if agent is None:
        raise AssertionError(f"no agent {agent_id!r}: the unit did not check that")
    return agent


def acknowledge_each(transaction: Transaction, agent_id: str, sequences: Sequence[int]) -> int:
    """Acknowledge deliveries of one inbox. Returns how many were open before."""
    return sum(
        acknowledge(transaction, agent_id, span, span[1] - span[0] + 1).acknowledged
        for span in spans(sequences)
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
    """Which of these deliveries have not ended, or are not marked as expired yet."""
    query = DeliveryRow.select(DeliveryRow.sequence).where(
        DeliveryRow.team_id == snapshot.team_id,
        DeliveryRow.agent_id == agent_id,
        DeliveryRow.sequence.in_(list(sequences)),
        _UNACKNOWLEDGED,
    )
    return {sequence for (sequence,) in snapshot.select(query)}


def in_states(states: Sequence[int]) -> list[Expression]:
    """A condition on deliveries: in one of these states; without states, no condition."""
    wanted = {DeliveryState(state) for state in states}
    if not wanted or wanted >= _ALL_STATES:
        return []
    now, expires = clock.now(), DeliveryRow.expire_time
    is_open = _UNACKNOWLEDGED & (expires.is_null() | (expires > now))
    ended, ending = DeliveryRow.acknowledge_time.is_null(False), DeliveryRow.ending
    unseen = DeliveryRow.see_time.is_null()
    tests = {
        DeliveryState.UNACKNOWLEDGED: is_open,
        DeliveryState.ACKNOWLEDGED: ended & ending.is_null(),
        DeliveryState.REJECTED: ending == int(DeliveryState.REJECTED),
        DeliveryState.EXPIRED: (ending == int(DeliveryState.EXPIRED))
        | (_UNACKNOWLEDGED & expires.is_null(False) & (expires <= now)),
        DeliveryState.WITHDRAWN: ending == int(DeliveryState.WITHDRAWN),
        DeliveryState.SENT: is_open & unseen & (fn.COALESCE(handouts.send_time(), 0) > 0),
        DeliveryState.SEEN: is_open & DeliveryRow.see_time.is_null(False),
    }
    first, *others = (tests[state] for state in wanted)
    for each in others:
        first |= each
    return [first]
