"""Filters as conditions on columns: ranges of time, and labels.

Labels are stored as text in which a pair can be found exactly, on either engine. Keys and values
are printable, so neither can contain the two separators, which are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from peewee import ColumnBase, Expression, TextField

from dovetail.server.store.transaction import Snapshot


@dataclass(frozen=True, kw_only=True, slots=True)
class TimeRange:
    """A range of time that includes its start and not its end; None: no bound."""

    start: int | None = None
    end: int | None = None


EVER = TimeRange()


_PAIR = "\x1e"
_VALUE = "\x1f"


def encode_labels(labels: Mapping[str, str]) -> str:
    """The text of a column: each pair between pair separators, in order of key."""
    if not labels:
        return ""
    pairs = (f"{key}{_VALUE}{value}" for key, value in sorted(labels.items()))
    return _PAIR + _PAIR.join(pairs) + _PAIR


def decode_labels(text: str) -> dict[str, str]:
    """The labels of a column."""
    labels: dict[str, str] = {}
    for pair in text.split(_PAIR):
        if pair:
            key, value = pair.split(_VALUE)
            labels[key] = value
    return labels


def having_labels(
    snapshot: Snapshot, column: TextField, labels: Mapping[str, str]
) -> list[Expression]:
    """One condition for each pair that the column must contain."""
    return [
        snapshot.contains(column, f"{_PAIR}{key}{_VALUE}{value}{_PAIR}")
        for key, value in labels.items()
    ]


def within(column: ColumnBase, times: TimeRange) -> list[Expression]:
    """A range of time as conditions on a column."""
    found: list[Expression] = []
    if times.start is not None:
        found.append(column >= times.start)
    if times.end is not None:
        found.append(column < times.end)
    return found
