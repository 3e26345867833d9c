"""Sets of rows on PostgreSQL: one JSON parameter for a set, and one round trip for all sets."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

import psycopg

from dovetail.server.store.database import TypedDatabase, driver_errors
from dovetail.server.store.group import Change, Fetch
from dovetail.server.store.sets import Row, RowStatement

# Below the size from which on a connection is closed after its statement (`postgres.py`).
SET_CHARACTERS_MAX = 128 * 1024


class PostgresSets:
    """Runs sets on this thread's connection, in libpq's pipeline mode."""

    def __init__(self, database: TypedDatabase, note_size: Callable[[int], None]) -> None:
        """Use `database`; `note_size` is told the size of what is sent."""
        self._database = database
        self._note_size = note_size

    def fetch(
        self, first: tuple[str, Sequence[object]] | None, fetches: Sequence[Fetch]
    ) -> tuple[list[Row], list[list[list[Row]]]]:
        """Find the rows of each key, after a plain statement, which takes its locks first."""
        with driver_errors(), self._pipeline() as connection:
            head = connection.execute(*_encoded(*first)) if first else None
            parts = [
                [
                    (self._run(connection, statement, part), len(part))
                    for part in _parts(statement, keys)
                ]
                for statement, keys in fetches
            ]
            # The first of these sends all statements and waits; the others have come by then.
            locked = head.fetchall() if head else []
            found = [[_by_key(*part) for part in several] for several in parts]
        return locked, [[rows for part in several for rows in part] for several in found]

    def write(self, changes: Sequence[Change]) -> None:
        """Write rows, in this order. The end of the pipeline waits for all of them."""
        with driver_errors(), self._pipeline() as connection:
            for statement, rows in changes:
                for part in _parts(statement, rows):
                    self._run(connection, statement, part)

    @contextlib.contextmanager
    def _pipeline(self) -> Generator[psycopg.Connection[Any]]:
        connection: psycopg.Connection[Any] = self._database.connection()
        with connection.pipeline():
            yield connection

    def _run(
        self, connection: psycopg.Connection[Any], statement: RowStatement, rows: Sequence[Row]
    ) -> psycopg.Cursor[Any]:
        if len(rows) == 1:
            self._note_size(_size(rows[0]))
            return connection.execute(*_encoded(statement.for_one_percent, rows[0]))
        parameter = statement.as_json(rows)
        self._note_size(len(parameter))
        return connection.execute(*_encoded(statement.for_many_percent, (parameter,)))


def _encoded(sql: str, values: Sequence[object]) -> tuple[bytes, Sequence[object]]:
    """The arguments of `execute`, whose type asks for a literal or for bytes."""
    return sql.encode(), values


def _parts(statement: RowStatement, rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """The rows, in parts that are not too large for one parameter."""
    if not statement.for_many_percent:
        yield from ([row] for row in rows)
        return
    part: list[Row] = []
    size = 0
    for row in rows:
        size += _size(row)
        if part and size > SET_CHARACTERS_MAX:
            yield part
            part, size = [], _size(row)
        part.append(row)
    if part:
        yield part


def _by_key(cursor: psycopg.Cursor[Any], count: int) -> list[list[Row]]:
    """The rows of a statement for so many keys, by key. Those of a set begin with its number."""
    if count == 1:
        return [cursor.fetchall()]
    found: list[list[Row]] = [[] for _ in range(count)]
    for number, *row in cursor.fetchall():
        found[int(number) - 1].append(tuple(row))
    return found


def _size(row: Row) -> int:
    return sum(len(each) if isinstance(each, (str, bytes)) else 8 for each in row)
