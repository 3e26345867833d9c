"""A group of units that notes the plan of every statement that it runs, on either engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dovetail.server.store.database import typed
from dovetail.server.store.engines.base import Engine
from dovetail.server.store.group import LOCK_TEAM, WriteGroup
from dovetail.server.store.sets import Change, Fetch, Row, RowStatement, SetDriver
from dovetail.server.store.transaction import Statement


def is_postgres(engine: Engine) -> bool:
    return "Postgres" in type(engine.database).__name__


class Explaining(WriteGroup):
    """A group over an engine, in whose thread a transaction is open."""

    def __init__(self, engine: Engine) -> None:
        plans = Plans(engine)
        position = "STRPOS" if is_postgres(engine) else "INSTR"
        super().__init__(typed(engine.database), position, engine.times, LOCK_TEAM, plans)
        self._plans = plans

    @property
    def plan(self) -> list[str]:
        """The steps of all plans so far."""
        return self._plans.steps

    def _fetch(self, sql: str, bound: Sequence[object]) -> list[Row]:
        self._plans.note(sql, bound)
        return super()._fetch(sql, bound)

    def _execute(self, statement: Statement, values: Mapping[str, object]) -> int:
        self._plans.note(*statement.bind(self._database, values))
        return super()._execute(statement, values)


class Plans(SetDriver):
    """Runs sets as the engine does, and notes the plans of both shapes of each statement."""

    def __init__(self, engine: Engine) -> None:
        self.steps: list[str] = []
        self._database = typed(engine.database)
        self._sets = engine.sets()
        self._sets.begin()
        self._has_sets = is_postgres(engine)
        self._explain = "EXPLAIN " if self._has_sets else "EXPLAIN QUERY PLAN "

    def fetch(
        self, first: tuple[str, Sequence[object]] | None, fetches: Sequence[Fetch]
    ) -> tuple[list[Row], list[list[list[Row]]]]:
        for statement, keys in fetches:
            self._note_both(statement, keys)
        return self._sets.fetch(first, fetches)

    def begin(self) -> None:
        pass

    def write(self, changes: Sequence[Change], is_last: bool) -> None:
        for statement, rows in changes:
            self._note_both(statement, rows)
        self._sets.write(changes, is_last=False)

    def note(self, sql: str, bound: Sequence[object]) -> None:
        """Note the plan of a statement; an INSERT of values has none worth a look."""
        if not sql.startswith("INSERT"):
            rows = self._database.execute_sql(self._explain + sql, bound).fetchall()
            self.steps += [str(row[-1]) for row in rows]

    def _note_both(self, statement: RowStatement, rows: Sequence[Row]) -> None:
        self.note(statement.text(self._database), rows[0])
        if self._has_sets and statement.for_many_percent:
            self.note(statement.for_many_percent, [statement.as_json(rows)])
