"""Statements on PostgreSQL: one JSON parameter for a set, one round trip for several statements."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import psycopg
from peewee import PeeweeException

from dovetail.server.store.database import TypedDatabase, driver_errors
from dovetail.server.store.sets import Change, Fetch, FilePages, Row, RowStatement, SetDriver
from dovetail.server.store.times import Times
from dovetail.server.store.transaction import GlobalSnapshot

POSITION = "STRPOS"

# Below the size from which on a connection is closed after its statement (`postgres.py`).
SET_CHARACTERS_MAX = 128 * 1024

# It warns of errors that follow from one that is raised, by plain lines on standard error.
logging.getLogger("psycopg").addHandler(logging.NullHandler())

# What is read is logged where Peewee logs its own statements, and as it does.
_STATEMENTS = logging.getLogger("peewee")

Sent = tuple[bytes, Sequence[object]]
_COMMIT: Sent = (b"COMMIT", ())


class PostgresSets(SetDriver):
    """Runs sets on this thread's connection, in libpq's pipeline mode.

    Of a transaction BEGIN goes out with the first statements, and COMMIT with the last ones: a
    group costs two or three round trips.
    """

    def __init__(
        self,
        database: TypedDatabase,
        note_size: Callable[[int], None],
        reconnect: Callable[[], None],
        begin: bytes = b"BEGIN",
    ) -> None:
        """Use `database`; `note_size` is told the size of what is sent."""
        self._database = database
        self._note_size = note_size
        self._reconnect = reconnect
        self._begin: Sent = (begin, ())
        self._has_begun = False
        self._has_ended = False

    def begin(self) -> None:
        """Begin, if nothing has been sent yet."""
        if not self._has_begun:
            self._batch([], self._reconnect)

    def fetch(
        self, first: tuple[str, Sequence[object]] | None, fetches: Sequence[Fetch]
    ) -> tuple[list[Row], list[list[list[Row]]]]:
        """Find the rows of each key, after a plain statement, which takes its locks first."""
        parts = [[(each, part) for part in _parts(each, keys)] for each, keys in fetches]
        statements = [_encoded(*first)] if first else []
        statements += [self._statement(*part) for several in parts for part in several]
        results = iter(self._batch(statements, None if self._has_begun else self._reconnect))
        locked = next(results).fetchall() if first else []
        return locked, [
            [rows for _, keys in several for rows in _by_key(next(results), len(keys))]
            for several in parts
        ]

    def read(
        self, queries: Sequence[tuple[str, Sequence[object]]], is_last: bool = False
    ) -> list[list[Row]]:
        """All rows of plain statements; the last of them with the commit."""
        for sql, values in queries:
            self._note_size(len(sql) + _size(values))
            _STATEMENTS.debug((sql, values))
        statements = [_encoded(*each) for each in queries]
        sent = [*statements, _COMMIT] if is_last else statements
        cursors = self._batch(sent, None if self._has_begun else self._reconnect)
        self._has_ended = is_last
        return [cursor.fetchall() for cursor in cursors[: len(statements)]]

    def write(self, changes: Sequence[Change], is_last: bool) -> None:
        """Write rows, in this order; the last of them with the commit."""
        statements = [
            self._statement(each, part) for each, rows in changes for part in _parts(each, rows)
        ]
        self._batch([*statements, _COMMIT] if is_last else statements)
        self._has_ended = is_last

    def give_back(self, pages: int) -> FilePages:
        """Nothing to do: autovacuum makes room for new rows."""
        del pages
        return FilePages(0, 0)

    def commit(self) -> None:
        """Commit, unless the last statements have done so, an error did, or nothing was begun."""
        if self._has_begun and not self._has_ended:
            self._batch([_COMMIT])

    def _batch(
        self, statements: Sequence[Sent], reconnect: Callable[[], None] | None = None
    ) -> list[psycopg.Cursor[Any]]:
        """Send statements together, and wait once. Returns the cursors, with all their rows."""
        if self._has_ended:
            raise RuntimeError("a statement after those that were said to be the last")
        begin = [] if self._has_begun else [self._begin]
        self._has_begun = True
        connection: psycopg.Connection[Any] = self._database.connection()
        try:
            with driver_errors(), connection.pipeline():
                sent = [connection.execute(*each) for each in (*begin, *statements)]
        except PeeweeException:
            if not connection.closed:
                # psycopg takes statements for prepared which the server skipped after the error.
                # Only its own rollback makes it forget them.
                with contextlib.suppress(psycopg.Error):
                    connection.rollback()
                self._has_ended = True
                raise
            if not reconnect:
                raise
            # A connection that died while it was idle: nothing of this transaction was written, so
            # trying again cannot do anything twice. One that dies later ends the transaction.
            reconnect()
            self._has_begun = False
            return self._batch(statements)
        return sent[len(begin) :]

    def _statement(self, statement: RowStatement, rows: Sequence[Row]) -> Sent:
        if len(rows) == 1:
            self._note_size(_size(rows[0]))
            return _encoded(statement.for_one_percent, rows[0])
        parameter = statement.as_json(rows)
        self._note_size(len(parameter))
        return _encoded(statement.for_many_percent, (parameter,))


def _encoded(sql: str, values: Sequence[object]) -> Sent:
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


def _size(row: Sequence[object]) -> int:
    return sum(len(each) if isinstance(each, (str, bytes)) else 8 for each in row)


class PostgresSnapshot(GlobalSnapshot):
    """A view that sends BEGIN with its first statements, and COMMIT with the last ones."""

    def __init__(self, database: TypedDatabase, times: Times, sets: PostgresSets) -> None:
        """Read through `sets`."""
        super().__init__(database, POSITION, times)
        self._sets = sets

    def fetch(self, statement: RowStatement, keys: Sequence[Row]) -> list[list[Row]]:
        """The rows that a statement finds for each key, in one round trip."""
        return self._sets.fetch(None, [(statement, keys)])[1][0] if keys else []

    def _fetch(self, sql: str, bound: Sequence[object]) -> list[Row]:
        return self._sets.read([(sql, bound)])[0]

    def _fetch_last(self, queries: Sequence[tuple[str, Sequence[object]]]) -> list[list[Row]]:
        return self._sets.read(queries, is_last=True)
