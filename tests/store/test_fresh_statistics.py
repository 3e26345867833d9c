"""PostgreSQL's statistics: kept fresh from the first rows on, so that plans stay good."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from structlog.testing import capture_logs

from dovetail.server.store.engines import analyzer, postgres
from dovetail.server.store.engines.analyzer import GROWTH, PAGES_MIN, Analyzer
from dovetail.server.store.group import WriteGroup
from dovetail.server.store.schema import TABLES
from store.opened import migrated
from support.callers import Caller
from support.pair import running_pair
from support.teams import Team

PATIENCE = 60.0
Connection = psycopg.Connection[Any]

# Of this transaction, and what its session has not reported yet: hence differences.
SCANNED = """
    SELECT relname, pg_stat_get_xact_numscans(oid) FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relname ~ '^(messages|tasks)(_|$)'"""


class Counting(WriteGroup):
    """A group that notes by what its transaction found messages and tasks: indexes, or tables."""

    scans: Counter[str]

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._driver.begin()
        self._before = self._scanned()

    def _flush(self, tables: Any, further: Any = (), is_last: bool = False) -> None:
        """Leave the commit to the engine: after it the counts are those of no transaction."""
        super()._flush(tables, further)
        if is_last:
            self.scans += self._scanned() - self._before

    def _scanned(self) -> Counter[str]:
        return Counter(dict(self._database.execute_sql(SCANNED).fetchall()))


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often commits of servers scanned each index or table."""
    monkeypatch.setattr(Counting, "scans", Counter(), raising=False)
    monkeypatch.setattr(postgres, "WriteGroup", Counting)
    return Counting.scans


@pytest.fixture
def operator(postgres_url: str) -> Generator[Connection]:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        yield connection


def switch_autovacuum_off(operator: Connection) -> None:
    """Leave all statistics to the servers."""
    for table in TABLES:
        name = getattr(table, "_meta").table_name  # noqa: B009
        operator.execute(f"ALTER TABLE {name} SET (autovacuum_enabled = off)".encode())


async def write_some(alice: Caller, first: int, count: int) -> None:
    """Send messages and create tasks, whose foreign keys lead to messages and to tasks."""
    numbers = range(first, first + count)
    await asyncio.gather(*(alice.send("bob", body="x" * 300) for _ in numbers))
    await asyncio.gather(
        *(
            alice.create(task_id=f"t{number}", title="x" * 100, assignee_id="bob")
            for number in numbers
        )
    )


async def test_keys_are_checked_by_primary_keys_in_a_store_that_nobody_analyzed(
    postgres_url: str, operator: Connection, scans: Counter[str]
) -> None:
    """Connections keep the plans that they made when the tables were empty."""
    many, some = 500, 50
    async with running_pair(postgres_url) as pair:
        switch_autovacuum_off(operator)
        alice, _ = await Team(pair).known("alice", "bob")
        await write_some(alice, 0, many)
        async with asyncio.timeout(PATIENCE):
            while not {"messages", "tasks"} <= analyzed(operator):
                await alice.send("bob")
        scans.clear()
        await write_some(alice, many, some)
    assert set(+scans) == {"messages_pkey", "tasks_pkey"}, scans
    # A message is the key of its delivery; a task is that of its event, which has a message too.
    assert scans["messages_pkey"] >= 3 * some
    assert scans["tasks_pkey"] >= some


def analyzed(operator: Connection) -> set[str]:
    """The tables that were analyzed since they grew."""
    rows = operator.execute("SELECT relname FROM pg_class WHERE relpages >= %s", (PAGES_MIN,))
    return {name for (name,) in rows}


def analyze_count(operator: Connection, name: str = "teams") -> int:
    counted = operator.execute(
        "SELECT analyze_count FROM pg_stat_user_tables WHERE relname = %s", (name,)
    )
    (count,) = counted.fetchone() or (0,)
    return int(count)


def grow(operator: Connection, pages: int) -> None:
    """Add teams, until their table has so many pages."""
    size = "SELECT pg_relation_size('teams') / current_setting('block_size')::int"
    while operator.execute(size).fetchall() < [(pages,)]:
        operator.execute(
            "INSERT INTO teams SELECT gen_random_uuid(), 0, 0, 0, 0 FROM generate_series(1, 20)"
        )


@pytest.fixture
def tables(postgres_url: str, operator: Connection) -> None:
    """The tables of a store, which only the tests analyze."""
    with migrated(postgres_url):
        switch_autovacuum_off(operator)


