"""What store functions work with: a Snapshot of a team to read, a Transaction to write as well.

Queries are Peewee queries. A Statement is compiled once for each kind of database and then called
with its parameters by name: building the query for each call costs several times what SQLite needs
to run it.

A Snapshot or Transaction belongs to the thread whose connection it uses, and to one group of jobs:
nothing of it may be used after the group. Statements are shared by all threads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from peewee import Expression, Field, Node, Value, fn

from dovetail.server import clock
from dovetail.server.store.database import TypedDatabase
from dovetail.server.store.schema import TeamRow
from dovetail.server.store.times import Times

Row = tuple[Any, ...]
MICROS = 1_000_000
FOLLOWERS_MAX = 200
"""Waiting tasks that one unit updates after its change; the rest follow in later commits.

Each takes the writer some 0.3 ms, for which every other call waits: 60 ms in all. Chosen.
"""


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

    def _fetch(self, sql: str, bound: Sequence[object]) -> list[Row]:
        return self._database.execute_sql(sql, bound).fetchall()


class Snapshot(GlobalSnapshot):
    """A consistent view of one team: what table functions take, so that none mixes up teams.

    `team_id` is a parameter of every statement.
    """

    def __init__(self, whole: GlobalSnapshot, team_id: str) -> None:
        """Read this team of a view over all of them."""
        super().__init__(whole._database, whole._position, whole._times)
        self._fetch = whole._fetch
        self.team_id = team_id

    def rows(self, statement: Statement, **values: object) -> list[Row]:
        """All rows of a statement."""
        return super().rows(statement, **{"team_id": self.team_id, **values})


_TEAM_FIELDS = (
    TeamRow.team_id,
    TeamRow.last_message,
    TeamRow.last_task,
    TeamRow.last_event,
    TeamRow.last_time,
)
_NEW_TEAM = (*_TEAM_FIELDS, TeamRow.create_time)
_LOCK_TEAM = TeamRow.select(*_TEAM_FIELDS[1:]).where(TeamRow.team_id == param("team_id"))
_ADD_TEAM = Statement(TeamRow.insert(params(*_NEW_TEAM)).on_conflict_ignore())
_SAVE_TEAM = Statement(
    TeamRow.update(params(*_TEAM_FIELDS[1:])).where(TeamRow.team_id == param("team_id"))
)


@dataclass(kw_only=True)
class TeamCounters:
    """A team's counters while a group of units runs; written back at the commit.

    `stamp` is the time of what is written: it does not run backwards, nor stand still for long.
    `wall_clock` is the time itself: schedules and leases are compared with it, because a stamp may
    be days ahead where a server's clock once was.
    """

    team_id: str
    last_message: int
    last_task: int
    last_event: int
    last_time: int
    stamp: int
    wall_clock: int

    def next_message(self) -> int:
        """The number of a new message."""
        self.last_message += 1
        return self.last_message

    def next_task(self) -> int:
        """The number of a new task."""
        self.last_task += 1
        return self.last_task

    def next_event(self) -> int:
        """The number of a new task event."""
        self.last_event += 1
        return self.last_event


class WriteGroup(GlobalSnapshot):
    """A group of units that is committed as one.

    A unit must check before its first write: one that refuses after it wrote makes the whole group
    roll back and run again, each unit by itself.
    """

    def __init__(
        self, database: TypedDatabase, position: str, times: Times, lock_team: Statement
    ) -> None:
        """Write through `database`, on whose thread a write transaction is open."""
        super().__init__(database, position, times)
        # How many statements have written. Units are compared by it: did this one write before it
        # refused, did any of the group write at all. Counters are not counted (`_execute`): they
        # are saved with what they number, and alone they are worth no commit.
        self.writes = 0
        self.followers_left = FOLLOWERS_MAX
        self.rings: set[tuple[str, str]] = set()
        self._lock_team = lock_team
        self._teams: dict[str, TeamCounters] = {}

    def team(self, team_id: str) -> TeamCounters:
        """The team's counters, its row locked until the commit; the row of a new team is added."""
        # A transaction that locks two rows locks that of the empty id first (only administration
        # does this), so two transactions never wait for each other. A unit of one team that locked
        # another team's row would break that.
        if team_id not in self._teams:
            rows = self.rows(self._lock_team, team_id=team_id)
            if not rows:
                # Another process may add it first: then this waits for that commit and adds
                # nothing, and the row that is locked is the other's.
                self._add_team(team_id)
                rows = self.rows(self._lock_team, team_id=team_id)
            message, task, event, last_time = rows[0]
            now, clock = self.time_of(team_id, last_time)
            self._teams[team_id] = TeamCounters(
                team_id=team_id,
                last_message=message,
                last_task=task,
                last_event=event,
                last_time=last_time,
                stamp=now,
                wall_clock=clock,
            )
        return self._teams[team_id]

    def unit(self, team_id: str) -> Transaction:
        """This group as one of its units sees it."""
        return Transaction(self, team_id)

    def begin_unit(self) -> None:
        """Start the next unit of the group, with the full bound for what each may do."""
        self.followers_left = FOLLOWERS_MAX

    def add_team(self, team_id: str) -> None:
        """Add a team in which nothing is written yet."""
        self.writes += 1
        self._add_team(team_id)

    def write(self, statement: Statement, **values: object) -> int:
        """Run a statement that writes. Returns how many rows it changed."""
        self.writes += 1
        return self._execute(statement, values)

    def write_many(self, statement: Statement, several: Iterable[Mapping[str, object]]) -> None:
        """Run a statement once for each set of parameters."""
        self.writes += 1
        sql, names = statement.compile(self._database)
        cursor = self._database.cursor()
        bound = [
            [values[p.name] if isinstance(p, _Placeholder) else p for p in names]
            for values in several
        ]
        cursor.executemany(sql, bound)

    def flush(self) -> None:
        """Write the counters back; the last thing before the commit."""
        # In the commit of what they number. `changed_names` and the followers of credentials ask
        # for what lies beyond a counter: if a row could be visible before its counter or after it,
        # they would miss that row for good.
        for team in self._teams.values():
            team.last_time = team.stamp
            self._execute(
                _SAVE_TEAM,
                {field.name: getattr(team, field.name) for field in _TEAM_FIELDS},
            )

    def _add_team(self, team_id: str) -> None:
        zero = dict.fromkeys(("last_message", "last_task", "last_event", "last_time"), 0)
        self._execute(_ADD_TEAM, {"team_id": team_id, "create_time": clock.now(), **zero})

    def _execute(self, statement: Statement, values: Mapping[str, object]) -> int:
        sql, bound = statement.bind(self._database, values)
        return self._database.execute_sql(sql, bound).rowcount


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

    def write_many(self, statement: Statement, several: Iterable[Mapping[str, object]]) -> None:
        """Run a statement once for each set of parameters."""
        team = {"team_id": self.team_id}
        self._group.write_many(statement, [{**team, **values} for values in several])

    def ring(self, name: str) -> None:
        """After the commit, wake the watchers of this inbox or queue."""
        self._group.rings.add((self.team_id, name))


LOCK_TEAM = Statement(_LOCK_TEAM)
LOCK_TEAM_FOR_UPDATE = Statement(_LOCK_TEAM.for_update())
