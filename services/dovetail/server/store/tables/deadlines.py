"""Deadlines: by when the sender of a message wants it to be acknowledged, while that is to come."""

from __future__ import annotations

from collections.abc import Iterable

from peewee import SQL

from dovetail.server.store.queries import Delete, fn
from dovetail.server.store.schema import MessageDeadlineRow, TeamRow
from dovetail.server.store.sets import Row, Table, plain
from dovetail.server.store.transaction import GlobalSnapshot, Statement, Transaction, param

DEADLINES_MAX = 20
"""Deadlines that one unit ends: each reads the deliveries of a message, and may write a notice."""

_TABLE: Table[Row] = Table(
    (MessageDeadlineRow.deadline_time, MessageDeadlineRow.message_number), 2, plain(2)
)
_OURS = MessageDeadlineRow.team_id == param("team_id")
_DUE = Statement(
    MessageDeadlineRow.select(MessageDeadlineRow.deadline_time, MessageDeadlineRow.message_number)
    .where(_OURS, MessageDeadlineRow.deadline_time <= param("now"))
    .order_by(MessageDeadlineRow.deadline_time, MessageDeadlineRow.message_number)
    .limit(DEADLINES_MAX)
)
_REMOVE = Statement(
    Delete(MessageDeadlineRow).where(
        _OURS,
        MessageDeadlineRow.deadline_time == param("deadline_time"),
        MessageDeadlineRow.message_number == param("number"),
    )
)
_TEAMS_DUE = Statement(
    TeamRow.select(TeamRow.team_id)
    .where(
        fn.EXISTS(
            MessageDeadlineRow.select(SQL("1")).where(
                MessageDeadlineRow.team_id == TeamRow.team_id,
                MessageDeadlineRow.deadline_time <= param("now"),
            )
        )
    )
    .limit(param("most"))
)


def add(transaction: Transaction, deadline_time: int, number: int) -> None:
    """Note the deadline of a new message."""
    transaction.add(_TABLE, (deadline_time, number))


def due(transaction: Transaction) -> list[tuple[int, int]]:
    """The first deadlines of the team that have passed, DEADLINES_MAX at most.

    Each is the time and the number of a message.
    """
    rows = transaction.rows(_DUE, now=transaction.team.wall_clock)
    return [(deadline_time, number) for deadline_time, number in rows]


def remove(transaction: Transaction, passed: Iterable[tuple[int, int]]) -> None:
    """Forget deadlines."""
    for deadline_time, number in passed:
        transaction.write(_REMOVE, deadline_time=deadline_time, number=number)


def teams_due(snapshot: GlobalSnapshot, now: int, most: int) -> list[str]:
    """The teams in which deadlines have passed."""
    return [team_id for (team_id,) in snapshot.rows(_TEAMS_DUE, now=now, most=most)]
