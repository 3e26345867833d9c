"""A group of units that is committed as one: what it knows of the store, and what it will write.

The pattern is known as unit of work with an identity map (Fowler, Patterns of Enterprise
Application Architecture, 2002). Before the units run, the group fetches in sets the rows that they
said they need. Units find rows in memory and change them there. At the end the group writes the
difference, table by table, in sets (docs/decisions/0034-groups-as-sets.md).

Two rules keep memory and tables equal for a unit:
- A query that is not by an index reads the tables. Those that it names are written first, and with
  them the tables that their foreign keys refer to.
- A statement that writes by itself is run after all that is held was written, and the rows of the
  tables that it names are forgotten.
Before both, sums in tables that they name (`tallies.py`) are written as well.
Within a team they are safe because its row is locked: nobody else writes what the group holds.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from dovetail.server import clock
from dovetail.server.meter import Happening
from dovetail.server.store import team_counters
from dovetail.server.store.database import TypedDatabase
from dovetail.server.store.differences import HeldRow, differences
from dovetail.server.store.rings import Rings
from dovetail.server.store.schema import TeamRow
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
    SetDriver,
    Table,
)
from dovetail.server.store.tallies import Tallies
from dovetail.server.store.team_counters import TeamCounters
from dovetail.server.store.times import Times
from dovetail.server.store.transaction import (
    GlobalSnapshot,
    Need,
    Statement,
    Transaction,
    param,
    params,
)

T = TypeVar("T")

FOLLOWERS_MAX = 200
"""Waiting tasks that one unit updates after its change; the rest follow in later commits.