@contextmanager
def analyzing(postgres_url: str, options: str = "") -> Generator[tuple[Analyzer, Connection]]:
    """An analyzer that hears of no write, and a connection for its looks."""

    def connect() -> Connection:
        made = psycopg.connect(postgres_url, autocommit=True)
        made.execute(options.encode())
        return made

    made = Analyzer(connect)
    try:
        with connect() as connection:
            connection.add_notice_handler(made._hear)
            yield made, connection
    finally:
        made.close(PATIENCE)


@pytest.mark.usefixtures("tables")
def test_a_table_is_analyzed_when_it_has_some_pages_and_whenever_it_has_doubled(
    postgres_url: str, operator: Connection
) -> None:
    counts: list[int] = []
    with analyzing(postgres_url) as (made, connection):
        for pages in (1, PAGES_MIN - 1, PAGES_MIN, 2 * PAGES_MIN - 1, 2 * PAGES_MIN):
            grow(operator, pages)
            made._look(connection)
            made._look(connection)
            counts.append(analyze_count(operator))
    assert GROWTH == 2
    assert counts == [0, 0, 1, 1, 2]


@pytest.mark.usefixtures("tables")
def test_what_another_process_analyzed_is_not_analyzed_again(
    postgres_url: str, operator: Connection
) -> None:
    grow(operator, PAGES_MIN)
    operator.execute("ANALYZE teams")
    with analyzing(postgres_url) as (made, connection):
        made._look(connection)
    assert analyze_count(operator) == 1


@pytest.mark.usefixtures("tables")
def test_a_table_that_was_only_vacuumed_has_no_statistics(
    postgres_url: str, operator: Connection
) -> None:
    grow(operator, PAGES_MIN)
    operator.execute("VACUUM teams")
    with analyzing(postgres_url) as (made, connection):
        made._look(connection)
    assert analyze_count(operator) == 1


@pytest.mark.usefixtures("tables")
def test_a_table_that_another_session_is_at_is_analyzed_later(
    postgres_url: str, operator: Connection
) -> None:
    grow(operator, PAGES_MIN)
    with analyzing(postgres_url) as (made, connection), capture_logs() as logs:
        with operator.transaction():
            operator.execute("LOCK TABLE teams IN SHARE UPDATE EXCLUSIVE MODE")
            made._look(connection)
            assert analyze_count(operator) == 0
        # What was left to do is done by its thread: another look of ours would be one too many.
        end = time.monotonic() + PATIENCE
        while analyze_count(operator) == 0 and time.monotonic() < end:
            time.sleep(0.01)
        assert analyze_count(operator) == 1
    assert logs == []


@pytest.mark.usefixtures("tables")
def test_who_may_not_analyze_is_told_once_and_goes_on(
    postgres_url: str, operator: Connection
) -> None:
    grow(operator, PAGES_MIN)
    with (
        analyzing(postgres_url, "SET ROLE pg_read_all_data") as (made, connection),
        capture_logs() as logs,
    ):
        for pages in (PAGES_MIN, 2 * PAGES_MIN):
            grow(operator, pages)
            made._look(connection)
            made._look(connection)
    (line,) = logs
    assert "permission denied to analyze" in line["reason"]
    assert analyze_count(operator) == 0


@pytest.mark.usefixtures("tables")
def test_an_analyzer_looks_after_a_write_and_again_after_it_lost_its_connection(
    postgres_url: str, operator: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analyzer, "LOOK_SECONDS", 0.0)
    with analyzing(postgres_url, "SET application_name = 'analyzer'") as (made, connection):
        connection.close()
        for pages in (PAGES_MIN, 2 * PAGES_MIN):
            grow(operator, pages)
            made.note_write()
            while analyze_count(operator) < pages // PAGES_MIN:
                pass
            operator.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'analyzer'"
            )


@pytest.mark.usefixtures("tables")
def test_an_analyzer_ends_in_the_middle_of_its_work(
    postgres_url: str, operator: Connection
) -> None:
    grow(operator, PAGES_MIN)
    with analyzing(postgres_url) as (made, _), operator.transaction():
        operator.execute("LOCK TABLE pg_statistic IN EXCLUSIVE MODE")
        made.note_write()
        while not operator.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchall():
            pass
        made.close(PATIENCE)
        assert not made._thread.is_alive()
