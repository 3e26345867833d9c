"""Fronts: how far what is to be removed was looked for, so that what stays is passed once.

All that is older than the position of a front has been looked at. What was to go is gone; what
stays behind it is looked at again by a front of its own, some rows at a time, round and round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from dovetail.server.retention import Retention
from dovetail.server.store.schema import CleaningPositionRow, DutyRow, TeamRow
from dovetail.server.store.sets import Row, Table, plain
from dovetail.server.store.statements import Key
from dovetail.server.store.tables import teams
from dovetail.server.store.transaction import (
    GlobalSnapshot,
    Need,
    Snapshot,
    Statement,
    Transaction,
    param,
)

LOOK_ROWS = 500
"""Rows that one look reads, some milliseconds."""

NEVER = 2**63 - 1


class Front(IntEnum):
    """What is looked for, and in which order of rows. The numbers are stored."""

    NOTICES = 1
    MESSAGES = 2
    UNACKNOWLEDGED = 3
    HELD_MESSAGES = 4
    """Messages that the second one left behind, because they were unacknowledged then."""
    TASKS = 5
    HELD_TASKS = 6
    """Tasks that the fifth one left behind, because others needed them, or as they were open."""
    EVENTS = 7
    ATTEMPTS = 8
    ATTEMPT_COUNTS = 9


class Position(NamedTuple):
    """All up to here was looked at: by number, or by time and number."""

    number: int = 0
    time: int = 0


class Item(NamedTuple):
    """What is to be removed: its key, about how many rows, and how far its front is then."""

    key: Key
    weight: int
    position: Position


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What a look found: what is to be removed, in order, and how far the front is afterwards.

    `rows` is how many rows were read; if `more`, there may be more to find at once.
    """

    front: Front
    items: Sequence[Item]
    end: Position
    rows: int
    more: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """A team, its rules and positions, as they were at a time of the team.

    Nothing that is younger than `floor` is removed.
    """

    rules: Retention
    now: int
    floor: int
    message_count: int
    last_event: int
    positions: dict[Front, Position]

    def older_than(self, age: int | None) -> int:
        """The latest time of what has this age; 0 if it is kept for ever."""
        return min(self.now - age, self.floor) if age else 0

    def at(self, front: Front) -> Position:
        """How far a front is."""
        return self.positions.get(front, Position())


_TEAM = Statement(
    TeamRow.select(TeamRow.last_time, TeamRow.message_count, TeamRow.last_event).where(
        TeamRow.team_id == param("team_id")
    )
)
_POSITIONS = Statement(
    CleaningPositionRow.select(
        CleaningPositionRow.front, CleaningPositionRow.number, CleaningPositionRow.time
    ).where(CleaningPositionRow.team_id == param("team_id"))
)
_POSITION_TABLE: Table[Row] = Table(
    (CleaningPositionRow.front, CleaningPositionRow.number, CleaningPositionRow.time), 1, plain(1)
)


def look(snapshot: Snapshot, rules: Retention, kept_micros: int) -> Look | None:
    """What there is to know before a look into a team; None: nothing was written in it yet."""
    row = snapshot.row(_TEAM)
    if row is None:
        return None
    last_time, message_count, last_event = row
    now, _ = snapshot.time_of(snapshot.team_id, last_time)
    found = snapshot.rows(_POSITIONS)
    return Look(
        rules=rules,
        now=now,
        floor=now - kept_micros,
        message_count=message_count,
        last_event=last_event,
        positions={Front(front): Position(number, time) for front, number, time in found},
    )


def need(front: Front) -> Need:
    """What a unit needs that moves a front."""
    return Need(_POSITION_TABLE.by_key, (int(front),))


def move(transaction: Transaction, front: Front, position: Position) -> None:
    """All up to a position was looked at."""
    row = (int(front), *position)
    if transaction.find(_POSITION_TABLE.by_key, int(front)) is None:
        transaction.add(_POSITION_TABLE, row)
    else:
        transaction.put(_POSITION_TABLE, row)


def are_same(transaction: Transaction, rules: Retention, default: Retention) -> bool:
    """Whether these are still the rules of the team."""
    return teams.read_rules(transaction.team.retention).over(default) == rules


# One server at a time does the work for all teams.

_CLEANING = (DutyRow.team_id == "") & (DutyRow.duty == "clean")
_HOLDER = Statement(DutyRow.select(DutyRow.holder_id, DutyRow.turn).where(_CLEANING))
_TAKE = Statement(
    DutyRow.update({DutyRow.holder_id: param("holder_id"), DutyRow.turn: DutyRow.turn + 1}).where(
        _CLEANING,
        DutyRow.holder_id == param("former_id"),
        DutyRow.turn == param("turn"),
    )
)
_GO_ON = Statement(
    DutyRow.update({DutyRow.turn: DutyRow.turn + 1}).where(
        _CLEANING, DutyRow.holder_id == param("holder_id")
    )
)
_END = Statement(
    DutyRow.update({DutyRow.holder_id: "", DutyRow.turn: DutyRow.turn + 1}).where(
        _CLEANING, DutyRow.holder_id == param("holder_id")
    )
)


class Duty(NamedTuple):
    """Who cleans, empty: nobody; and how often that was said."""

    holder_id: str
    turn: int


def duty(snapshot: GlobalSnapshot) -> Duty:
    """Who cleans now."""
    return Duty(*snapshot.rows(_HOLDER)[0])


def take(transaction: Transaction, holder_id: str, seen: Duty) -> bool:
    """Begin to clean in place of whoever did, unless that has changed. Returns whether it began."""
    return bool(
        transaction.write(_TAKE, holder_id=holder_id, former_id=seen.holder_id, turn=seen.turn)
    )


def go_on(transaction: Transaction, holder_id: str) -> bool:
    """Say that the holder is at work. Returns whether it is still the holder."""
    return bool(transaction.write(_GO_ON, holder_id=holder_id))


def end(transaction: Transaction, holder_id: str) -> bool:
    """Leave the work to others."""
    return bool(transaction.write(_END, holder_id=holder_id))
