"""Hours of threads: how much agents said in a thread of late, without a person.

Only where a limit is set for it. An hour that has passed is as good as none, and is removed by the
mail monitor.
"""

from __future__ import annotations

from typing import NamedTuple

from dovetail.server.store.loop_limits import HOUR_MICROS
from dovetail.server.store.queries import Delete, fn
from dovetail.server.store.schema import TeamRow, ThreadHourRow
from dovetail.server.store.sets import Codec, Table
from dovetail.server.store.transaction import GlobalSnapshot, Need, Statement, Transaction, param

FORGOTTEN_MAX = 500
"""Hours that one unit removes."""


class ThreadHour(NamedTuple):
    """What agents sent in a thread since a time; whether it was told that it looks like a loop."""

    thread_id: str
    begin_time: int
    message_count: int = 0
    told: int = 0


_COLUMNS = (
    ThreadHourRow.thread_id,
    ThreadHourRow.begin_time,
    ThreadHourRow.message_count,
    ThreadHourRow.told,
)
_HOURS: Table[ThreadHour] = Table(
    _COLUMNS,
    1,
    Codec(decode=ThreadHour._make, encode=tuple, key_of=lambda hour: hour[:1]),
    always=_COLUMNS[1:],
)
_OURS = ThreadHourRow.team_id == param("team_id")
_PASSED = Statement(
    ThreadHourRow.select(ThreadHourRow.thread_id)
    .where(_OURS, ThreadHourRow.begin_time <= param("until"))
    .order_by(ThreadHourRow.begin_time)
    .limit(FORGOTTEN_MAX)
)
_TEAMS = Statement(
    TeamRow.select(TeamRow.team_id)
    .where(
        fn.EXISTS(
            ThreadHourRow.select(ThreadHourRow.thread_id).where(
                ThreadHourRow.team_id == TeamRow.team_id,
                ThreadHourRow.begin_time <= param("until"),
            )
        )
    )
    .limit(param("most"))
)


def need(thread_id: str) -> list[Need]:
    """What a unit needs that sends in a thread; an empty id is none."""
    return [Need(_HOURS.by_key, (thread_id,))] if thread_id else []


def current(transaction: Transaction, thread_id: str) -> ThreadHour:
    """The hour of a thread that runs now, or one that begins now."""
    hour, now = transaction.find(_HOURS.by_key, thread_id), transaction.team.stamp
    if hour and hour.begin_time + HOUR_MICROS > now:
        return hour
    return ThreadHour(thread_id, now)


def save(transaction: Transaction, hour: ThreadHour) -> None:
    """Keep an hour."""
    is_known = transaction.find(_HOURS.by_key, hour.thread_id) is not None
    (transaction.put if is_known else transaction.add)(_HOURS, hour)


def forget(transaction: Transaction) -> bool:
    """Remove some hours that have passed. Returns whether there may be more."""
    rows = transaction.rows(_PASSED, until=transaction.team.stamp - HOUR_MICROS)
    passed = [thread_id for (thread_id,) in rows]
    if passed:
        gone = Delete(ThreadHourRow).where(_OURS, ThreadHourRow.thread_id.in_(passed))
        transaction.write(Statement(gone))
    return len(passed) == FORGOTTEN_MAX


def teams_due(snapshot: GlobalSnapshot, now: int, most: int) -> list[str]:
    """The teams that have hours which have passed."""
    rows = snapshot.rows(_TEAMS, until=now - HOUR_MICROS, most=most)
    return [team_id for (team_id,) in rows]
