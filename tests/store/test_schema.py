"""The schema: models and tables agree, migrations run once, a newer schema is refused."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
from peewee import Model
from playhouse.migrations import Runner

from dovetail.server.store.engines.base import MIGRATIONS, Engine, StoreOpenError
from dovetail.server.store.engines.opening import open_engine
from dovetail.server.store.schema import INDEX_NAMES, TABLES, CredentialRow, TaskRow
from dovetail.server.store.store import Store
from dovetail.server.store.tables import leases, queues, tasks
from store.opened import TEAM, migrated, opened
from support.children import SECONDS, child

HISTORY = "schema_migration"
OF_ALL_TEAMS = {"tasks_due", "tasks_question_deadline"}
"""What a server looks for in all teams at once."""
OF_TEAMS = [table for table in TABLES if table is not CredentialRow]
"""A credential is how a caller's team is found: no team leads to it."""


def fields(table: type[Model]) -> list[Any]:
    return cast("list[Any]", table._meta.sorted_fields)  # type: ignore[attr-defined]


def name(table: type[Model]) -> str:
    return str(table._meta.table_name)  # type: ignore[attr-defined]


def primary_key(table: type[Model]) -> list[str]:
    key = cast(Any, table)._meta.primary_key
    return list(getattr(key, "field_names", None) or [key.name])


@pytest.fixture(scope="module")
def engine(shared_url: str) -> Generator[Engine]:
    """A store of this release, on each engine, that nothing is changed in."""
    with migrated(shared_url) as engine:
        yield engine


def test_the_models_name_every_table(engine: Engine) -> None:
    tables = set(engine.database.get_tables())
    # FTS5 keeps an index in tables of its own.
    shadows = {each for each in tables if each.startswith(f"{INDEX_NAMES[0]}_")}
    assert tables - shadows - {"sqlite_sequence", *INDEX_NAMES} == {*map(name, TABLES), HISTORY}
    assert INDEX_NAMES[0] in tables


@pytest.mark.parametrize("table", TABLES, ids=name)
def test_model_and_table_agree_column_by_column(engine: Engine, table: type[Model]) -> None:
    columns = engine.database.get_columns(name(table))
    key = engine.database.get_primary_keys(name(table))
    found = {column.name: column.null for column in columns}
    assert found == {field.column_name: field.null for field in fields(table)}
    assert sorted(key) == sorted(primary_key(table))


@pytest.mark.parametrize("table", OF_TEAMS, ids=name)
def test_the_team_leads_every_key_and_index(engine: Engine, table: type[Model]) -> None:
    indexes = engine.database.get_indexes(name(table))
    assert primary_key(table)[0] == "team_id"
    led_by_others = {index.name for index in indexes if index.columns[0] != "team_id"}
    assert led_by_others == (OF_ALL_TEAMS if table is TaskRow else set())


async def test_a_store_opens_again_as_it_is(store_url: str) -> None:
    for _ in range(2):
        async with opened(store_url):
            pass
    with migrated(store_url) as engine:
        applied = engine.database.execute_sql(f"SELECT name FROM {HISTORY}").fetchall()
    assert [row[0] for row in applied] == sorted(path.stem for path in MIGRATIONS.glob("0*.py"))


async def test_a_schema_of_a_newer_release_is_refused(store_url: str) -> None:
    with migrated(store_url) as engine:
        engine.database.execute_sql(
            f"INSERT INTO {HISTORY} (name, applied) VALUES ('9999_later', CURRENT_TIMESTAMP)"
        )
    with pytest.raises(StoreOpenError, match=r"newer release .*9999_later.*upgrade"):
        Store(store_url)


def before_the_work_engine(url: str) -> None:
    """A store of an earlier release, with a task in each state that there was."""
    engine = open_engine(url)
    runner = cast(Any, Runner(engine.database, str(MIGRATIONS)))
    runner.up("0002_credentials")
    engine.database.execute_sql(
        "INSERT INTO teams (team_id, last_message, last_task, last_event, last_time)"
        f" VALUES ('{TEAM}', 0, 6, 6, 1)"
    )
    for state in (1, 2, 4, 5, 6):
        ended = "NULL" if state < 4 else "3"
        engine.database.execute_sql(
            "INSERT INTO tasks (team_id, task_id, number, version, title, description, state,"
            " assignee_id, creator_id, priority, labels, thread_id, outcome_text, attempt,"
            " create_time, update_time, end_time)"
            f" VALUES ('{TEAM}', 't{state}', {state}, 1, 'old', '', {state}, '', 'joe', 0, '',"
            f" 't{state}', '', 0, 1, 1, {ended})"
        )
    engine.close_connection()
    engine.close()


async def test_tasks_of_an_earlier_release_are_kept_and_can_be_worked_on(store_url: str) -> None:
    before_the_work_engine(store_url)
    async with opened(store_url) as store:
        found = await store.read(TEAM, lambda s: [tasks.find(s, f"t{n}") for n in (1, 2, 4)])
        ready = await store.read(TEAM, lambda s: queues.ready(s, "", None, (10, 10)))
        held = await store.read(TEAM, leases.held)
    assert [task.task_id for task in ready] == ["t1"]
    assert held == []
    for task in found:
        assert task
        assert (task.depends_on, task.waiting_for_count, task.lease_token) == ((), 0, "")
        assert (task.max_attempts, task.failed_attempts, task.initial_backoff) == (5, 0, 1_000_000)
        assert (task.pooled, task.answered, task.overdue_told) == (False, False, False)


@contextmanager
def migrator() -> Generator[subprocess.Popen[str]]:
    """A process that migrates the stores it is told to."""
    program = Path(__file__).with_name("migrator.py")
    with child(
        [sys.executable, str(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(SECONDS) == 0


def tell(process: subprocess.Popen[str], url: str) -> None:
    assert process.stdin is not None
    process.stdin.write(url + "\n")
    process.stdin.flush()


def answer(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    assert process.stderr is not None
    return process.stdout.readline().strip() or process.stderr.read()


def migrate_at_once(urls: list[str]) -> None:
    with ExitStack() as stack:
        processes = [stack.enter_context(migrator()) for _ in range(2)]
        for url in urls:
            for process in processes:
                tell(process, url)
            assert [answer(process) for process in processes] == ["migrated"] * 2


def test_two_processes_may_make_the_same_file_at_once(tmp_path: Path) -> None:
    migrate_at_once([f"sqlite:///{tmp_path}/{number}.db" for number in range(10)])


def test_two_processes_may_migrate_the_same_database_at_once(postgres: str) -> None:
    names = [f"test_{uuid.uuid4().hex[:12]}" for _ in range(10)]
    with psycopg.connect(postgres, autocommit=True) as connection:
        for each in names:
            connection.execute(f"CREATE DATABASE {each}".encode())
        migrate_at_once([postgres.replace("/postgres?", f"/{each}?", 1) for each in names])
        for each in names:
            connection.execute(f"DROP DATABASE {each} WITH (FORCE)".encode())
