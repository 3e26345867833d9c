"""Long lists of ids, cut into parts that one statement can take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

# Chosen, not measured. Each id is one parameter of the statement, and SQLite refuses a statement
# with more than 32,766 of them (999 before release 3.32): 500 stays below both together with the
# other parameters. Most requests name at most 1,000 ids, so two statements do; larger parts would
# save little, and make the SQL longer that Peewee builds for each call.
CHUNK_IDS = 500


def chunks(ids: Sequence[T]) -> Iterator[list[T]]:
    """The ids in order, at most CHUNK_IDS at a time; nothing for no ids."""
    for start in range(0, len(ids), CHUNK_IDS):
        yield list(ids[start : start + CHUNK_IDS])
