"""Sets of rows on SQLite: one prepared statement, run once for each row.

A further row costs the driver some 5 µs, less than SQLite needs to take a set out of one parameter
(measured: docs/decisions/0034-groups-as-sets.md).
"""

from __future__ import annotations

from collections.abc import Sequence

from dovetail.server.store.database import TypedDatabase, driver_errors
from dovetail.server.store.sets import Change, Fetch, FilePages, Row, SetDriver


class SqliteSets(SetDriver):
    """Runs sets on this thread's connection."""

    def __init__(self, database: TypedDatabase) -> None:
        """Use `database`."""
        self._database = database

    def fetch(
        self, first: tuple[str, Sequence[object]] | None, fetches: Sequence[Fetch]
    ) -> tuple[list[Row], list[list[list[Row]]]]:
        """Find the rows of each key, after a plain statement."""
        connection = self._database.connection()
        with driver_errors():
            head: list[Row] = connection.execute(*first).fetchall() if first else []
            return head, [
                [connection.execute(statement.for_one, key).fetchall() for key in keys]
                for statement, keys in fetches
            ]

    def begin(self) -> None:
        """Do nothing: the engine has begun."""

    def write(self, changes: Sequence[Change], is_last: bool) -> None:
        """Write rows, in this order. The commit is the engine's."""
        del is_last
        connection = self._database.connection()
        with driver_errors():
            for statement, rows in changes:
                connection.executemany(statement.for_one, rows)

    def give_back(self, pages: int) -> FilePages:
        """Move pages from the end of the file to free ones, and cut it.

        Nothing happens in a file that was made without that (`compacting.py`). The log has the
        change at first; the file itself becomes shorter when that is folded in.
        """
        connection = self._database.connection()
        with driver_errors():
            # It stops after each page, until all its rows are fetched.
            connection.execute(f"PRAGMA incremental_vacuum({pages})").fetchall()
            ((free,),) = connection.execute("PRAGMA freelist_count").fetchall()
            ((total,),) = connection.execute("PRAGMA page_count").fetchall()
            return FilePages(free, total)
