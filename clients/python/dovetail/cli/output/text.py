"""Text for people at a terminal. Text of other agents must not control the terminal."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from dovetail.cli.output.times import local_time

if TYPE_CHECKING:
    from google.protobuf.duration_pb2 import Duration
    from google.protobuf.timestamp_pb2 import Timestamp

DIRECTION_CONTROLS = frozenset(
    "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c"
)
"""Characters that change the direction of the text around them."""


def escape_controls(text: str) -> str:
    """Escape control characters, which could move the cursor, or worse."""
    if text.isascii() and text.isprintable():  # Fast path for most text.
        return text
    return "".join(_shown(character) for character in text)


def local(time: Timestamp) -> str:
    """A time in this machine's zone, with its offset."""
    return local_time(time.ToDatetime(UTC))


def length(duration: Duration) -> str:
    """A duration in its two largest units."""
    seconds = duration.ToMicroseconds() / 1e6
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms" if seconds >= 0.01 else f"{1000 * seconds:.1f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def age(time: Timestamp, now: datetime | None = None) -> str:
    """How long ago a time was, in its largest unit: `40s`, `5m`, `3h`, `12d`."""
    return _span(max(0.0, _passed(time, now)))


def ago(time: Timestamp, now: datetime | None = None) -> str:
    """The same in words; a time that is to come is `in 5m`."""
    passed = _passed(time, now)
    return f"{_span(passed)} ago" if passed >= 0 else f"in {_span(-passed)}"


def byte_count(size: int) -> str:
    """A number of bytes in its largest unit."""
    if size < 1_024:
        return f"{size} byte" if size == 1 else f"{size} bytes"
    unit = min((size.bit_length() - 1) // 10, 4)
    number = size / 1_024**unit
    return f"{number:,.{1 if number < 10 else 0}f} {'KMGT'[unit - 1]}iB"


def _passed(time: Timestamp, now: datetime | None) -> float:
    return ((now or datetime.now(UTC)) - time.ToDatetime(UTC)).total_seconds()


def _span(passed: float) -> str:
    seconds = int(passed)
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= 2 * length or (unit == "m" and seconds >= length):
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def _shown(character: str) -> str:
    if character in "\n\t":
        return character
    if character in DIRECTION_CONTROLS or unicodedata.category(character) in ("Cc", "Cs"):
        return f"\\u{ord(character):04x}"
    return character


def release() -> str:
    """Which release of Dovetail this is."""
    from importlib.metadata import version  # 40 ms of every start, so only where it is told.

    return version("dovetail")
