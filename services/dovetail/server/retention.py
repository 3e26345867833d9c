"""What is kept: the rules of a team, and the text in which a server's defaults are configured."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Self

MICROS = 1_000_000
HOUR_MICROS = 3_600 * MICROS
DAY_MICROS = 24 * HOUR_MICROS
AGE_MICROS_MAX = 36_500 * DAY_MICROS
COUNT_MAX = 10**15

FOREVER = "forever"
_UNITS = {"h": HOUR_MICROS, "d": DAY_MICROS, "w": 7 * DAY_MICROS}


@dataclass(frozen=True, kw_only=True, slots=True)
class Retention:
    """How long and how many of each are kept. Ages are in microseconds.

    0: for ever, or any number. None: nothing is said here, so a default applies.
    """

    message_age: int | None = None
    message_count: int | None = None
    unacknowledged_age: int | None = None
    notice_age: int | None = None
    task_age: int | None = None
    task_count: int | None = None
    event_age: int | None = None
    event_count: int | None = None
    attempt_age: int | None = None
    attempt_count: int | None = None

    def over(self, default: Self) -> Self:
        """These rules, and where they say nothing those of `default`."""
        chosen = {
            name: getattr(default if getattr(self, name) is None else self, name) for name in NAMES
        }
        return type(self)(**chosen)


NAMES = tuple(each.name for each in fields(Retention))
AGES = tuple(name for name in NAMES if name.endswith("_age"))
COUNTS = tuple(name for name in NAMES if name.endswith("_count"))
DEFAULT = Retention(notice_age=30 * DAY_MICROS)
"""What all servers keep where neither they nor the team say more: all else, for ever."""

WORDS = {
    "messages": "message_age",
    "messages-count": "message_count",
    "unacknowledged": "unacknowledged_age",
    "notices": "notice_age",
    "ended-tasks": "task_age",
    "ended-tasks-count": "task_count",
    "events": "event_age",
    "events-count": "event_count",
    "attempts": "attempt_age",
    "attempts-count": "attempt_count",
}
"""The words of the text, and of the command line."""


def read_retention(text: str) -> Retention:
    """The rules of a text such as "messages=30d,events-count=100000". Raises ValueError."""
    found: dict[str, int] = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        word, _, value = part.partition("=")
        if word not in WORDS:
            raise ValueError(f"{word!r} is not one of {', '.join(WORDS)}")
        name = WORDS[word]
        if name in found:
            raise ValueError(f"{word} is given twice")
        found[name] = _read_age(word, value) if name in AGES else _read_count(word, value)
    return Retention(**found)


def age_fault(age: int) -> str:
    """What is wrong with an age in microseconds; empty: nothing."""
    if age == 0 or HOUR_MICROS <= age <= AGE_MICROS_MAX:
        return ""
    return f"must be 0 (for ever), or 1 h to 36,500 days, is {age / MICROS:g} s"


def count_fault(count: int) -> str:
    """What is wrong with a count; empty: nothing."""
    return "" if 0 <= count <= COUNT_MAX else f"must be 0 (any) to 10^15, is {count:,}"


def _read_age(word: str, text: str) -> int:
    if text == FOREVER:
        return 0
    match = re.fullmatch(r"([1-9]\d{0,8})([hdw])", text, re.ASCII)
    if not match:
        raise ValueError(f"{word}: {text!r} is not an age: write 12h, 30d, 8w or {FOREVER}")
    age = int(match[1]) * _UNITS[match[2]]
    if fault := age_fault(age):
        raise ValueError(f"{word}: {text} {fault}")
    return age


def _read_count(word: str, text: str) -> int:
    if text == FOREVER:
        return 0
    if not re.fullmatch(r"[1-9]\d{0,14}", text, re.ASCII):
        raise ValueError(f"{word}: {text!r} is not a number from 1, or {FOREVER}")
    return int(text)
