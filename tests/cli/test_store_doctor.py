"""`check_store`: what it finds in a store of each engine, and that it finds what was broken."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from playhouse.cysqlite_ext import CySqliteDatabase

from dovetail.messaging.v1 import messaging_pb2 as m
from dovetail.server.main import Finding, Level, back_up, check_store
from dovetail.server.store import doctor, rebuilding
from dovetail.server.store.engines.base import StoreOpenError
from store.opened import migrated
from support.pair import running_pair
from support.teams import Team

TEAMS = "INSERT INTO teams (team_id, last_message, last_task, last_event, last_time) "
AGENTS = (
    "INSERT INTO agents (team_id, agent_id, display_name, labels, create_time, last_seen_time,"
    " last_sequence, unacknowledged_count, acknowledged_count, acknowledge_micros) "
)
ROWS = (
    TEAMS + "VALUES ('t', 0, 0, 0, 0)",
    AGENTS + "VALUES ('t', 'bob', '', '{}', 0, 0, 0, 0, 0, 0)",
)


def run(url: str, *statements: str) -> None:
    """Make a store where there is none, and change it behind our back."""
    with migrated(url) as engine:
        for statement in statements:
            cast(Any, engine.database).execute_sql(statement)


def found(url: str, level: Level) -> dict[str, Finding]:
    return {one.check: one for one in check_store(url) if one.level is level}


def fault(url: str) -> Finding:
    """The one thing that fails; it says what to do."""
    ((_, finding),) = found(url, Level.FAIL).items()
    assert finding.advice
    return finding


def test_a_good_store_has_nothing_to_complain_of(store_url: str):
    run(store_url, *ROWS)
    findings = check_store(store_url)
    assert [one for one in findings if one.level is not Level.OK] == []
    checks = {one.check for one in findings}
    assert {"schema", "inbox counters", "team counters", "report figures", "indexed"} < checks


def test_counters_that_do_not_agree_with_the_rows_are_named(store_url: str):
    run(store_url, *ROWS, "UPDATE agents SET unacknowledged_count = 3")
    assert fault(store_url).check == "inbox counters"
    assert "t:bob" in fault(store_url).text
    run(
        store_url, "UPDATE agents SET unacknowledged_count = 0", "UPDATE agents SET last_sequence=1"
    )
    assert fault(store_url).check == "inbox counters"


def test_a_team_that_would_give_a_number_twice_is_named(store_url: str):
    run(
        store_url,
        *ROWS,
        "INSERT INTO messages (team_id, number, sender_id, recipients, subject, body, importance,"
        " kind, thread_id, in_reply_to, task_id, labels, create_time, size) VALUES"
        " ('t', 7, 'bob', '[]', '', '', 2, 1, 'm7', '', '', '{}', 0, 0)",
        "UPDATE teams SET last_message = 1, message_count = 1",
    )
    assert (fault(store_url).check, "of t" in fault(store_url).text) == ("team counters", True)


def test_figures_that_do_not_agree_with_the_tasks_are_named_and_can_be_rebuilt(store_url: str):
    run(
        store_url,
        *ROWS,
        "INSERT INTO assignee_figures VALUES ('t', 'bob', 0, 0, 0, 1, 0, 0, 1, 0)",
        f"INSERT INTO duration_figures VALUES ('t', 1, 0, {'0, ' * 15}1, 0, 15)",
    )
    assert (fault(store_url).check, "of t" in fault(store_url).text) == ("report figures", True)
    rebuilding.rebuild_figures(store_url)
    assert found(store_url, Level.FAIL) == {}


def test_figures_are_rebuilt_in_stores_of_this_release_only(store_url: str, tmp_path: Path):
    with pytest.raises(StoreOpenError, match="there is no store at"):
        rebuilding.rebuild_figures(f"sqlite:///{tmp_path}/none.db")
    assert not (tmp_path / "none.db").exists()
    run(store_url, "INSERT INTO schema_migration (name, applied) VALUES ('9999_x', '2030-01-01')")
    with pytest.raises(StoreOpenError, match="of a newer release"):
        rebuilding.rebuild_figures(store_url)


def test_an_index_that_is_ahead_of_what_there_is_is_named_and_can_be_rebuilt(store_url: str):
    run(
        store_url,
        TEAMS + "VALUES ('t', 5, 0, 3, 0)",
        "UPDATE teams SET removed_message_count = 5",
        "INSERT INTO search_progress VALUES ('t', 1, 1, 9), ('t', 2, 2, 3)",
    )
    assert (fault(store_url).check, "of t" in fault(store_url).text) == ("indexed", True)
    rebuilding.rebuild_search(store_url)
    indexed = found(store_url, Level.OK)["indexed"]
    assert indexed.text == "all but 8 of what was written: servers index it"


async def test_a_damaged_index_is_no_damaged_store_and_can_be_rebuilt(
    sqlite_url: str, tmp_path: Path
):
    async def searched() -> int:
        async with running_pair(sqlite_url) as pair:
            (ann,) = await Team(pair).known("ann")
            await ann.send("ann", body="some words")
            answer = await ann.call(m.SearchMessagesRequest(query="words"))
            return len(answer.hits)

    assert await searched() == 1
    run(sqlite_url, "UPDATE search_documents_data SET block = zeroblob(40) WHERE id > 10")
    assert (fault(sqlite_url).check, "all else is not" in fault(sqlite_url).text) == (
        "search index",
        True,
    )
    with pytest.raises(grpc.aio.AioRpcError, match="dovetail doctor --rebuild-search"):
        await searched()
    content = back_up(sqlite_url, tmp_path / "copy.db", lambda *_: None)
    assert content.messages == 2
    rebuilding.rebuild_search(sqlite_url)
    assert found(sqlite_url, Level.FAIL) == {}
    assert await searched() == 3


def test_many_wrong_counters_are_not_all_named(store_url: str):
    agents = (
        AGENTS + f"VALUES ('t', 'a{number}', '', '{{}}', 0, 0, 1, 0, 0, 0)" for number in range(9)
    )
    run(store_url, *ROWS, *agents)
    assert fault(store_url).text.endswith("and more")


def test_a_newer_schema_fails_and_an_older_one_waits(store_url: str):
    run(store_url)
    run(store_url, "DELETE FROM schema_migration")
    (schema,) = found(store_url, Level.WARN).values()
    assert schema.check == "schema"
    assert schema.text.startswith("of an older release (without 0001_")
    assert schema.advice == "The next server of this release to start brings it up to date"


def test_a_schema_of_a_newer_release_fails(store_url: str):
    run(store_url, "INSERT INTO schema_migration (name, applied) VALUES ('9999_x', '2030-01-01')")
    assert fault(store_url).text == "of a newer release (it has 9999_x)"
    assert fault(store_url).advice.startswith("Upgrade Dovetail here, or use another store")


def test_a_postgres_that_may_lose_what_it_answered_fails(postgres_url: str):
    run(postgres_url)
    careless = f"{postgres_url}&options=-csynchronous_commit%3Doff"
    assert fault(careless).check == "synchronous_commit"


def test_a_postgres_that_does_not_answer_fails_without_its_password():
    finding = fault("postgresql://user:secret@127.0.0.1:1/nothing")
    assert "cannot be reached" in finding.text
    assert finding.advice == "Does it run, and are address and credentials right?"
    assert "secret" not in str(finding)


def test_a_postgres_without_its_library_says_what_to_install_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setitem(sys.modules, "dovetail.server.store.engines.postgres", None)
    ((_, finding),) = found("postgresql://db/x", Level.FAIL).items()
    assert "a PostgreSQL store needs psycopg: pip install 'dovetail[postgres]'" in finding.text
    assert finding.advice == ""


def test_a_broken_file_fails(sqlite_url: str):
    run(sqlite_url, *ROWS)
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    whole = path.read_bytes()
    path.write_bytes(whole[:4_096] + b"\xff" * 8_192 + whole[12_288:])
    assert fault(sqlite_url).check in {"integrity", "store"}


def test_rows_without_what_they_refer_to_fail(sqlite_url: str):
    run(
        sqlite_url,
        "PRAGMA foreign_keys = 0",
        AGENTS + "VALUES ('lost', 'bob', '', '{}', 0, 0, 0, 0, 0, 0)",
    )
    assert (fault(sqlite_url).check, "agents" in fault(sqlite_url).text) == ("references", True)


def test_a_file_without_a_write_ahead_log_is_told(sqlite_url: str):
    run(sqlite_url)
    with closing(CySqliteDatabase(sqlite_url.removeprefix("sqlite:///"))) as database:
        database.execute_sql("PRAGMA journal_mode = delete")
    assert list(found(sqlite_url, Level.WARN)) == ["journal"]


def test_an_old_sqlite_fails(sqlite_url: str, monkeypatch: pytest.MonkeyPatch):
    run(sqlite_url)
    monkeypatch.setattr(doctor, "OLDEST", (99, 0, 0))
    assert (fault(sqlite_url).check, "99.0.0" in fault(sqlite_url).advice) == ("SQLite", True)


@pytest.mark.parametrize(
    ("limit", "value", "check", "level"),
    [
        ("SCARCE_BYTES", 2**70, "disk", Level.WARN),
        ("TOO_FEW_BYTES", 2**70, "disk", Level.FAIL),
        ("SLOW_FSYNC_SECONDS", 0.0, "fsync", Level.WARN),
    ],
)
def test_a_disk_beyond_the_limits_is_told(  # noqa: PLR0913
    sqlite_url: str,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
    value: float,
    check: str,
    level: Level,
):
    monkeypatch.setattr(doctor, limit, value)
    assert list(found(sqlite_url, level)) == [check]
    assert found(sqlite_url, level)[check].advice


def test_looking_changes_nothing(sqlite_url: str):
    run(sqlite_url, *ROWS)
    folder = Path(sqlite_url.removeprefix("sqlite:///")).parent

    def content() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    before = content()
    check_store(sqlite_url)
    assert content() == before
