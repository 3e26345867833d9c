"""A team's row as a group of units holds it: numbers, times, and how much the team keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from dovetail.server.store.loop_limits import LoopLimits
from dovetail.server.store.schema import TeamRow
from dovetail.server.store.statements import Row, RowStatement
from dovetail.server.store.times import Times

_NUMBERS = (TeamRow.last_message, TeamRow.last_task, TeamRow.last_event)
_KEPT = (
    TeamRow.message_count,
    TeamRow.message_bytes,
    TeamRow.notice_count,
    TeamRow.notice_bytes,
)
_LIMITS = (
    TeamRow.max_inbox_messages,
    TeamRow.max_inbox_bytes,
    TeamRow.max_messages,
    TeamRow.max_bytes,
)
_LOOP_LIMITS = (
    TeamRow.max_loop_hops,
    TeamRow.max_loop_thread_messages,
    TeamRow.max_loop_depth,
    TeamRow.max_away,
)
NEW_FIELDS = (*_NUMBERS, TeamRow.last_time)
"""What a new team begins with: zeros. Its other counters are 0 by default."""

LOCKED_FIELDS = (*_NUMBERS, TeamRow.last_time, *_KEPT, *_LIMITS, TeamRow.retention, *_LOOP_LIMITS)
"""What is read when the row is locked. `TeamCounters.of` takes it."""

SAVE = RowStatement(
    'UPDATE "teams" SET "last_message" = ?, "last_task" = ?, "last_event" = ?,'
    ' "message_count" = ?, "message_bytes" = ?, "notice_count" = ?, "notice_bytes" = ?,'
    ' "last_time" = ? WHERE "team_id" = ?',
    "",  # A group has one team where sets are used.
    (),
    (),
)
"""Writes what `TeamCounters.row` returns."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How much a team may keep, in all and in each inbox; None: any amount."""

    inbox_messages: int | None = None
    inbox_bytes: int | None = None
    messages: int | None = None
    bytes: int | None = None


_NO_LIMITS = Limits()
_COUNTERS = tuple(str(field.name) for field in (*_NUMBERS, TeamRow.last_time, *_KEPT))


@dataclass(kw_only=True)
class TeamCounters:
    """A team's counters while a group of units runs; written back at the commit.

    `stamp` is the time of what is written: it does not run backwards, nor stand still for long.
    `wall_clock` is the time itself: schedules and leases are compared with it, because a stamp may
    be days ahead where a server's clock once was. `limits` is None where the team has none,
    `loop_limits` and `retention` where it says nothing of them (`tables/teams.py` reads the text).
    """

    team_id: str
    last_message: int
    last_task: int
    last_event: int
    last_time: int
    message_count: int
    message_bytes: int
    notice_count: int
    notice_bytes: int
    limits: Limits | None
    retention: str | None
    loop_limits: LoopLimits | None
    stamp: int
    wall_clock: int

    @classmethod
    def of(cls, team_id: str, row: Row, times: Times) -> Self:
        """The counters of a row of LOCKED_FIELDS."""
        counters, rest = row[: len(_COUNTERS)], row[len(_COUNTERS) :]
        inbox_messages, inbox_bytes, messages, size, retention, *loop_limits = rest
        stamp, wall_clock = times.now(team_id, counters[len(_NUMBERS)])
        limits = Limits(
            inbox_messages=inbox_messages, inbox_bytes=inbox_bytes, messages=messages, bytes=size
        )
        return cls(
            team_id=team_id,
            **dict(zip(_COUNTERS, counters, strict=True)),
            limits=None if limits == _NO_LIMITS else limits,
            retention=retention,
            loop_limits=LoopLimits.of(loop_limits),
            stamp=stamp,
            wall_clock=wall_clock,
        )

    def row(self) -> Row:
        """What is written at the commit."""
        numbers = (self.last_message, self.last_task, self.last_event)
        kept = (self.message_count, self.message_bytes, self.notice_count, self.notice_bytes)
        return (*numbers, *kept, self.stamp, self.team_id)

    def next_message(self) -> int:
        """The number of a new message."""
        self.last_message += 1
        return self.last_message

    def next_task(self) -> int:
        """The number of a new task."""
        self.last_task += 1
        return self.last_task

    def next_event(self) -> int:
        """The number of a new task event."""
        self.last_event += 1
        return self.last_event

    def keep_message(self, size: int, count: int = 1) -> None:
        """Count messages of so many bytes in all; a negative count takes them off, and `size`."""
        self.message_count += count
        self.message_bytes += size

    def keep_notice(self, size: int, count: int = 1) -> None:
        """The same for notices."""
        self.notice_count += count
        self.notice_bytes += size
