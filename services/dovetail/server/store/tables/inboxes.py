"""Inboxes: read one in pages, in order of sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from peewee import SQL, Case, ColumnBase, Expression

from dovetail.server import clock
from dovetail.server.store.queries import ModelSelect, Select, fn
from dovetail.server.store.rings import Delivery
from dovetail.server.store.schema import AgentRow, DeliveryRow, MessageRow
from dovetail.server.store.tables import agents, messages
from dovetail.server.store.tables.messages import MessageFilter
from dovetail.server.store.transaction import Snapshot, Statement, param

SCANNED_ROWS = 256
FILTERED_ROWS = 2_000
"""Deliveries that one step with a filter reads. A step without a match then costs some 10 ms."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PageRequest:
    """A page of an inbox: what follows a sequence, up to a number of deliveries and bytes."""

    agent_id: str
    after: int
    include_acknowledged: bool
    filter: MessageFilter | None
    most: int
    most_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class InboxPage:
    """Deliveries in order: all up to `through_sequence` are here, or do not match the request.

    An exhausted page reaches the end of the inbox. With a filter, a page may be empty and not
    exhausted: FILTERED_ROWS deliveries were read, and none of them matches. What was removed of
    what the request is for, whatever its filter, ends with `removed_through`.
    """

    deliveries: list[Delivery]
    through_sequence: int
    exhausted: bool
    removed_through: int


def page(snapshot: Snapshot, request: PageRequest) -> InboxPage:
    """Read one page: at most `most` deliveries and `most_bytes`, but at least one if any match."""
    most = min(request.most, SCANNED_ROWS)
    until = _until(snapshot, request)
    rows = snapshot.rows(
        _statement(snapshot, request, until),
        agent_id=request.agent_id,
        after=request.after,
        most=most,
        most_bytes=request.most_bytes,
        until=until,
        now=clock.now(),
    )
    old = messages.old_payloads(snapshot, [row[2] for row in rows if row[-1] is None])
    deliveries = [
        Delivery(sequence, number, acknowledge_time, payload or old[number], see_time)
        for _, _, sequence, number, see_time, acknowledge_time, payload in rows
    ]
    scanned, removed = rows[0][:2] if rows else (0, 0)
    if len(rows) < scanned or scanned == most:
        through, exhausted = deliveries[-1].sequence, False
    else:
        agent = agents.get(snapshot, request.agent_id)  # Unless it was removed.
        removed = agent.removed_through(request.include_acknowledged)
        through, exhausted = max(agent.last_sequence, request.after), until is None
        if until is not None:
            through = until
    return InboxPage(
        deliveries=deliveries,
        through_sequence=through,
        exhausted=exhausted,
        removed_through=removed,
    )


def _until(snapshot: Snapshot, request: PageRequest) -> int | None:
    """The last sequence that one step with a filter reads; None: it reads to the end."""
    if request.filter is None:
        return None
    inbox = {"agent_id": request.agent_id, "after": request.after}
    statement = _WINDOWS[request.include_acknowledged]
    row = snapshot.row(statement, **inbox, before=FILTERED_ROWS - 1)
    return row[0] if row else None


def _window(include_acknowledged: bool) -> ModelSelect:
    """The sequence of the delivery after `before` others, if there are so many."""
    where = [
        DeliveryRow.team_id == param("team_id"),
        DeliveryRow.agent_id == param("agent_id"),
        DeliveryRow.sequence > param("after"),
    ]
    if not include_acknowledged:
        where.append(DeliveryRow.acknowledge_time.is_null())
    # What has expired, or has ended in another way, is counted too: this is a bound, no choice.
    query = DeliveryRow.select(DeliveryRow.sequence).where(*where).order_by(DeliveryRow.sequence)
    return query.limit(1).offset(param("before"))


_WINDOWS = {included: Statement(_window(included)) for included in (False, True)}


def _removed(include_acknowledged: bool) -> ModelSelect:
    """A column: how far what was removed of an inbox goes (`Agent.removed_through`)."""
    removed: ColumnBase = AgentRow.removed_unacknowledged
    if include_acknowledged:
        others = AgentRow.removed_acknowledged
        removed = Case(None, [(others > removed, others)], removed)
    return AgentRow.select(removed).where(
        AgentRow.team_id == param("team_id"), AgentRow.agent_id == param("agent_id")
    )


def _query(include_acknowledged: bool, conditions: Sequence[Expression]) -> ModelSelect:
    """Three layers: the next rows in order, their running size, and the content of those that fit.

    So the size of a page is bounded without reading the bodies that do not fit.
    """
    where = [
        DeliveryRow.team_id == param("team_id"),
        DeliveryRow.agent_id == param("agent_id"),
        DeliveryRow.sequence > param("after"),
        *conditions,
    ]
    if not include_acknowledged:
        where.append(DeliveryRow.acknowledge_time.is_null())
    # What was rejected, withdrawn or has expired is handed out no more, marked as such or not yet.
    where.append(DeliveryRow.ending.is_null())
    where.append(DeliveryRow.expire_time.is_null() | (DeliveryRow.expire_time > param("now")))
    joined = (MessageRow.team_id == DeliveryRow.team_id) & (
        MessageRow.number == DeliveryRow.message_number
    )
    scanned = (
        DeliveryRow.select(
            DeliveryRow.sequence,
            DeliveryRow.message_number,
            DeliveryRow.see_time,
            DeliveryRow.acknowledge_time,
            MessageRow.size,
        )
        .join(MessageRow, on=joined)
        .where(*where)
        .order_by(DeliveryRow.sequence)
        .limit(param("most"))
        .alias("scanned")
    )
    through = fn.SUM(scanned.c.size).over(order_by=[scanned.c.sequence])
    sized = Select(
        [scanned],
        [
            scanned.c.sequence,
            scanned.c.message_number,
            scanned.c.see_time,
            scanned.c.acknowledge_time,
            fn.COUNT(SQL("*")).over().alias("scanned_rows"),
            (through - scanned.c.size).alias("size_before"),
        ],
    ).alias("sized")
    same = (MessageRow.team_id == param("team_id")) & (MessageRow.number == sized.c.message_number)
    columns = (
        sized.c.scanned_rows,
        _removed(include_acknowledged),
        sized.c.sequence,
        sized.c.message_number,
        sized.c.see_time,
        sized.c.acknowledge_time,
    )
    return (
        MessageRow.select(*columns, MessageRow.payload)
        .from_(sized)
        .join(MessageRow, on=same)
        .where(sized.c.size_before + MessageRow.size <= param("most_bytes"))
        .orwhere(sized.c.size_before == 0)
        .order_by(sized.c.sequence)
    )


_UNFILTERED = {included: Statement(_query(included, ())) for included in (False, True)}


def _statement(snapshot: Snapshot, request: PageRequest, until: int | None) -> Statement:
    if request.filter is None:
        return _UNFILTERED[request.include_acknowledged]
    conditions = messages.conditions(snapshot, request.filter)
    if until is not None:
        conditions.append(DeliveryRow.sequence <= param("until"))
    return Statement(_query(request.include_acknowledged, conditions))
