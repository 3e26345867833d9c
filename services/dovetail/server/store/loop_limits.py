"""Limits for agents that only answer each other, as a team sets them or a server by default."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Self

HOUR_MICROS = 3_600 * 1_000_000
"""What began longer ago is no loop any more: a chain begins anew, and so does a thread's count."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopLimits:
    """Each limit: None where nothing is said of it, 0: none.

    `hops` and `depth` are the most that a message may have. `thread_messages` is how many messages
    agents may send in one thread within an hour without a person. `away` is how long an agent that
    was asked may be away, in microseconds.
    """

    hops: int | None = None
    thread_messages: int | None = None
    depth: int | None = None
    away: int | None = None

    @classmethod
    def of(cls, row: Sequence[int | None]) -> Self | None:
        """The limits of a team, of its columns in the order of the fields; None: it has none."""
        if row.count(None) == len(row):
            return None
        return cls(**{field.name: value for field, value in zip(fields(cls), row, strict=True)})

    def over(self, default: Self) -> Self:
        """These limits, and where nothing is said the default."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(default, **{name: value for name, value in own.items() if value is not None})


NO_LIMITS = LoopLimits()
