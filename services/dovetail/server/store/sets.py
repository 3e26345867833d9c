"""Rows as sets: the SQL with which a group of units finds and writes the rows of one table.

A Table tells how rows become values and back; an Index finds rows by some of their columns. Both
write their SQL once, in two shapes. For one row it is a plain statement with a parameter for each
column; SQLite takes only this shape, as its driver runs a prepared statement again in a few µs.
For many rows PostgreSQL takes one parameter, a JSON array with an object for each row: so a set
costs one statement and one round trip, whatever its size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Generic, NamedTuple, Protocol, TypeVar

from peewee import Field, Model

from dovetail.server.store.schema import TABLES
from dovetail.server.store.statements import (
    Change,
    Key,
    Row,
    RowStatement,
    column_type,
    names,
    quoted,
    records,
)
from dovetail.server.store.tallies import BoundTally, Tally

T = TypeVar("T")
UPDATES_MAX = 200
"""Statements that a table keeps for sets of changed columns; beyond, all are made anew. Chosen."""


@dataclass(frozen=True, kw_only=True)
class Codec(Generic[T]):
    """`decode` makes a value of a row, `encode` a row of a value, and `key_of` its key."""

    decode: Callable[[Row], T]
    encode: Callable[[T], Row]
    key_of: Callable[[T], Key]


def plain(key_size: int) -> Codec[Row]:
    """Rows that stay rows."""
    return Codec(decode=_same, encode=_same, key_of=lambda row: row[:key_size])


class Table(Generic[T]):
    """The rows of one table, as a group of units holds them in memory.

    Beside its columns it has a `codec`. `always` are columns that every update writes, changed or
    not, so that there are fewer different statements.
    """

    def __init__(
        self,
        columns: Sequence[Field],
        key_size: int,
        codec: Codec[T],
        always: Sequence[Field] = (),
        is_large: bool = False,
    ) -> None:
        """`key_size`: how many of the columns, the first ones, make up the key.

        Rows that may be large are held within a bound (`group.py`).
        """
        model: type[Model] = columns[0].model
        self.decode, self.encode, self.key_of = codec.decode, codec.encode, codec.key_of
        self.name = str(getattr(model, "_meta").table_name)  # noqa: B009
        self.order = TABLES.index(model)
        self.team = getattr(model, "team_id")  # noqa: B009
        self.columns = tuple(columns)
        self._always = frozenset(self.positions(always))
        self.key_size = key_size
        self.is_large = is_large
        self.indexes: list[Index[T]] = []
        self.ranges: list[Range[T]] = []
        self.tallies: list[BoundTally] = []
        self.by_key: Index[T] = Index(self, self.columns[:key_size])
        self.insert = self._insert()
        self._updates: dict[tuple[int, ...], RowStatement] = {}

    def keep(self, *tallies: Tally) -> None:
        """Keep these sums over the rows of the table."""
        self.tallies += [(each, itemgetter(*self.positions(each.fields))) for each in tallies]

    def is_named_in(self, sql: str) -> bool:
        """Whether a statement names the table."""
        return f'"{self.name}"' in sql

    def positions(self, fields: Sequence[Field]) -> list[int]:
        """Where these fields are among the columns."""
        # By name: a field that is compared makes a condition, which is always true.
        return [names(self.columns).index(name) for name in names(fields)]

    def changed(self, before: Row, after: Row) -> tuple[int, ...]:
        """The positions of the columns that an update of this row writes; none: there is none."""
        found = [at for at, old in enumerate(before) if old != after[at]]
        return tuple(sorted(self._always.union(found))) if found else ()

    def update(self, changed: tuple[int, ...]) -> RowStatement:
        """The statement that writes these columns. Its rows: these columns, the team, the key."""
        statement = self._updates.get(changed)
        if statement is None:
            if len(self._updates) >= UPDATES_MAX:
                self._updates.clear()
            statement = self._updates[changed] = self._update(changed)
        return statement

    def _insert(self) -> RowStatement:
        fields = (self.team, *self.columns)
        columns = ", ".join(quoted(field) for field in fields)
        into = f'INSERT INTO "{self.name}" ({columns}) '
        one = f"{into}VALUES ({', '.join('?' * len(fields))})"
        many = f"{into}SELECT {columns} FROM {records(fields)}"
        return RowStatement(one, many, names(fields), fields)

    def _update(self, changed: tuple[int, ...]) -> RowStatement:
        columns = [self.columns[at] for at in changed]
        keys = (self.team, *self.columns[: self.key_size])
        fields = (*columns, *keys)
        one = ", ".join(f"{quoted(column)} = ?" for column in columns)
        where = " AND ".join(f"{quoted(key)} = ?" for key in keys)
        many = ", ".join(f"{quoted(column)} = r.{quoted(column)}" for column in columns)
        same = " AND ".join(f"t.{quoted(key)} = r.{quoted(key)}" for key in keys)
        return RowStatement(
            f'UPDATE "{self.name}" SET {one} WHERE {where}',
            f'UPDATE "{self.name}" AS t SET {many} FROM {records(fields)} WHERE {same}',
            names(fields),
            fields,
        )


class Finder(Generic[T]):
    """Finds rows of a table by a key: the team, and a value for each of `fields`.

    `where` is SQL with a mark for each of them, in order; `further` is the rest of the statement.
    """

    def __init__(
        self, table: Table[T], fields: Sequence[Field], where: str, further: str = "LIMIT 1"
    ) -> None:
        """Find rows of `table`."""
        self.table = table
        keys = (table.team, *fields)
        columns = ", ".join(quoted(column) for column in table.columns)
        found = f'SELECT "team_id", {columns} FROM "{table.name}" WHERE "team_id" = '
        one = f"{found}? AND {where} {further}"
        # LATERAL: for each key the index is used that fits, whatever the planner takes the table
        # for. A plain join with a set was planned as a walk through the team at times.
        marked = [f"r.k{at}" for at in range(len(keys))]
        each = f"{found}{marked[0]} AND {where.replace('?', '{}').format(*marked[1:])} {further}"
        types = ", ".join(f"k{at} {column_type(field)}" for at, field in enumerate(keys))
        marks = ", ".join(f"k{at}" for at in range(len(keys)))
        many = (
            f"SELECT r.i, f.* FROM ROWS FROM (json_to_recordset(?::json) AS ({types}))"
            f" WITH ORDINALITY AS r({marks}, i) CROSS JOIN LATERAL ({each}) AS f"
        )
        self.select = RowStatement(one, many, [f"k{at}" for at in range(len(keys))], keys)


class Index(Finder[T]):
    """A unique way to find the rows of a table: by the team and these columns.

    A row in which one of them is None is not in the index. Where several rows have the same values
    any of them is found.
    """

    def __init__(self, table: Table[T], fields: Sequence[Field], where: str = "") -> None:
        """Add it to `table`, which has the columns. `where` says the same in other words."""
        plain_where = " AND ".join(f"{quoted(field)} = ?" for field in fields)
        super().__init__(table, fields, where or plain_where)
        at = table.positions(fields)
        self.of: Callable[[Row], Row] = lambda row: tuple(row[each] for each in at)
        table.indexes.append(self)


class Range(Finder[T]):
    """A way to find several rows of a table, at most `most`: some of those with one `prefix`.

    The prefix is the team, and the first of the fields, which is also the first column of the key.
    The group knows the rows as they were when they were fetched, so the caller looks whether each
    still meets the condition.
    """

    prefix_size = 2

    def __init__(
        self, table: Table[T], fields: Sequence[Field], where: str, order: str, most: int
    ) -> None:
        """Add it to `table`."""
        super().__init__(table, fields, where, f"ORDER BY {order} LIMIT {most}")
        self.most = most
        table.ranges.append(self)


def _same(row: Row) -> Row:
    return row


Fetch = tuple[RowStatement, Sequence[Key]]


class FilePages(NamedTuple):
    """The pages of a store's file, and how many of them are free; none where there is no file."""

    free: int
    total: int


class SetDriver(Protocol):
    """How a kind of database runs statements over sets, on this thread's connection."""

    def fetch(
        self, first: tuple[str, Sequence[object]] | None, fetches: Sequence[Fetch]
    ) -> tuple[list[Row], list[list[list[Row]]]]:
        """Run a plain statement, if there is one, and then find the rows of each key.

        Returns the rows of the statement, and those of each fetch, by its keys in order. They begin
        with the team's id.
        """
        ...

    def write(self, changes: Sequence[Change], is_last: bool) -> None:
        """Write rows, in this order. After the last ones nothing is run but the commit."""

    def begin(self) -> None:
        """Begin the transaction, if that was left to the first statement."""

    def give_back(self, pages: int) -> FilePages:
        """Give so many free pages of a file back to the disk, if it has them."""
        ...
