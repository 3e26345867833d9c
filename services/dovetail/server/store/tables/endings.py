"""What ends deliveries, beside an acknowledgement: rejection, withdrawal, expiry.

All of it goes through `end`, which keeps the counters of the inboxes, and wakes the streams that
wait for room.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from peewee import SQL

from dovetail.server.store.queries import descending, fn
from dovetail.server.store.schema import DeliveryRow, MessageRow, TeamRow
from dovetail.server.store.tables import agents, deliveries
from dovetail.server.store.tables.agents import AGENTS
from dovetail.server.store.tables.deliveries import (
    COLUMNS,
    DELIVERIES,
    DeliveryRecord,
    has_expired,
)
from dovetail.server.store.tables.delivery_states import (
    DeliveryAct,
    DeliveryState,
    next_state,
)
from dovetail.server.store.tables.events import TaskVerb
from dovetail.server.store.tables.message_bytes import MessageKind
from dovetail.server.store.transaction import (
    GlobalSnapshot,
    Need,
    Row,
    Statement,
    Transaction,
    param,
)

EXPIRED_MAX = 250
"""Deliveries that one unit expires: the writer is to take some 20 ms for them. Chosen."""

NOTICES_LOOKED_AT = 100
"""The newest messages about a task among which its unread notices are looked for. Chosen."""

WITHDRAWN_NOTICES_MAX = 1_000
"""Notices that one unit withdraws. Chosen: of 1,000 tasks one each."""

_OPEN = DeliveryRow.acknowledge_time.is_null()
_OF_MESSAGE = Statement(
    DeliveryRow.select(*COLUMNS).where(
        DeliveryRow.team_id == param("team_id"), DeliveryRow.message_number == param("number")
    )
)
_OPEN_RECIPIENTS = Statement(
    DeliveryRow.select(DeliveryRow.agent_id).where(
        DeliveryRow.team_id == param("team_id"),
        DeliveryRow.message_number == param("number"),
        _OPEN,
        DeliveryRow.expire_time.is_null() | (DeliveryRow.expire_time > param("now")),
    )
)
# These conditions repeat those of the index on what expires, or SQLite would not use it.
_EXPIRING = _OPEN & DeliveryRow.expire_time.is_null(False)
_DUE = Statement(
    DeliveryRow.select(*COLUMNS)
    .where(
        DeliveryRow.team_id == param("team_id"),
        _EXPIRING,
        DeliveryRow.expire_time <= param("now"),
    )
    .order_by(DeliveryRow.expire_time)
    .limit(param("most"))
)
_TEAMS_DUE = Statement(
    TeamRow.select(TeamRow.team_id)
    .where(
        fn.EXISTS(
            DeliveryRow.select(SQL("1")).where(
                DeliveryRow.team_id == TeamRow.team_id,
                _EXPIRING,
                DeliveryRow.expire_time <= param("now"),
            )
        )
    )
    .limit(param("most"))
)
_ABOUT = (
    MessageRow.select(MessageRow.number, MessageRow.kind, MessageRow.notice)
    .where(
        MessageRow.team_id == param("team_id"),
        MessageRow.task_id == param("task_id"),
        MessageRow.task_id != SQL("''"),
    )
    .order_by(descending(MessageRow.number))
    .limit(NOTICES_LOOKED_AT)
    .alias("about")
)
_UNREAD_NOTICES = Statement(
    DeliveryRow.select(*COLUMNS, _ABOUT.c.notice)
    .join(_ABOUT, on=DeliveryRow.message_number == _ABOUT.c.number)
    .where(
        DeliveryRow.team_id == param("team_id"),
        _ABOUT.c.kind == int(MessageKind.NOTICE),
        _ABOUT.c.notice.is_null(False),
        _OPEN,
    )
    .order_by(DeliveryRow.message_number, DeliveryRow.agent_id)
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """How deliveries are to end, and what the recipient says about it, if it does."""

    act: DeliveryAct
    reason: str | None = None


def need(agent_id: str, sequences: Iterable[int]) -> list[Need]:
    """What a unit needs that ends these deliveries of an inbox."""
    return [Need(DELIVERIES.by_key, (agent_id, sequence)) for sequence in sequences]


def of_inbox(
    transaction: Transaction, agent_id: str, sequences: Iterable[int]
) -> list[DeliveryRecord]:
    """These deliveries of an inbox, open or not."""
    transaction.need(need(agent_id, sequences))
    rows = (transaction.find(DELIVERIES.by_key, agent_id, each) for each in sequences)
    return [DeliveryRecord._make(row) for row in rows if row]


def of_message(transaction: Transaction, number: int) -> list[DeliveryRecord]:
    """All deliveries of a message: at most as many as a message may have recipients."""
    return _adopted(transaction, transaction.rows(_OF_MESSAGE, number=number))


def open_recipients(transaction: Transaction, number: int) -> set[str]:
    """The recipients that are not done with a message, and whose time has not passed."""
    now = transaction.team.wall_clock
    rows = transaction.rows(_OPEN_RECIPIENTS, number=number, now=now)
    return {agent_id for (agent_id,) in rows}


def unread_notices(
    transaction: Transaction, task_ids: Iterable[str], verbs: Collection[TaskVerb]
) -> list[DeliveryRecord]:
    """Open deliveries of notices of these verbs, about these tasks: WITHDRAWN_NOTICES_MAX at most.

    Of each task only the newest messages are looked at.
    """
    names = {verb.name for verb in verbs}
    found: list[DeliveryRecord] = []
    for task_id in task_ids:
        rows = transaction.rows(_UNREAD_NOTICES, task_id=task_id)
        wanted = [row[:-1] for row in rows if json.loads(row[-1])["verb"] in names]
        found += _adopted(transaction, wanted[: WITHDRAWN_NOTICES_MAX - len(found)])
    return found


def due(transaction: Transaction) -> list[DeliveryRecord]:
    """The first deliveries of the team whose time has passed, EXPIRED_MAX at most."""
    now = transaction.team.wall_clock
    return _adopted(transaction, transaction.rows(_DUE, now=now, most=EXPIRED_MAX))


def teams_due(snapshot: GlobalSnapshot, now: int, most: int) -> list[str]:
    """The teams that have deliveries whose time has passed."""
    return [team_id for (team_id,) in snapshot.rows(_TEAMS_DUE, now=now, most=most)]


def end(
    transaction: Transaction, records: Iterable[DeliveryRecord], ending: Ending
) -> list[DeliveryRecord]:
    """End those of these deliveries that are open. Returns them as they were.

    Those whose time has passed expire instead, and are not returned.
    """
    team, ended = transaction.team, list[DeliveryRecord]()
    taken: defaultdict[str, list[int]] = defaultdict(list)
    for record in records:
        if record.acknowledge_time is not None:
            continue
        state = next_state(ending.act, state_of(record, team.wall_clock))
        taken[record.agent_id].append(record.size)
        if state is DeliveryState.EXPIRED:
            deliveries.expire(transaction, record)
        else:
            changes = {"acknowledge_time": team.stamp, "ending": state, "reason": ending.reason}
            transaction.put(DELIVERIES, record._replace(**changes))
        if ending.act is DeliveryAct.EXPIRE or state is not DeliveryState.EXPIRED:
            ended.append(record)
    _count(transaction, taken, ending.act)
    return ended


def _count(transaction: Transaction, taken: dict[str, list[int]], act: DeliveryAct) -> None:
    """Take deliveries of these sizes off the open ones of inboxes, and wake who waits for that."""
    transaction.need(agents.need(taken))
    for agent_id, sizes in taken.items():
        agent = transaction.find(AGENTS.by_key, agent_id)
        if agent is None:
            raise AssertionError(f"no agent {agent_id!r}, which has deliveries")
        transaction.put(AGENTS, deliveries.without(agent, sizes))
        transaction.ring(deliveries.room(agent_id))
        if act is DeliveryAct.WITHDRAW:
            # A commit may just have handed over what is taken back: streams must read the table.
            transaction.ring(agent_id)


def _adopted(transaction: Transaction, rows: Iterable[Row]) -> list[DeliveryRecord]:
    return [DeliveryRecord._make(transaction.adopt(DELIVERIES, row)) for row in rows]


def state_of(record: DeliveryRecord, now: int) -> DeliveryState:
    """The state of a delivery, as far as its row tells: SENT counts as UNACKNOWLEDGED."""
    if record.acknowledge_time is not None:
        return DeliveryState(record.ending or DeliveryState.ACKNOWLEDGED)
    if has_expired(record, now):
        return DeliveryState.EXPIRED
    return DeliveryState.UNACKNOWLEDGED if record.see_time is None else DeliveryState.SEEN
