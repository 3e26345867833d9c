"""Backups: of one moment, whole, checked, and restored only where nothing is."""

from __future__ import annotations

import asyncio
import itertools
import os
import stat
from pathlib import Path

import pytest

from dovetail.server.main import StoreOpenError, back_up, check_store, restore
from dovetail.server.store import backups
from store.opened import migrated
from support.pair import running_pair
from support.teams import Team


def nobody(done: int, total: int) -> None:
    del done, total


@pytest.fixture
def filled(sqlite_url: str) -> str:
    """A store without servers."""
    with migrated(sqlite_url):
        pass
    return sqlite_url


async def test_a_copy_that_is_made_while_agents_write_is_one_moment_and_serves(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backups, "STEP_PAGES", 20)
    target, steps = tmp_path / "copy.db", list[tuple[int, int]]()
    sent = itertools.count(1)
    async with running_pair(sqlite_url) as pair:
        joe, ann = await Team(pair, "crew").known("joe", "ann")

        async def write() -> None:
            for number in sent:
                await joe.send("ann", subject=str(number), body="x" * 5_000)

        for _ in range(50):
            await joe.send("ann", subject=str(next(sent)), body="x" * 5_000)
        writing = asyncio.create_task(write())
        content = await asyncio.to_thread(
            back_up, sqlite_url, target, lambda *step: steps.append(step)
        )
        writing.cancel()
        await joe.made(title="later")
    assert len(steps) > 3
    assert [done for done, _ in steps] == sorted({done for done, _ in steps})
    assert len({total for _, total in steps}) == 1
    assert content.messages >= 50
    assert (content.teams, content.agents, content.tasks) == (1, 2, 0)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert [name for name in os.listdir(tmp_path) if "copy" in name] == ["copy.db"]
    again = f"sqlite:///{tmp_path}/again.db"
    assert restore(again, target) == content
    assert [each for each in check_store(again) if each.level == "fail"] == []
    async with running_pair(again) as pair:
        ann = Team(pair, "crew").caller("ann")
        found = await ann.received()
        assert [each.receipt.sequence for each in found] == list(range(1, len(found) + 1))
        assert found[-1].message.subject == str(len(found))
    assert target.read_bytes()[18:20] == b"\x01\x01"  # The backup itself was only read.


def test_nothing_is_replaced(filled: str, tmp_path: Path) -> None:
    target = tmp_path / "there"
    target.write_text("mine")
    with pytest.raises(StoreOpenError, match="there is there already: name a new file"):
        back_up(filled, target, nobody)
    copy = tmp_path / "copy"
    back_up(filled, copy, nobody)
    with pytest.raises(StoreOpenError, match="would be replaced: move what is there away"):
        restore(filled, copy)
    store = Path(filled.removeprefix("sqlite:///"))
    names = {each.name for each in tmp_path.iterdir()} - {"there", "copy"}
    log = tmp_path / "new.db-wal"
    log.touch()
    with pytest.raises(StoreOpenError, match=r"new\.db-wal would be replaced"):
        restore(f"sqlite:///{tmp_path}/new.db", copy)
    assert target.read_text() == "mine"
    assert {each.name for each in tmp_path.iterdir()} - {"there", "copy", log.name} == names
    assert store.exists()


async def test_a_store_that_servers_use_is_not_restored(sqlite_url: str, tmp_path: Path) -> None:
    async with running_pair(sqlite_url):
        copy = tmp_path / "copy"
        await asyncio.to_thread(back_up, sqlite_url, copy, nobody)
        with pytest.raises(StoreOpenError, match=r"servers use the store at .*: stop them first"):
            restore(sqlite_url, copy)


def test_what_is_no_whole_store_is_refused_and_leaves_nothing(filled: str, tmp_path: Path) -> None:
    copy, other = tmp_path / "copy", tmp_path / "other"
    url = f"sqlite:///{tmp_path}/new.db"
    back_up(filled, copy, nobody)
    content = bytearray(copy.read_bytes())
    cut = bytes(content[: len(content) // 2])
    content[4096 * 3 : 4096 * 4] = b"\xff" * 4096
    for wrong in (bytes(content), cut, b"no database at all, but long enough" * 200, b""):
        other.write_bytes(wrong)
        with pytest.raises(StoreOpenError, match=r"other|draft"):
            restore(url, other)
    with pytest.raises(StoreOpenError, match="there is no backup at"):
        restore(url, tmp_path / "none")
    with pytest.raises(StoreOpenError, match="there is no store at"):
        back_up(url, tmp_path / "x", nobody)
    assert not (tmp_path / "new.db").exists()
    assert not [each for each in os.listdir(tmp_path) if "draft" in each]


def test_a_backup_that_cannot_be_written_leaves_nothing(filled: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        back_up(filled, tmp_path / "none" / "copy", nobody)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises((KeyboardInterrupt, StoreOpenError)):
        back_up(filled, tmp_path / "copy", stop)
    assert not [each for each in os.listdir(tmp_path) if "copy" in each]


def test_postgresql_has_its_own_tool(tmp_path: Path) -> None:
    with pytest.raises(StoreOpenError, match="pg_dump"):
        back_up("postgresql://x/y", tmp_path / "copy", nobody)
    with pytest.raises(StoreOpenError, match="pg_restore"):
        restore("postgresql://x/y", tmp_path / "copy")
