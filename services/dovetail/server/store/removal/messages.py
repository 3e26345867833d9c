"""Messages that are to be removed, and how they go: with deliveries, hand-outs and counters.

A message goes as a whole. It stays while a delivery of it is unacknowledged, or was acknowledged
just now: whoever acknowledges a message and then replies to it must find it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from dovetail.server.store.keyed import counting, finding
from dovetail.server.store.removal import hanging
from dovetail.server.store.removal.fronts import (
    LOOK_ROWS,
    NEVER,
    Found,
    Front,
    Item,
    Look,
    Position,
)
from dovetail.server.store.schema import DeliveryRow, HandoutRow, MessageRow, TeamRow
from dovetail.server.store.statements import Key, RowStatement, names, records
from dovetail.server.store.tables import agents, deliveries, search
from dovetail.server.store.tables.agents import AGENTS
from dovetail.server.store.tables.message_bytes import MessageKind
from dovetail.server.store.transaction import Snapshot, Statement, Transaction, param

_ROWS = Statement(
    MessageRow.select(MessageRow.number, MessageRow.kind, MessageRow.create_time)
    .where(
        MessageRow.team_id == param("team_id"),
        MessageRow.number > param("after"),
        MessageRow.number <= param("until"),
    )
    .order_by(MessageRow.number)
    .limit(LOOK_ROWS)
)
_DELIVERY_KEY = (DeliveryRow.team_id, DeliveryRow.message_number)
_STATE = finding(
    'SELECT COUNT(*), COUNT("acknowledge_time"), MAX("acknowledge_time") FROM "deliveries"'
    ' WHERE "team_id" = ? AND "message_number" = ?',
    _DELIVERY_KEY,
)
_MESSAGES = finding(
    """SELECT m."kind", m."size" + CAST(COALESCE((
        SELECT SUM(f."size") FROM "message_attachments" AS f
        WHERE f."team_id" = m."team_id" AND f."message_number" = m."number" AND f."url" = ''
    ), 0) AS BIGINT) FROM "messages" AS m WHERE m."team_id" = ? AND m."number" = ?""",
    (MessageRow.team_id, MessageRow.number),
)
_DELIVERIES = finding(
    'SELECT "agent_id", "sequence", "size", "acknowledge_time", "ending", "expire_time"'
    ' FROM "deliveries" WHERE "team_id" = ? AND "message_number" = ?',
    _DELIVERY_KEY,
)
_COUNT = counting(TeamRow.removed_message_count, key=TeamRow.team_id)


class _Row(NamedTuple):
    """A message as a look reads it."""

    number: int
    kind: int
    create_time: int


class _State(NamedTuple):
    """How many deliveries a message has, and when the last was acknowledged; NEVER: not all are."""

    deliveries: int
    done_time: int


class _Delivery(NamedTuple):
    agent_id: str
    sequence: int
    size: int
    acknowledge_time: int | None
    ending: int | None
    expire_time: int | None


def look(snapshot: Snapshot, at: Look, front: Front) -> Found | None:
    """What a front finds next; None: it has nothing to look for."""
    if front is Front.NOTICES:
        return _by_age(snapshot, at, front, at.older_than(at.rules.notice_age))
    if front is Front.UNACKNOWLEDGED:
        return _by_age(snapshot, at, front, at.older_than(at.rules.unacknowledged_age))
    if at.rules.message_age or at.rules.message_count:
        return _acknowledged(snapshot, at, front)
    return None


def remove(transaction: Transaction, front: Front, numbers: Sequence[int]) -> int:
    """Remove messages and all that hangs on them. Returns how many.

    What a look found may be a moment old: who acknowledged since then is not overruled.
    """
    keys = [(transaction.team_id, number) for number in numbers]
    found = transaction.fetch_all([(_MESSAGES, keys), (_DELIVERIES, keys)])
    gone: list[Key] = []
    delivered: list[_Delivery] = []
    for key, message, rows in zip(keys, *found, strict=True):
        these = [_Delivery(*row) for row in rows]
        if message and _may_go(front, these):
            ((kind, size),) = message
            keep = transaction.team.keep_notice
            if kind == MessageKind.MESSAGE:
                keep = transaction.team.keep_message
            keep(-size, count=-1)
            gone.append(key)
            delivered += these
    if gone:
        spans = _take_from_inboxes(transaction, delivered)
        transaction.change(
            *hanging.message_changes(gone),
            (_HANDED_OUT, spans),
            (_COUNT, [(len(gone), transaction.team_id)]),
        )
        search.forget_messages(transaction, [number for _, number in gone])
    return len(gone)


def _by_age(snapshot: Snapshot, at: Look, front: Front, until: int) -> Found | None:
    """Notices, or messages with an unacknowledged delivery, up to a time."""
    if not until:
        return None
    position = at.at(front)
    rows = [row for row in _rows(snapshot, position.number) if row.create_time <= until]
    kind = MessageKind.NOTICE if front is Front.NOTICES else MessageKind.MESSAGE
    states = _states(snapshot, [row for row in rows if row.kind == kind])
    return Found(
        front=front,
        items=[
            _item(number, state)
            for number, state in states.items()
            if front is Front.NOTICES or state.done_time == NEVER
        ],
        end=Position(rows[-1].number) if rows else position,
        rows=len(rows),
        more=len(rows) == LOOK_ROWS,
    )


def _acknowledged(snapshot: Snapshot, at: Look, front: Front) -> Found:
    """Messages that everybody is done with: older than an age, or more than a count."""
    rules, position = at.rules, at.at(front)
    is_held = front is Front.HELD_MESSAGES
    until = at.at(Front.MESSAGES).number if is_held else NEVER
    rows = [row for row in _rows(snapshot, position.number, until) if row.create_time <= at.floor]
    states = _states(snapshot, [row for row in rows if row.kind == MessageKind.MESSAGE])
    old = at.older_than(rules.message_age)
    excess = at.message_count - rules.message_count if rules.message_count else 0
    items: list[Item] = []
    end, is_over = position, len(rows) < LOOK_ROWS
    for row in rows:
        state = states.get(row.number)
        if state and row.create_time > old and len(items) >= excess:
            is_over = True
            break
        end = Position(row.number)
        if state and state.done_time <= at.floor:
            items.append(_item(row.number, state))
    if is_held and is_over:  # From the beginning again.
        end = Position()
    return Found(front=front, items=items, end=end, rows=len(rows), more=not is_over)


def _rows(snapshot: Snapshot, after: int, until: int = NEVER) -> list[_Row]:
    return [_Row(*row) for row in snapshot.rows(_ROWS, after=after, until=until)]


def _states(snapshot: Snapshot, rows: Sequence[_Row]) -> dict[int, _State]:
    """What is known of the deliveries of messages, by number and in order."""
    found = snapshot.fetch(_STATE, [(snapshot.team_id, row.number) for row in rows])
    return {
        row.number: _State(count, (last or 0) if count == acknowledged else NEVER)
        for row, ((count, acknowledged, last),) in zip(rows, found, strict=True)
    }


def _item(number: int, state: _State) -> Item:
    return Item(key=(number,), weight=1 + state.deliveries, position=Position(number))


def _may_go(front: Front, delivered: Sequence[_Delivery]) -> bool:
    is_open = any(each.acknowledge_time is None for each in delivered)
    return front is Front.NOTICES or is_open is (front is Front.UNACKNOWLEDGED)


def _take_from_inboxes(transaction: Transaction, delivered: Sequence[_Delivery]) -> list[Key]:
    """Take deliveries off the counters of their inboxes. Returns the runs that they were."""
    by_agent: defaultdict[str, list[_Delivery]] = defaultdict(list)
    for each in delivered:
        by_agent[each.agent_id].append(each)
    transaction.need(agents.need(by_agent))
    spans: list[Key] = []
    for agent_id, removed in by_agent.items():
        _count_out(transaction, agent_id, removed)
        runs = deliveries.spans([each.sequence for each in removed])
        spans += [(transaction.team_id, agent_id, *run) for run in runs]
    return spans


def _count_out(transaction: Transaction, agent_id: str, removed: Sequence[_Delivery]) -> None:
    agent = transaction.find(AGENTS.by_key, agent_id)
    assert agent is not None
    # No stream ever sends what ended in another way, or has expired: its cursor misses nothing.
    ended = [each for each in removed if each.acknowledge_time is not None]
    done = [each.sequence for each in ended if each.ending is None]
    lost = [each for each in removed if each.acknowledge_time is None]
    missed = [each.sequence for each in lost if not _has_expired(each, transaction.team.wall_clock)]
    if lost:
        agent = deliveries.without(agent, [each.size for each in lost])
        transaction.ring(deliveries.room(agent_id))
    transaction.put(
        AGENTS,
        agent._replace(
            removed_count=agent.removed_count + len(removed),
            removed_acknowledged_count=agent.removed_acknowledged_count + len(done),
            removed_acknowledged=max([agent.removed_acknowledged, *done]),
            removed_unacknowledged=max([agent.removed_unacknowledged, *missed]),
        ),
    )


def _has_expired(delivery: _Delivery, now: int) -> bool:
    return delivery.expire_time is not None and delivery.expire_time <= now


def _handed_out() -> RowStatement:
    """Removes the spans that end in a run of sequences, or first after it, and hold no delivery."""
    columns = (
        HandoutRow.team_id,
        HandoutRow.agent_id,
        HandoutRow.first_sequence,
        HandoutRow.last_sequence,
    )
    where = (
        ' t."team_id" = {0} AND t."agent_id" = {1} AND t."last_sequence" >= {2}'
        ' AND t."last_sequence" <= COALESCE((SELECT MIN(o."last_sequence") FROM "handouts" AS o'
        ' WHERE o."team_id" = {0} AND o."agent_id" = {1} AND o."last_sequence" > {3}), {3})'
        ' AND NOT EXISTS (SELECT 1 FROM "deliveries" AS d WHERE d."team_id" = {0}'
        ' AND d."agent_id" = {1} AND d."sequence" >= t."first_sequence"'
        ' AND d."sequence" <= t."last_sequence")'
    )
    marks = [f'r."{name}"' for name in names(columns)]
    many = f'DELETE FROM "handouts" AS t USING {records(columns)} WHERE{where.format(*marks)}'
    one = (
        'WITH r("team_id", "agent_id", "first", "last") AS (SELECT CAST(? AS TEXT),'
        " CAST(? AS TEXT), CAST(? AS BIGINT), CAST(? AS BIGINT))"
        ' DELETE FROM "handouts" AS t WHERE'
    )
    given = (f'(SELECT "{name}" FROM r)' for name in ("team_id", "agent_id", "first", "last"))
    return RowStatement(one + where.format(*given), many, names(columns), columns)


_HANDED_OUT = _handed_out()
