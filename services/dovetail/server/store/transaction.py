"""What store functions work with: a Snapshot of a team to read, a Transaction to write as well.

Queries are Peewee queries. A Statement is compiled once for each kind of database and then called
with its parameters by name: building the query for each call costs several times what SQLite needs
to run it.

A Snapshot or Transaction belongs to the thread whose connection it uses, and to one group of jobs:
nothing of it may be used after the group. Statements are shared by all threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from peewee import Expression, Field, Node, Value, fn

from dovetail.server.meter import Happening
from dovetail.server.store.database import TypedDatabase
from dovetail.server.store.rings import Delivery
from dovetail.server.store.sets import (
    Change,
    Fetch,
    FilePages,
    Finder,
    Index,
    Key,
    Range,
    Row,
    RowStatement,
    Table,
)
from dovetail.server.store.team_counters import TeamCounters
from dovetail.server.store.times import Times

if TYPE_CHECKING:
    from dovetail.server.store.group import WriteGroup
    from dovetail.server.store.queries import ModelSelect

T = TypeVar("T")
MICROS = 1_000_000
PART_ROWS = 10_000
"""How many rows of a long query are in memory at a time. Chosen."""


class QueryOverError(Exception):
    """A query that reads in parts has reached its limit, or its caller has left."""


class Need(NamedTuple):
    """Rows that a unit will ask for: what finds them, and the key without the team.

    `then` names what a unit that needs this row will need because of its content.
    """

    finder: Finder[Any]
    key: Key
    then: Callable[[Any], Iterable[Need]] | None = None


@dataclass(frozen=True)
class _Placeholder:
    name: str


def param(name: str) -> Node:
    """A parameter of a Statement, passed to the database as it is."""
    # Without a converter Peewee keeps the placeholder itself among the values of the compiled
    # query, where `bind` finds it and puts the real one.
    return Value(_Placeholder(name), converter=False, unpack=False)


def params(*fields: Field) -> dict[Any, Node]:
    """A parameter for each field, named as the field is."""
    return {field: param(field.name) for field in fields}


class Statement:
    """A query with parameters, compiled at its first use on each database."""

    def __init__(self, query: Node) -> None:
        """Keep the query; it must not change any more."""
        self._query = query
        self._compiled: dict[str, tuple[str, tuple[Any, ...]]] = {}

    def bind(
        self, database: TypedDatabase, values: Mapping[str, object]
    ) -> tuple[str, list[object]]:
        """The SQL text for this kind of database, and its parameters in order."""
        sql, names = self.compile(database)
        return sql, [values[p.name] if isinstance(p, _Placeholder) else p for p in names]

    def compile(self, database: TypedDatabase) -> tuple[str, tuple[Any, ...]]:
        """The SQL text for this kind of database, and the placeholders of its parameters."""
        # Without a lock: threads that compile at the same time store the same text. By the name of
        # the class, as two engines of one kind write the same SQL.
        kind = type(database).__name__
        if kind not in self._compiled:
            sql, names = database.get_sql_context().sql(self._query).query()
            self._compiled[kind] = sql, tuple(names)
        return self._compiled[kind]


def _never() -> bool:
    return False


class GlobalSnapshot:
    """A consistent view of the store, over all teams."""

    def __init__(self, database: TypedDatabase, position: str, times: Times) -> None:
        """Read through `database`, on whose thread a transaction is open.

        `position` is the engine's SQL function that finds one text in another, byte for byte.
        """
        self._database = database
        self._position = position
        self._times = times

    def of(self, team_id: str) -> Snapshot:
        """The same view, bound to one team."""
        return Snapshot(self, team_id)

    @property
    def is_embedded(self) -> bool:
        """Whether this is SQLite, where a statement needs SQL of its own."""
        return self._database.param == "?"

    def rows(self, statement: Statement, **values: object) -> list[Row]:
        """All rows of a statement."""
        sql, bound = statement.bind(self._database, values)
        return self._fetch(sql, bound)

    def row(self, statement: Statement, **values: object) -> Row | None:
        """The first row of a statement, or None."""
        rows = self.rows(statement, **values)
        return rows[0] if rows else None

    def select(self, query: Node) -> list[Row]:
        """All rows of a query that is built for this call alone."""
        sql, bound = self._database.get_sql_context().sql(query).query()
        return self._fetch(sql, bound)

    def time_of(self, team_id: str, last_time: int) -> tuple[int, int]:
        """The next stamp of a team whose last stamp is `last_time`, and the time itself."""
        return self._times.now(team_id, last_time)

    def contains(self, column: Field, text: str) -> Expression:
        """A condition: the column contains the text, exactly."""
        return getattr(fn, self._position)(column, text) > 0

    def fetch(self, statement: RowStatement, keys: Sequence[Key]) -> list[list[Row]]:
        """The rows that a statement finds for each key, which has the team's id where it says."""
        sql = statement.text(self._database)
        return [self._fetch(sql, key) for key in keys]

    def last_rows(self, statements: Iterable[Statement], **values: object) -> list[list[Row]]:
        """All rows of several statements with the same parameters, if possible in one round trip.

        Nothing may be read after them: the transaction may have ended.
        """
        return self._fetch_last([each.bind(self._database, values) for each in statements])

    def _fetch(self, sql: str, bound: Sequence[object]) -> list[Row]:
        return self._database.execute_sql(sql, bound).fetchall()

    def _fetch_last(self, queries: Sequence[tuple[str, Sequence[object]]]) -> list[list[Row]]:
        return [self._fetch(*query) for query in queries]


