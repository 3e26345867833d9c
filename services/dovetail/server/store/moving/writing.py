"""Writing sets of rows: all at once, and one by one where the database does not take them.

Only for what failed is the faulty row looked for, so a set that is right costs one statement.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from peewee import DataError, IntegrityError

from dovetail.server.store.engines.base import plain
from dovetail.server.store.moving.errors import RowError
from dovetail.server.store.moving.places import Place
from dovetail.server.store.moving.tables import MOVED, Key, MovedTable, Row

REMOVED_AT_ONCE = 2_000
"""Rows that one transaction removes; chosen."""

UNTAKEN = (IntegrityError, DataError)
"""What is the fault of a row, not of the database."""


def insert(place: Place, table: MovedTable, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Write new rows, in the transaction of the caller. Raises RowError for one that is not taken.

    The transaction is still good then, without the rows of the set.
    """
    try:
        with place.trying():
            place.insert(table, columns, rows)
    except UNTAKEN:
        with place.trying():
            for number, row in enumerate(rows):
                try:
                    place.insert(table, columns, [row])
                except UNTAKEN as error:
                    raise RowError(number, plain(error)) from error


class Differences:
    """Makes rows of a table what they are elsewhere; what is not taken now is left for later.

    A row may stand in the way of another that comes before it: then neither order of writing fits,
    and the next pass finds the way free.
    """

    def __init__(self, place: Place, table: MovedTable) -> None:
        """Change a table."""
        self._place = place
        self.table = table
        where = " AND ".join(f'"{each}" = ?' for each in table.key)
        others = [each for each in table.column_names if each not in table.key]
        values = ", ".join(f'"{each}" = ?' for each in others)
        at = [table.column_names.index(each) for each in (*others, *table.key)]
        self._update = f'UPDATE "{table.name}" SET {values} WHERE {where}'
        self._updated: Callable[[Row], Row] = lambda row: tuple(row[each] for each in at)
        self._delete = f'DELETE FROM "{table.name}" WHERE {where}'
        self.written = 0
        self.left = 0
        self.why_left = ""

    def insert(self, rows: Sequence[Row]) -> None:
        """Write new rows."""
        table = self.table
        self._do(rows, lambda some: self._place.insert(table, table.column_names, some))

    def update(self, rows: Sequence[Row]) -> None:
        """Replace rows by those with the same keys."""
        self._do(rows, lambda some: self._place.run_for_each(self._update, some), self._updated)

    def delete(self, keys: Sequence[Key]) -> None:
        """Remove rows."""
        self._do(keys, lambda some: self._place.run_for_each(self._delete, some))

    def _do(
        self,
        rows: Sequence[Row],
        write: Callable[[Sequence[Row]], None],
        values_of: Callable[[Row], Row] = tuple,
    ) -> None:
        if not rows:
            return
        try:
            with self._place.trying():
                write([*map(values_of, rows)])
            self.written += len(rows)
        except IntegrityError:
            for row in rows:
                try:
                    with self._place.trying():
                        write([values_of(row)])
                    self.written += 1
                except IntegrityError as error:
                    self.left += 1
                    self.why_left = f"a row of {self.table.name}: {plain(error)}"


def remove_teams(place: Place, team_ids: Sequence[str] | None) -> None:
    """Remove all rows of teams, in bites; None: of the whole store."""
    for table in reversed(MOVED):
        key = ", ".join(f'"{each}"' for each in table.key)
        for team_id in (None,) if team_ids is None else team_ids:
            if team_id is not None and not table.is_of_teams:
                continue
            where, values = ("", ()) if team_id is None else (' WHERE "team_id" = ?', (team_id,))
            chosen = f'SELECT {key} FROM "{table.name}"{where} LIMIT {REMOVED_AT_ONCE}'
            remove = f'DELETE FROM "{table.name}" WHERE ({key}) IN ({chosen})'
            while place.rows(chosen, values):
                with place.writing():
                    place.run(remove, values)
