"""What only the embedded engine has: its file, its settings, its lock files."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from playhouse.cysqlite_ext import CySqliteDatabase

from dovetail.server.store.engines.base import StoreOpenError
from dovetail.server.store.store import Store
from dovetail.server.store.transaction import Snapshot
from store.opened import TEAM, opened
from support.callers import sequences
from support.pair import Pair
from support.refusals import error_info, failure
from support.teams import Team

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
FULL = 2


def setting(snapshot: Snapshot, pragma: str) -> object:
    return snapshot._fetch(f"PRAGMA {pragma}", [])[0][0]


@pytest.mark.parametrize(
    ("pragma", "value"), [("journal_mode", "wal"), ("synchronous", FULL), ("foreign_keys", 1)]
)
async def test_writers_and_readers_are_set_to_be_durable(
    sqlite_url: str, pragma: str, value: object
) -> None:
    async with opened(sqlite_url) as store:
        assert await store.write(TEAM, lambda t: setting(t, pragma)) == value
        assert await store.read(TEAM, lambda s: setting(s, pragma)) == value


async def test_an_sqlite_that_can_corrupt_its_file_is_refused(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CySqliteDatabase, "server_version", (3, 51, 2))
    with pytest.raises(StoreOpenError, match=r"SQLite .*3, 51, 2.* older than"):
        Store(sqlite_url)


def modes_in(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


async def test_the_store_is_its_owners_alone(sqlite_url: str, tmp_path: Path) -> None:
    async with opened(sqlite_url):
        modes = modes_in(tmp_path)
    assert "store.db" in modes
    assert not any(mode & 0o077 for mode in modes.values()), modes


async def test_a_path_that_cannot_be_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreOpenError, match="folder cannot be opened: it is a folder"):
        Store(f"sqlite:///{tmp_path}/folder")


async def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database, but long enough to look like one" * 50)
    with pytest.raises(StoreOpenError, match=r"notes.txt is no SQLite database"):
        Store(f"sqlite:///{tmp_path}/notes.txt")


@asynccontextmanager
async def health_of(pair: Pair) -> AsyncGenerator[asyncio.Queue[int]]:
    """The health of the messaging server, as it changes."""
    heard: asyncio.Queue[int] = asyncio.Queue()

    async def follow() -> None:
        stub = health_pb2_grpc.HealthStub(pair.messaging_channel)
        async for answer in stub.Watch(health_pb2.HealthCheckRequest()):  # type: ignore[union-attr]
            heard.put_nowait(answer.status)

    following = asyncio.create_task(follow())
    try:
        yield heard
    finally:
        following.cancel()
        await asyncio.wait([following])


def take_away(store: Path) -> Path:
    """Move the file away, as a careless person would."""
    return store.rename(store.with_name("away.db"))


def replace(store: Path) -> Path:
    """Put an empty file in its place."""
    away = take_away(store)
    store.touch()
    return away


@pytest.mark.parametrize("harm", [take_away, replace])
async def test_a_lost_file_is_told_and_serves_again_when_it_is_back(
    sqlite_pair: Pair, tmp_path: Path, harm: object
) -> None:
    bob = await Team(sqlite_pair).bob_with(2)
    alice = Team(sqlite_pair).caller("alice")
    store = tmp_path / "store.db"
    async with health_of(sqlite_pair) as health:
        assert await health.get() == SERVING
        away = harm(store)  # type: ignore[operator]
        for call in (alice.send("bob"), bob.look(), alice.list_messages(), bob.backlog()):
            error = await failure(call)
            assert error.code() is grpc.StatusCode.UNAVAILABLE
            assert error_info(error).reason == "STORE_UNAVAILABLE"
            assert "removed or replaced" in str(error.details())
        assert await health.get() == NOT_SERVING
        os.replace(away, store)
        assert await health.get() == SERVING
    assert sequences(await bob.backlog()) == [1, 2]
    sent = await alice.send("bob")
    assert (sent.message_id, sent.receipts[0].sequence) == ("m3", 3)


async def test_an_open_stream_goes_on_when_a_lost_file_is_back(
    sqlite_pair: Pair, tmp_path: Path
) -> None:
    bob = await Team(sqlite_pair).bob_with(1)
    async with health_of(sqlite_pair) as health, bob.inbox() as inbox:
        assert sequences(await inbox.take(1)) == [1]
        assert await health.get() == SERVING
        away = take_away(tmp_path / "store.db")
        assert await health.get() == NOT_SERVING
        os.replace(away, tmp_path / "store.db")
        assert await health.get() == SERVING
        await bob.send("bob")
        assert sequences(await inbox.take(1)) == [2]