class Snapshot(GlobalSnapshot):
    """A consistent view of one team: what table functions take, so that none mixes up teams.

    `team_id` is a parameter of every statement.
    """

    def __init__(self, whole: GlobalSnapshot, team_id: str) -> None:
        """Read this team of a view over all of them."""
        super().__init__(whole._database, whole._position, whole._times)
        self._fetch, self._fetch_last, self.fetch = whole._fetch, whole._fetch_last, whole.fetch
        self.team_id = team_id
        self.is_over: Callable[[], bool] = _never

    def rows(self, statement: Statement, **values: object) -> list[Row]:
        """All rows of a statement."""
        return super().rows(statement, **{"team_id": self.team_id, **values})

    def last_rows(self, statements: Iterable[Statement], **values: object) -> list[list[Row]]:
        """All rows of several statements, after which nothing may be read.

        Only for queries that are alone in their group: scans and reports.
        """
        return super().last_rows(statements, **{"team_id": self.team_id, **values})

    def select_in_parts(self, query: ModelSelect, number: Field) -> Iterator[list[Row]]:
        """The rows of a query, some at a time, by their number, which must be the first column.

        What the database does for one part may be short, and what is done with it long: so it also
        ends here once the query is over.
        """
        part, last = query.order_by(number).limit(PART_ROWS), 0
        while rows := self.select(part.where(number > last)):
            yield rows
            last = rows[-1][0]
            if self.is_over():
                raise QueryOverError

    def find(self, index: Index[T], *key: object) -> T | None:
        """The row that an index finds by its columns, or None."""
        rows = self._fetch(index.select.text(self._database), (self.team_id, *key))
        return index.table.decode(rows[0][1:]) if rows else None

    def need(self, needs: Iterable[Need]) -> None:
        """Fetch rows as a set before they are asked for one by one, where they can be kept."""
        del needs

    def adopt(self, table: Table[T], row: Row) -> T:
        """The value of a row that a query has read: all columns of the table, in its order."""
        return table.decode(row)


class Transaction(Snapshot):
    """The group as one of its units sees it: it reads and writes one team."""

    def __init__(self, group: WriteGroup, team_id: str) -> None:
        """Write as a part of `group`, in this team."""
        super().__init__(group, team_id)
        self._group = group

    @property
    def team(self) -> TeamCounters:
        """The team's counters; its row is locked until the commit."""
        return self._group.team(self.team_id)

    @property
    def followers_left(self) -> int:
        """How many more waiting tasks this unit may update after its changes."""
        return self._group.followers_left

    @followers_left.setter
    def followers_left(self, count: int) -> None:
        self._group.followers_left = count

    def in_team(self, team_id: str) -> Transaction:
        """The same unit in another team: for administration, which belongs to none."""
        return self._group.unit(team_id)

    def add_team(self, team_id: str) -> None:
        """Add a team in which nothing is written yet."""
        self._group.add_team(team_id)

    def write(self, statement: Statement, **values: object) -> int:
        """Run a statement that writes; returns how many rows it changed."""
        return self._group.write(statement, **{"team_id": self.team_id, **values})

    def write_rows(self, statement: RowStatement, rows: Sequence[Row]) -> None:
        """Write rows of a table that no group holds, as a set."""
        self._group.write_rows(statement, rows)

    def change(self, *changes: Change) -> None:
        """Run statements over sets of rows; each row has the team's id where its statement says."""
        self._group.change(changes)

    def fetch_all(self, fetches: Sequence[Fetch]) -> list[list[list[Row]]]:
        """The rows that several statements find for each of their keys, in one round trip."""
        return self._group.fetch_all(fetches)

    def give_back(self, pages: int) -> FilePages:
        """Give so many free pages of the store's file back to the disk, if it can be cut."""
        return self._group.give_back(pages)

    def find(self, index: Index[T], *key: object) -> T | None:
        """The row that an index finds by its columns, with what the group has put, or None."""
        return self._group.find(index, (self.team_id, *key))

    def find_all(self, span: Range[T], *key: object) -> list[T]:
        """The rows of a range; look whether each still meets its condition."""
        return self._group.find_all(span, (self.team_id, *key))

    def need(self, needs: Iterable[Need]) -> None:
        """Fetch rows as a set before they are asked for one by one."""
        self._group.prefetch(self.team_id, needs)

    def adopt(self, table: Table[T], row: Row) -> T:
        """The value of a row that a query has read; the group holds it from here on."""
        return self._group.adopt(table, self.team_id, row)

    def add(self, table: Table[T], value: T) -> None:
        """Add a new row, at the end of the group."""
        self._group.add(table, self.team_id, value)

    def put(self, table: Table[T], value: T) -> None:
        """Change a row that this unit has found, at the end of the group."""
        self._group.put(table, self.team_id, value)

    def count(self, what: Happening) -> None:
        """After the commit, tell the meter that this happened."""
        self._group.happenings[what] += 1

    def ring(self, name: str) -> None:
        """After the commit, wake the watchers of this inbox or queue."""
        self._group.rings.add((self.team_id, name))

    def deliver(self, agent_id: str, delivery: Delivery) -> None:
        """After the commit, wake the watchers of this inbox and hand the delivery over to them."""
        self._group.rings.deliver((self.team_id, agent_id), delivery)

    def can_deliver(self, payload: bytes) -> bool:
        """Whether a message may be handed over to watchers. Ask once a message."""
        return self._group.rings.can_hold(payload)
