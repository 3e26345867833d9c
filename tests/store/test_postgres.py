"""What only PostgreSQL has: connections that are lost, and servers out of reach."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import grpc
import psycopg
import pytest
from peewee import fn

from dovetail.server.errors import ResourceExhaustedError, UnavailableError
from dovetail.server.store import executor
from dovetail.server.store.engines.base import StoreOpenError
from dovetail.server.store.engines.postgres import PostgresEngine
from dovetail.server.store.schema import AgentRow
from dovetail.server.store.store import READERS, Store
from dovetail.server.store.tables import agents
from dovetail.server.store.transaction import Snapshot
from store.opened import TEAM, migrated, opened
from support.callers import sequences
from support.databases import empty_database
from support.pair import running_pair
from support.processes import free_port
from support.refusals import error_info
from support.teams import Team


def hang_up(postgres_url: str) -> int:
    """End every other connection to this database; answers how many."""
    with psycopg.connect(postgres_url, autocommit=True) as operator:
        ended = operator.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchall()
    return len(ended)


async def outcome(call: Awaitable[Any]) -> bool:
    """Whether a call succeeds; it may fail by an outage only."""
    (answer,) = await asyncio.gather(call, return_exceptions=True)
    if isinstance(answer, grpc.aio.AioRpcError):
        assert answer.code() is grpc.StatusCode.UNAVAILABLE
        assert error_info(answer).reason == "STORE_UNAVAILABLE"
    elif isinstance(answer, BaseException):
        raise answer
    return not isinstance(answer, BaseException)


async def test_lost_connections_cost_each_worker_one_failure(postgres_url: str) -> None:
    async with running_pair(postgres_url) as pair:
        alice, bob = await Team(pair).known("alice", "bob")
        for turn in range(3):
            assert hang_up(postgres_url) > 0
            workers = PostgresEngine.writers
            sends = [
                await outcome(alice.send("bob", request_id=f"{turn}/{number}"))
                for number in range(3 * workers)
            ]
            assert sends.count(False) <= workers
            reads = [await outcome(bob.look()) for _ in range(3 * READERS)]
            assert reads.count(False) <= READERS
            lists = [await outcome(bob.list_messages()) for _ in range(3)]
            assert lists.count(False) <= 1
            assert all((sends[-1], reads[-1], lists[-1]))


async def test_an_outage_loses_nothing_that_was_answered(postgres_url: str) -> None:
    async with running_pair(postgres_url) as pair:
        alice, bob = await Team(pair).known("alice", "bob")
        for number in range(30):
            if number % 10 == 5:
                hang_up(postgres_url)
            while not await outcome(alice.send("bob", subject=str(number), request_id=f"{number}")):
                pass
        while not await outcome(bob.list_messages()):
            pass
        records = (await bob.list_messages()).records
        assert [record.message.subject for record in records] == list(map(str, range(30)))


async def test_an_open_stream_outlives_or_ends_by_an_outage_and_resumes(
    postgres_url: str,
) -> None:
    async with running_pair(postgres_url) as pair:
        bob = await Team(pair).bob_with(3)
        async with bob.inbox() as inbox:
            cursor = (await inbox.backlog())[-1].receipt.sequence
            hang_up(postgres_url)
            while not await outcome(bob.send("bob", request_id="r")):
                pass
            while not await outcome(inbox.take(1)):
                break
        while not await outcome(bob.backlog()):
            pass
        assert sequences(await bob.backlog(after_sequence=cursor)) == [4]


async def test_a_query_that_had_to_reconnect_is_broken_off_too(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(snapshot: Snapshot) -> object:
        return snapshot._fetch("SELECT pg_sleep(600)", [])

    monkeypatch.setattr("dovetail.server.store.store.QUERY_SECONDS_MAX", 0.2)
    async with opened(postgres_url) as store:
        await store.report(TEAM, lambda snapshot: agents.find(snapshot, "nobody"))
        hang_up(postgres_url)
        with pytest.raises(ResourceExhaustedError, match="narrow the filter"):
            await store.report(TEAM, endless)


async def locked_out(store: Store, teams: list[str]) -> list[asyncio.Task[Any]]:
    """Writes for teams that another session holds, one after another, so that each waits."""
    return [
        asyncio.create_task(store.write(team, lambda t, team=team: agents.register(t, "a")))
        for team in teams
    ]


async def test_teams_that_another_session_holds_do_not_hold_up_the_others(
    postgres_url: str,
) -> None:
    held = [f"held-{number}" for number in range(3 * PostgresEngine.writers)]
    async with opened(postgres_url) as store:
        for team in [*held, "free"]:
            await store.write(team, lambda t, team=team: t.add_team(team))
        with psycopg.connect(postgres_url) as other:
            other.execute("SELECT * FROM teams WHERE team_id LIKE 'held-%' FOR UPDATE")
            waiting = await locked_out(store, held)
            for number in range(20):
                name = f"agent-{number}"
                await store.write("free", lambda t, name=name: agents.register(t, name))
            assert not any(call.done() for call in waiting)
            await store.ping()
            other.rollback()
            await asyncio.gather(*waiting)


async def test_a_team_that_stays_held_is_refused_in_time(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "BLOCKED_SECONDS", 0.5)
    async with opened(postgres_url) as store:
        await store.write("held", lambda t: t.add_team("held"))
        with psycopg.connect(postgres_url) as other:
            other.execute("SELECT * FROM teams WHERE team_id = 'held' FOR UPDATE")
            (waiting,) = await locked_out(store, ["held"])
            with pytest.raises(UnavailableError, match=r"another session of .* holds the team"):
                await waiting
        (again,) = await locked_out(store, ["held"])
        await again


async def test_an_unreachable_database_is_told_without_the_password() -> None:
    with pytest.raises(StoreOpenError) as caught:
        Store(f"postgresql://dovetail:s3cret-word@127.0.0.1:{free_port()}/team")
    assert "cannot be reached" in str(caught.value)
    assert "127.0.0.1" in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://dovetail:s3cret-word@127.0.0.1:port/team",
        "postgresql://dovetail:s3cret-word@127.0.0.1/team?nonsense=1",
        "postgresql://dovetail:s3cret-word@[127.0.0.1/team",
    ],
)
async def test_a_wrong_address_is_told_without_the_password(url: str) -> None:
    with pytest.raises(StoreOpenError) as caught:
        Store(url)
    assert "s3cret" not in str(caught.value)


async def test_the_address_that_people_see_has_no_password(postgres_url: str) -> None:
    with migrated(postgres_url + "&password=s3cret-word") as engine:
        assert "s3cret" not in engine.address


async def test_a_database_that_cannot_be_written_is_told(postgres_url: str) -> None:
    read_only = postgres_url + "&options=-c%20default_transaction_read_only%3Don"
    with pytest.raises(StoreOpenError, match=r"cannot be migrated: .*read-only"):
        Store(read_only)


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_a_database_that_cannot_hold_all_text_is_refused(
    postgres: str, encoding: str
) -> None:
    with empty_database(postgres, f"ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'") as url:
        with pytest.raises(StoreOpenError, match=f"has the encoding {encoding}"):
            Store(url)
        with psycopg.connect(url) as operator:
            tables = operator.execute("SELECT 1 FROM pg_tables WHERE schemaname = 'public'")
            assert tables.fetchall() == []


async def test_what_the_environment_says_of_the_encoding_does_no_harm(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    async with opened(postgres_url) as store:
        await store.write("t", lambda t: agents.register(t, "лиса 🦊"))
        found = await store.read("t", lambda s: agents.get(s, "лиса 🦊"))
    assert found is not None


async def test_a_database_with_tables_of_our_names_is_refused(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as other:
        other.execute("CREATE TABLE notes (x int)")
        async with opened(postgres_url):
            pass
        other.execute("DROP TABLE schema_migration")
    with pytest.raises(
        StoreOpenError, match=r"another program .it has the tables agent_groups, agents, "
    ):
        Store(postgres_url)


async def test_an_unknown_kind_of_store_is_told() -> None:
    with pytest.raises(StoreOpenError, match="no store of the kind 'mysql'"):
        Store("mysql://s3cret@host/db")


async def test_names_of_one_database_are_one_team_for_all_servers(postgres_url: str) -> None:
    async with running_pair(postgres_url) as one, running_pair(postgres_url) as other:
        await Team(one).known("bob")
        assert (await Team(other).caller("bob").look()).agent_id == "bob"


@pytest.mark.parametrize(("kibibytes", "stays"), [(64, True), (1_024, False)])
async def test_a_connection_that_sent_a_large_statement_is_let_go(
    postgres_url: str, kibibytes: int, stays: bool
) -> None:
    """libpq keeps buffers as large as the largest statement, for as long as the connection is."""
    text, writes = "x" * kibibytes * 1024, 8
    query = AgentRow.select(fn.length(text), fn.pg_backend_pid()).where(AgentRow.agent_id == "bob")

    async with opened(postgres_url) as store:
        await store.write("t", lambda t: agents.register(t, "bob"))
        rows = [(await store.write("t", lambda t: t.select(query)))[0] for _ in range(writes)]
    assert {size for size, _ in rows} == {len(text)}
    backends = {backend for _, backend in rows}
    expected = range(1, PostgresEngine.writers + 1) if stays else [writes]
    assert len(backends) in expected
