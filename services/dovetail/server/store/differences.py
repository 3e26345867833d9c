"""What a group of units writes: the difference between the rows as they are stored and as put."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dovetail.server.store.sets import Change, Key, Row, Table
from dovetail.server.store.tallies import Tallies


class HeldRow:
    """A row as a group has it: what is stored, and what it is to become. None: there is none."""

    __slots__ = ("is_decoded", "stored", "value")

    def __init__(self, stored: Row | None) -> None:
        """Hold a row as it was found."""
        self.stored = stored
        self.value: Any = None
        self.is_decoded = stored is None


def differences(table: Table[Any], dirty: Mapping[Key, HeldRow], tallies: Tallies) -> list[Change]:
    """What differs from what is stored: the new rows, and the others by the columns that changed.

    From here on it counts as stored, and in the tallies: if a statement fails, the whole group is
    rolled back.
    """
    new: list[Row] = []
    updates: dict[tuple[int, ...], list[Row]] = {}
    for key, held in dirty.items():
        row = table.encode(held.value)
        if held.stored is None:
            new.append((key[0], *row))
        elif changed := table.changed(held.stored, row):
            updates.setdefault(changed, []).append((*(row[at] for at in changed), *key))
        if table.tallies:
            tallies.note(table.tallies, key[0], held.stored, row)
        held.stored = row
    inserts: list[Change] = [(table.insert, new)] if new else []
    return inserts + [(table.update(changed), rows) for changed, rows in updates.items()]
