"""Times as people write and read them: in the zone of this machine, which skips and repeats some.

Python's own `datetime.astimezone` silently moves a local time that does not exist, and to the wrong
side. Here each time is looked up in the zone, by the offsets around it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
YEAR_MIN, YEAR_MAX = 1970, 9998
"""Outside these years some zones have no date for a time."""

WINDOW_HOURS = 36
"""Within so many hours of a time every offset that may apply to it is in force, even where a zone
skips a day."""

EXAMPLES = "write 2026-11-30T17:00, 2026-11-30T17:00+01:00 or 2026-11-30"


@dataclass(frozen=True, kw_only=True)
class WrittenTime:
    """The time that a text means, and a remark for its writer if it is ambiguous."""

    time: datetime
    remark: str = ""


def read_time(text: str) -> WrittenTime:
    """Parse a time; returns it in UTC. Raises ValueError for a time that does not exist."""
    try:
        written = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a time: {EXAMPLES}") from None
    if not YEAR_MIN <= written.year <= YEAR_MAX:
        raise ValueError(f"{text!r} is not in the years {YEAR_MIN} to {YEAR_MAX}")
    if written.tzinfo is not None:
        return WrittenTime(time=written.astimezone(UTC))
    return _local(text, written)


def local_time(time: datetime) -> str:
    """A time in the zone of this machine, with its offset; `read_time` reads it back."""
    try:
        there = time.astimezone()
    except (OverflowError, ValueError, OSError):  # At the limits of the calendar: shown in UTC.
        there = time.astimezone(UTC)
    return there.isoformat(" ", "seconds")


def _local(text: str, written: datetime) -> WrittenTime:
    """The time at which a clock in this machine's zone shows the written time."""
    shown = _seconds(written.replace(tzinfo=UTC))
    offsets = {_offset(shown + 3_600 * hour) for hour in range(-WINDOW_HOURS, WINDOW_HOURS + 1)}
    found = sorted(shown - offset for offset in offsets if _offset(shown - offset) == offset)
    part = timedelta(microseconds=written.microsecond)
    if not found:
        return WrittenTime(time=_after_gap(text, shown, offsets))
    if len(found) == 1:
        return WrittenTime(time=_utc(found[0]) + part)
    first, *_, second = (local_time(_utc(each) + part) for each in found)
    remark = f"{text} comes twice here: {first} is taken, not {second}"
    return WrittenTime(time=_utc(found[0]) + part, remark=remark)


def _after_gap(text: str, shown: int, offsets: set[int]) -> datetime:
    """The start of a day whose midnight is skipped. Raises ValueError for other skipped times."""
    before, after = shown - max(offsets), shown - min(offsets)
    old = _offset(before)
    while after - before > 1:  # Bisect: clocks are set forward after `before`, by `after`.
        middle = (before + after) // 2
        before, after = (middle, after) if _offset(middle) == old else (before, middle)
    last, first = _utc(before), _utc(after)
    if _is_date(text) and first.astimezone().date() == date.fromisoformat(text):
        return first
    raise ValueError(
        f"{text!r} does not exist here, where clocks are set forward from"
        f" {local_time(last)} to {local_time(first)}: write one of these"
    )


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _offset(instant: int) -> int:
    """The offset of this machine's zone from UTC at an instant, in seconds."""
    return time.localtime(instant).tm_gmtoff


def _seconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(seconds=1)


def _utc(instant: int) -> datetime:
    return EPOCH + timedelta(seconds=instant)
