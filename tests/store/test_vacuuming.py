"""The file of an embedded store gives room back, also one that an older release has made."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from dovetail.server.store import doctor
from dovetail.server.store.compacting import compact
from dovetail.server.store.engines import sqlite, vacuuming
from dovetail.server.store.transaction import Transaction
from store.opened import TEAM, migrated, opened

FILLER = "CREATE TABLE filler (content)"
ROWS = 2_000


def path_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


def make_old(url: str) -> None:
    """A store whose file cannot be cut, with room in it that nothing uses."""
    with migrated(url):
        pass
    with closing(sqlite3.connect(path_of(url))) as database:
        database.execute("PRAGMA auto_vacuum = none")
        database.execute("VACUUM")
        database.execute(FILLER)
        database.executemany("INSERT INTO filler VALUES (?)", [("x" * 1_000,)] * ROWS)
        database.commit()
        database.execute("DROP TABLE filler")
        database.commit()


def mode(url: str) -> int:
    with closing(sqlite3.connect(path_of(url))) as database:
        return int(database.execute("PRAGMA auto_vacuum").fetchone()[0])


async def test_a_new_file_gives_back_what_is_free(sqlite_url: str) -> None:
    def fill(transaction: Transaction) -> None:
        transaction._fetch(FILLER, [])
        for _ in range(ROWS):
            transaction._fetch("INSERT INTO filler VALUES (?)", ["x" * 1_000])
        transaction._group.writes += 1

    def empty(transaction: Transaction) -> None:
        transaction._fetch("DROP TABLE filler", [])
        transaction._group.writes += 1

    async with opened(sqlite_url) as store:
        await store.write(TEAM, fill)
        await store.tidy()
        full = path_of(sqlite_url).stat().st_size
        await store.write(TEAM, empty)
        before = await store.write(TEAM, lambda t: t.give_back(1))
        assert before.free > ROWS / 5
        pages = await store.write(TEAM, lambda t: t.give_back(before.free - 10))
        assert (pages.free, pages.total) == (10, before.total - before.free + 10)
        await store.tidy()
        assert path_of(sqlite_url).stat().st_size < full / 2


def test_a_small_file_of_before_is_written_anew_when_a_server_opens_it(sqlite_url: str) -> None:
    make_old(sqlite_url)
    before = path_of(sqlite_url).stat().st_size
    assert mode(sqlite_url) == 0
    with migrated(sqlite_url):
        pass
    assert mode(sqlite_url) == vacuuming.INCREMENTAL
    assert path_of(sqlite_url).stat().st_size < before / 2


def test_a_large_one_stays_until_it_is_compacted(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_old(sqlite_url)
    monkeypatch.setattr(sqlite, "SMALL_BYTES", 1_000)
    with migrated(sqlite_url):
        pass
    assert mode(sqlite_url) == 0
    (finding,) = [each for each in doctor.check_store(sqlite_url) if each.check == "file size"]
    assert (finding.level, "dovetail compact" in finding.advice) == (doctor.Level.WARN, True)
    done = compact(sqlite_url)
    assert done.bytes < done.bytes_before / 2
    assert mode(sqlite_url) == vacuuming.INCREMENTAL
    assert "file size" not in {each.check for each in doctor.check_store(sqlite_url)}


async def test_in_postgresql_there_is_no_file_to_cut(postgres_url: str) -> None:
    async with opened(postgres_url) as store:
        assert await store.write(TEAM, lambda t: t.give_back(10)) == (0, 0)
        await store.tidy()
