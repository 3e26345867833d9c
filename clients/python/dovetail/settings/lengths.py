"""Lengths of time as people write them: `30` (seconds), `30s`, `1.5s`, `5m`, `2h`, `7d`, `1w`."""

from __future__ import annotations

import re
from datetime import timedelta

UNITS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
SHOWN_CHARACTERS_MAX = 40
EXAMPLES = "write 30, 30s, 1.5s, 5m, 2h, 7d or 1w"


def read_length(text: str) -> timedelta:
    """The length of time that a text means, to the microsecond. Raises ValueError."""
    match = re.fullmatch(r"(\d{1,15})(?:\.(\d{1,6}))?([smhdw]?)", text, re.ASCII)
    if not match:
        shown = text if len(text) <= SHOWN_CHARACTERS_MAX else f"{text[:SHOWN_CHARACTERS_MAX]}…"
        raise ValueError(f"{shown!r} is not a length of time: {EXAMPLES}")
    whole, part, unit = match.groups()
    micros = int(whole) * 1_000_000 + int((part or "").ljust(6, "0"))
    try:
        return timedelta(microseconds=micros * UNITS[unit])
    except OverflowError:
        raise ValueError(f"{text!r} is too long") from None


def length_text(seconds: float) -> str:
    """A length of time in seconds, as `read_length` reads it back."""
    return f"{seconds:.6f}".rstrip("0").rstrip(".") + "s"


def check_length(seconds: float, at_least: float | None, at_most: float | None) -> None:
    """Raise ValueError for a length that is out of bounds."""
    if at_least is not None and not seconds >= at_least:
        raise ValueError(f"must be at least {length_text(at_least)}, is {length_text(seconds)}")
    if at_most is not None and not seconds <= at_most:
        raise ValueError(f"must be at most {length_text(at_most)}, is {length_text(seconds)}")