Each takes the writer some 0.3 ms, for which every other call waits: 60 ms in all. Chosen.
"""

LARGE_ROWS_MAX = 64
"""Tasks and messages that are fetched before they are asked for: each may have a MiB or more."""

HELD_BYTES_MAX = 16 * 1024 * 1024
"""Beyond, a group writes what was put and forgets what it holds. Chosen, to bound memory."""

_NOTHING: Mapping[Key, Any] = {}
_LOCK_TEAM = TeamRow.select(*team_counters.LOCKED_FIELDS).where(TeamRow.team_id == param("team_id"))
_NEW_TEAM = (TeamRow.team_id, TeamRow.create_time, *team_counters.NEW_FIELDS)
_ZEROS = dict.fromkeys((str(field.name) for field in team_counters.NEW_FIELDS), 0)
_ADD_TEAM = Statement(TeamRow.insert(params(*_NEW_TEAM)).on_conflict_ignore())
LOCK_TEAM = Statement(_LOCK_TEAM)
LOCK_TEAM_FOR_UPDATE = Statement(_LOCK_TEAM.for_update())


class WriteGroup(GlobalSnapshot):
    """A group of units that is committed as one.

    A unit must check before its first write: one that refuses after it wrote makes the whole group
    roll back and run again, each unit by itself.
    """

    def __init__(
        self,
        database: TypedDatabase,
        position: str,
        times: Times,
        lock_team: Statement,
        driver: SetDriver,
    ) -> None:
        """Write through `database`, on whose thread a write transaction is open."""
        super().__init__(database, position, times)
        # How often something was written or put. Units are compared by it: did this one write
        # before it refused, did any of the group write at all. Counters are not counted: they are
        # saved with what they number, and alone they are worth no commit.
        self.writes = 0
        self.followers_left = FOLLOWERS_MAX
        self.rings = Rings()
        self.happenings: Counter[Happening] = Counter()
        self._lock_team = lock_team
        self._driver = driver
        self._teams: dict[str, TeamCounters] = {}
        self._held: defaultdict[Table[Any], dict[Key, HeldRow]] = defaultdict(dict)
        self._keys: defaultdict[Finder[Any], dict[Key, Key | None]] = defaultdict(dict)
        # By prefix, and then by key.
        self._ranges: defaultdict[Range[Any], dict[Key, dict[Key, list[Key]]]] = defaultdict(dict)
        self._held_size = 0
        self._tallies = Tallies()
        # The rows that were put since the last flush, by table and in order.
        self._dirty: defaultdict[Table[Any], dict[Key, HeldRow]] = defaultdict(dict)

    def unit(self, team_id: str) -> Transaction:
        """This group as one of its units sees it."""
        return Transaction(self, team_id)

    def begin_unit(self) -> None:
        """Start the next unit of the group, with the full bound for what each may do."""
        self.followers_left = FOLLOWERS_MAX

    # Teams

    def team(self, team_id: str) -> TeamCounters:
        """The team's counters, its row locked until the commit; the row of a new team is added."""
        # A transaction that locks two rows locks that of the empty id first (only administration
        # does this), so two transactions never wait for each other. A unit of one team that locked
        # another team's row would break that.
        if team_id not in self._teams:
            self.prefetch(team_id, ())
        return self._teams[team_id]

    def add_team(self, team_id: str) -> None:
        """Add a team in which nothing is written yet."""
        self.writes += 1
        self._add_team(team_id)

    def _add_team(self, team_id: str) -> None:
        self._execute(_ADD_TEAM, {"team_id": team_id, "create_time": clock.now(), **_ZEROS})

    def _set_team(self, team_id: str, row: Row) -> None:
        self._teams[team_id] = TeamCounters.of(team_id, row, self._times)

    # Rows by index

    def prefetch(self, team_id: str, needs: Iterable[Need]) -> None:
        """Lock the team's row, and fetch what these needs name and lead to.

        What is held already is not fetched, and of large rows only the first few.
        """
        wanted: list[Need] = []
        large = 0
        for need in needs:
            large += need.finder.table.is_large
            if large <= LARGE_ROWS_MAX or not need.finder.table.is_large:
                wanted.append(need)
        self._fetch_new(team_id, wanted)
        further = [
            each
            for need in wanted
            if need.then and isinstance(need.finder, Index)
            if (value := self.find(need.finder, (team_id, *need.key))) is not None
            for each in need.then(value)
        ]
        if further:
            self._fetch_new(team_id, further)

    def find(self, index: Index[T], key: Key) -> T | None:
        """The row that an index finds, as the group has it now; None: there is none."""
        table = index.table
        if key not in self._known(index, key):
            self._make_room()
            self._fetch_new(key[0], [Need(index, key[1:])])
        row_key = key if index is table.by_key else self._keys[index][key]
        if row_key is None:
            return None
        return self._value(table, self._held[table][row_key])

    def find_all(self, span: Range[T], key: Key) -> list[T]:
        """The rows of a range. Some may not meet its condition any more."""
        if key not in self._known(span, key):
            self._make_room()
            self._fetch_new(key[0], [Need(span, key[1:])])
        held = self._held[span.table]
        return [self._value(span.table, held[each]) for each in self._known(span, key)[key]]

    def add(self, table: Table[T], team_id: str, value: T) -> None:
        """Add a row, which must be new."""
        key = (team_id, *table.key_of(value))
        held = self._held[table][key] = HeldRow(None)
        self._put(table, key, held, value)
        for span in table.ranges:
            self._ranges[span].pop(key[: span.prefix_size], None)
        if len(table.indexes) > 1:
            row = table.encode(value)
            for index in table.indexes[1:]:
                if None not in (found := index.of(row)):
                    self._keys[index][(team_id, *found)] = key

    def put(self, table: Table[T], team_id: str, value: T) -> None:
        """Change a row that exists."""
        key = (team_id, *table.key_of(value))
        if key not in self._held[table]:  # Forgotten since the unit found it.
            self._fetch_new(team_id, [Need(table.by_key, key[1:])])
        self._put(table, key, self._held[table][key], value)
        for span in table.ranges:
            # A range that is whole stays whole; one that was cut may go on with other rows.
            known = self._ranges[span].get(key[: span.prefix_size], {})
            for each in [each for each, rows in known.items() if len(rows) == span.most]:
                del known[each]

    def _put(self, table: Table[T], key: Key, held: HeldRow, value: T) -> None:
        self.writes += 1
        held.value, held.is_decoded = value, True
        self._dirty[table][key] = held

    def adopt(self, table: Table[T], team_id: str, row: Row) -> T:
        """Hold a row that a query has read just now, and return its value."""
        key = (team_id, *row[: table.key_size])
        held = self._held[table].get(key)
        if held is None or held.stored != row:
            held = self._held[table][key] = HeldRow(row)
            self._count(table, row)
        return self._value(table, held)

    def flush(self) -> None:
        """Write all that was put, and the counters; the last thing before the commit."""
        # The counters in the commit of what they number: `changed_names` and the followers of
        # credentials ask for what lies beyond a counter. If a row could be visible before its
        # counter or after it, they would miss that row for good.
        teams = [(team_counters.SAVE, [each.row()]) for each in self._teams.values()]
        self._flush(self._dirty, teams, is_last=True)

    def _fetch_new(self, team_id: str, needs: Iterable[Need]) -> None:
        """Fetch what is not held, and before anything of a team is read, lock its row.

        On PostgreSQL each statement sees what was committed before it began, and after the lock
        nobody else changes the team.
        """
        wanted: dict[Finder[Any], dict[Key, None]] = {}
        for need in needs:
            key = (team_id, *need.key)
            if key not in self._known(need.finder, key):
                wanted.setdefault(need.finder, {})[key] = None
        must_lock = team_id not in self._teams
        if not wanted and not must_lock:
            return
        for finder in wanted:
            if isinstance(finder, Range):  # Rows that were put may belong to it.
                self._flush_up_to(finder.table)
        fetches = [(finder.select, [*keys]) for finder, keys in wanted.items()]
        first = self._lock_team.bind(self._database, {"team_id": team_id}) if must_lock else None
        locked, found = self._driver.fetch(first, fetches)
        if must_lock and not locked:
            # Another process may add it first: then this waits for that commit and adds nothing,
            # and the row that is locked is the other's. Hence what was found must be read again.
            self._add_team(team_id)
            locked, found = self._driver.fetch(first, fetches)
        if must_lock:
            self._set_team(team_id, locked[0])
        for (finder, keys), rows in zip(wanted.items(), found, strict=True):
            for key, each in zip(keys, rows, strict=True):
                self._hold(finder, key, each)

    def _known(self, finder: Finder[Any], key: Key) -> Mapping[Key, Any]:
        """What is known of keys like this one."""
        if isinstance(finder, Range):
            return self._ranges[finder].get(key[: finder.prefix_size], _NOTHING)
        table = finder.table
        return self._held[table] if finder is table.by_key else self._keys[finder]

    def _hold(self, finder: Finder[Any], key: Key, rows: Sequence[Row]) -> None:
        """Keep what was found for a key: rows, or that there is none."""
        table = finder.table
        held = self._held[table]
        found: list[Key] = []
        for row in rows:
            row_key = row[: 1 + table.key_size]
            if row_key not in held:
                held[row_key] = HeldRow(row[1:])
                self._count(table, row)
            found.append(row_key)
        if isinstance(finder, Range):
            self._ranges[finder].setdefault(key[: finder.prefix_size], {})[key] = found
        elif finder is not table.by_key:
            self._keys[finder][key] = found[0] if found else None
        elif not found:
            held[key] = HeldRow(None)

    def _count(self, table: Table[Any], row: Row) -> None:
        if table.is_large:
            self._held_size += sum(len(each) for each in row if isinstance(each, (str, bytes)))

    def _make_room(self) -> None:
        """Write and forget all rows if those that are held have become too many bytes."""
        if self._held_size > HELD_BYTES_MAX:
            self._flush(self._dirty)
            for table in list(self._held):
                self._forget(table)
            self._held_size = 0

    def _value(self, table: Table[T], held: HeldRow) -> T | Any:
        if not held.is_decoded and held.stored is not None:
            held.value, held.is_decoded = table.decode(held.stored), True
        return held.value

    # Statements

    def write(self, statement: Statement, **values: object) -> int:
        """Run a statement that writes. Returns how many rows it changed."""
        self.writes += 1
        sql, _ = statement.compile(self._database)
        self._flush(self._dirty)
        self._flush_sums(sql)
        count = self._execute(statement, values)
        for table in list(self._held):
            if table.is_named_in(sql):
                self._forget(table)
        return count

    def write_rows(self, statement: RowStatement, rows: Sequence[Row]) -> None:
        """Write rows of a table that the group does not hold."""
        if rows:
            self.writes += 1
            self._driver.write([(statement, rows)], is_last=False)

    def change(self, changes: Sequence[Change]) -> None:
        """Run statements over sets of rows, in this order; rows of the tables are forgotten."""
        self.writes += 1
        self._flush(self._dirty)
        self._driver.write(changes, is_last=False)
        for table in list(self._held):
            if any(table.is_named_in(statement.for_one) for statement, _ in changes):
                self._forget(table)

    def fetch(self, statement: RowStatement, keys: Sequence[Key]) -> list[list[Row]]:
        """The rows of each key, as they are stored once all that was put is written."""
        return self.fetch_all([(statement, keys)])[0] if keys else []

    def fetch_all(self, fetches: Sequence[Fetch]) -> list[list[list[Row]]]:
        """The same of several statements at once."""
        self._flush(self._dirty)
        return self._driver.fetch(None, fetches)[1]

    def give_back(self, pages: int) -> FilePages:
        """Give so many free pages of the store's file back to the disk."""
        self.writes += 1
        self._flush(self._dirty)
        return self._driver.give_back(pages)

    def _fetch(self, sql: str, bound: Sequence[object]) -> list[Row]:
        for table in list(self._dirty):
            if table.is_named_in(sql):
                self._flush_up_to(table)
        self._flush_sums(sql)
        self._driver.begin()
        return super()._fetch(sql, bound)

    def _execute(self, statement: Statement, values: Mapping[str, object]) -> int:
        sql, bound = statement.bind(self._database, values)
        self._driver.begin()
        return self._database.execute_sql(sql, bound).rowcount

    def _forget(self, table: Table[Any]) -> None:
        del self._held[table]
        for index in table.indexes:
            self._keys.pop(index, None)
        for span in table.ranges:
            self._ranges.pop(span, None)

    def _flush_up_to(self, table: Table[Any]) -> None:
        """If rows of this table were put, write them, and before them what their keys refer to."""
        if table in self._dirty:
            self._flush([each for each in self._dirty if each.order <= table.order])

    def _flush_sums(self, sql: str) -> None:
        """If a statement names a table of sums, write all that was put, and what it adds."""
        kept = {tally for table in self._dirty for tally, _ in table.tallies}
        if any(tally.is_named_in(sql) for tally in kept.union(self._tallies.pending)):
            self._flush(self._dirty)
            self._driver.write(self._tallies.take(), is_last=False)

    def _flush(
        self, tables: Iterable[Table[Any]], further: Sequence[Change] = (), is_last: bool = False
    ) -> None:
        """Write what was put into these tables, in an order that the foreign keys allow."""
        changes: list[Change] = []
        for table in sorted(tables, key=lambda table: table.order):
            changes += differences(table, self._dirty.pop(table), self._tallies)
        if is_last:
            changes += self._tallies.take()
        changes += further
        if changes:
            self._driver.write(changes, is_last)
