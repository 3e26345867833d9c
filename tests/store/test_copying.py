"""Copying a store: all rows are equal in the end, whatever happened to either store before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from dovetail.server.main import (
    Copied,
    CopyRequest,
    MoveError,
    MoveRefusedError,
    NotThereError,
    Pass,
    StoreOpenError,
    copy_store,
)
from dovetail.server.store.engines import sqlite
from dovetail.server.store.moving import copying, reading
from dovetail.server.store.moving.errors import ServedError
from dovetail.server.store.moving.places import Place, opened, prepare
from dovetail.server.store.moving.tables import BY_NAME, MOVED, Row
from dovetail.server.store.store import Store
from store.opened import migrated
from support.pair import running_pair
from support.synthetic import foreign_keys, write_synthetic_rows
from support.teams import Team
from support.waiting import until

Step = Callable[[str, int, int], None]


COUNTERS = ("last_message", "last_task", "last_event", "last_time")


def ignore(*_: object) -> None:
    """A progress that nobody looks at."""


def copy(
    source: str, target: str, step: Step = ignore, told: Callable[[Pass], None] | None = None
) -> Copied:
    """Copy a store; it is followed where somebody is told of the passes."""
    request = CopyRequest(
        source_url=source,
        target_url=target,
        follows=told is not None,
        progress=step,
        told=told or ignore,
    )
    return copy_store(request)


def stop_at(wanted: str) -> Step:
    """A progress that ends the copy as Ctrl-C does."""

    def step(what: str, done: int, total: int) -> None:
        del done, total
        if what == wanted:
            raise KeyboardInterrupt

    return step


def content(url: str) -> dict[str, list[Row]]:
    """All rows of a store."""
    with opened(url) as place:
        return {table.name: [*reading.rows(place, table)] for table in MOVED}


@pytest.fixture(params=["sqlite", "postgres"])
def stores(request: pytest.FixtureRequest, sqlite_url: str, postgres_url: str) -> tuple[str, str]:
    """An empty store of each engine, and a place for one of the other."""
    both = (sqlite_url, postgres_url) if request.param == "sqlite" else (postgres_url, sqlite_url)
    prepare(both[0])
    return both


def fill(url: str, tmp_path: Path) -> None:
    """Write something into every column."""
    with migrated(f"sqlite:///{tmp_path}/plain.db") as engine:
        fixed = foreign_keys(engine.database)
    with opened(url) as place:
        write_synthetic_rows(place, fixed)


def test_every_column_is_copied_whatever_it_holds(
    stores: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = stores
    monkeypatch.setattr(reading, "PAGE_ROWS", 2)
    monkeypatch.setattr(reading, "PAGE_BYTES", 20)
    fill(source, tmp_path)
    steps: list[tuple[str, int, int]] = []
    copied = copy(source, target, lambda *step: steps.append(step))
    total = sum(copied.rows.values())
    assert (copied.passes, copied.written, total) == (2, total, 3 * len(MOVED))
    assert steps[-1] == ("verifying", total, total)
    assert [what for what, _, _ in steps] == sorted(what for what, _, _ in steps)
    assert content(target) == content(source)
    with pytest.raises(MoveRefusedError, match="is not empty: name a new store"):
        copy(source, target)
    with migrated(target):
        pass  # There is no mark any more.


CHANGES = (
    # A message goes, and what refers to it; an event stays, and refers to it no more.
    "UPDATE task_events SET message_number = NULL WHERE message_number = 3",
    "DELETE FROM deliveries WHERE message_number = 3",
    "DELETE FROM message_attachments WHERE message_number = 3",
    "DELETE FROM messages WHERE number = 3",
    # Another row has what was unique to one that is gone.
    "DELETE FROM credentials WHERE credential_id = 'é2'",
    "UPDATE credentials SET number = 2 WHERE credential_id = 'é1'",
    # Rows that are changed, and new.
    "UPDATE tasks SET title = 'new', input = NULL WHERE number = 1",
    "INSERT INTO handouts VALUES ('é1', 'é1', 9, 8, 7)",
    "INSERT INTO handouts VALUES ('é1', 'é1', 0, 0, 7)",
    "UPDATE teams SET last_message = 99",
)


def test_a_copy_that_was_cut_off_goes_on_with_what_has_changed_since(
    stores: tuple[str, str], tmp_path: Path
) -> None:
    source, target = stores
    fill(source, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        copy(source, target, stop_at("verifying"))
    with opened(source) as place, place.writing():
        for statement in CHANGES:
            place.run(statement)
    with (
        pytest.raises(StoreOpenError, match=r"holds only a part .* dovetail store copy"),
        migrated(target),
    ):
        pass
    other = f"sqlite:///{tmp_path}/other.db"
    prepare(other)
    with pytest.raises(MoveRefusedError, match=r"holds a part of another store .copy of"):
        copy(other, target)
    copied = copy(source, target)
    assert copied.written >= len(CHANGES)
    assert content(target) == content(source)


def test_a_row_that_never_fits_ends_the_copy_with_what_the_database_says(
    sqlite_url: str, tmp_path: Path
) -> None:
    prepare(sqlite_url)
    target = f"sqlite:///{tmp_path}/target.db"
    fill(sqlite_url, tmp_path)
    with opened(sqlite_url) as place:
        place.run("PRAGMA foreign_keys = 0")
        place.run("UPDATE deliveries SET message_number = 7 WHERE message_number = 1")
    with pytest.raises(MoveError, match=r"1 rows differ still. a row of deliveries: FOREIGN KEY"):
        copy(sqlite_url, target)


async def test_a_copy_follows_servers_until_they_are_stopped(
    stores: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = stores
    monkeypatch.setattr(copying, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(copying, "PAUSE_SECONDS_MIN", 0.05)
    passes: list[Pass] = []
    async with running_pair(source) as pair:
        ann, bob = await Team(pair, "crew").known("ann", "bob")
        await ann.send("bob", body="before")
        with pytest.raises(ServedError, match="servers use the store at"):
            copy(source, target)
        copied = asyncio.create_task(asyncio.to_thread(copy, source, target, told=passes.append))
        await until(lambda: bool(passes))
        for number in range(20):
            await ann.send("bob", body=f"meanwhile {number}")
            await ann.made(task_id=f"t {number}")
        await bob.acknowledge(*range(1, 11))
        count = len(passes)
        await until(lambda: len(passes) > count + 1)
        assert not copied.done()
        await ann.send("bob", body="last")
    done = await copied
    assert done.written > passes[0].written
    assert content(target) == content(source)
    async with running_pair(target) as pair:
        bob = Team(pair, "crew").caller("bob")
        assert [each.message.body for each in await bob.backlog()][-1] == "last"


def test_nobody_writes_to_a_store_that_is_moved(
    stores: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = stores
    monkeypatch.setattr(sqlite, "OPEN_SECONDS", 0.05)
    begun: list[str] = []

    def step(what: str, done: int, total: int) -> None:
        del done, total
        if not begun:
            begun.append(what)
            for url in (source, target):
                with pytest.raises(StoreOpenError, match=r"is being moved|writer's place"):
                    Store(url)

    with opened(source) as place, place.writing():
        place.insert(BY_NAME["teams"], ("team_id", *COUNTERS), [("x", 0, 0, 0, 0)])
    copy(source, target, step)
    assert begun == ["copying"]


def test_even_a_writer_that_no_lock_shows_is_kept_from_a_source(postgres_url: str) -> None:
    prepare(postgres_url)
    with (
        opened(postgres_url) as place,
        place.alone(),
        place.reading_alone(),
        psycopg.connect(postgres_url, autocommit=True) as other,
    ):
        other.execute("SET lock_timeout = '50ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute("SELECT 1 FROM teams WHERE team_id = 'x' FOR UPDATE")
        assert other.execute("SELECT 1 FROM teams").fetchall() == []


def test_what_cannot_be_copied(sqlite_url: str, tmp_path: Path) -> None:
    new = f"sqlite:///{tmp_path}/new.db"
    with pytest.raises(NotThereError, match="there is no store at"):
        copy(sqlite_url, new)
    prepare(sqlite_url)
    with pytest.raises(MoveRefusedError, match="FROM and TO are both"):
        copy(sqlite_url, sqlite_url)
    with opened(sqlite_url) as place:
        _apply(place, "INSERT INTO schema_migration (name, applied) VALUES ('9999_later', 'now')")
        with pytest.raises(MoveRefusedError, match=r"is of a newer release .it has 9999_later"):
            copy(sqlite_url, new)
        _apply(place, "DELETE FROM schema_migration WHERE name IN ('9999_later', '0012_receipts')")
        with pytest.raises(MoveRefusedError, match=r"is of an older release .without 0012"):
            copy(sqlite_url, new)
    assert not (tmp_path / "new.db").exists()


def _apply(place: Place, statement: str) -> None:
    with place.writing():
        place.run(statement)


async def test_servers_show_themselves_until_they_end(postgres_url: str) -> None:
    prepare(postgres_url)
    with opened(postgres_url) as place:
        assert not place.is_served()
        async with running_pair(postgres_url):
            assert place.is_served()
            with pytest.raises(ServedError), place.alone():
                pass
            # The connection that shows a server is cut off, and comes back.
            place.rows("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
            await until(place.is_served)
        await until(lambda: not place.is_served())
