"""Files beside a SQLite store that are removed under its servers: nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from dovetail.server.main import Level, check_store
from support.audit import bodies, faults, rows
from support.healths import NOT_SERVING, until_health
from support.processes import ServerProcess
from support.refusals import error_info
from support.servers import Servers, serving
from support.waiting import until

BEFORE = 40


class Load:
    """One who writes until it is refused, what was acknowledged to it, and the refusal."""

    def __init__(self, write: Callable[[str], Awaitable[object]]) -> None:
        """Write by calling `write` with a text that is unique."""
        self._write = write
        self.acknowledged: set[str] = set()
        self.enough = asyncio.Event()

    async def run(self, name: str) -> grpc.aio.AioRpcError:
        """Write until the first error, which is returned."""
        for turn in range(1_000_000):
            text = f"{name}-{turn}"
            try:
                await self._write(text)
            except grpc.aio.AioRpcError as error:
                return error
            self.acknowledged.add(text)
            if len(self.acknowledged) >= BEFORE:
                self.enough.set()
        raise AssertionError("never refused")


def sender(servers: Servers) -> Callable[[str], Awaitable[object]]:
    return lambda text: servers.caller("alice").send("bob", body=text)


def creator(servers: Servers) -> Callable[[str], Awaitable[object]]:
    return lambda text: servers.caller("alice").create(title=text)


def replace(path: str) -> None:
    """Put an empty file in the place of one."""
    Path(f"{path}.new").touch()
    os.replace(f"{path}.new", path)


async def until_rescued(servers: Servers) -> None:
    """Wait until one of them has copied what the removed log holds: kill -9 loses nothing then."""
    rescued = "what the removed log held is in the file now"
    await until(lambda: any(rescued in each.log.read_text() for each in servers.both))


def check_that_none_joins(store_url: str, log: Path) -> None:
    """A server that is started meanwhile must not make a log of its own, nor a look of doctor's."""
    third = ServerProcess("tasks", store_url, log)
    third.start(wait=False)
    assert third.wait() == 1
    assert "stop them all, then start them again" in log.read_text()
    (found,) = [each for each in check_store(store_url) if each.level is Level.FAIL]
    assert (found.check, found.advice.startswith("Stop all servers")) == ("log", True)
    assert not Path(store_url.removeprefix("sqlite:///") + "-wal").exists()


@pytest.mark.parametrize(
    ("suffix", "harm", "end"),
    [
        ("-wal", os.unlink, ServerProcess.kill),
        ("-wal", replace, ServerProcess.stop),
        ("-shm", os.unlink, ServerProcess.stop),
    ],
    ids=["log-removed-then-killed", "log-replaced", "memory-removed"],
)
async def test_a_lost_file_is_noticed_and_what_was_acknowledged_is_kept(
    sqlite_url: str, tmp_path: Path, suffix: str, harm: Any, end: Any
) -> None:
    lost = sqlite_url.removeprefix("sqlite:///") + suffix
    async with serving(sqlite_url, tmp_path) as servers:
        await servers.register("bob")
        loads = [Load(sender(servers)), Load(creator(servers))]
        running = [asyncio.create_task(load.run("w")) for load in loads]
        for load in loads:
            await load.enough.wait()
        harm(lost)
        for refusal in await asyncio.gather(*running):
            assert refusal.code() is grpc.StatusCode.UNAVAILABLE
            assert error_info(refusal).reason == "STORE_UNAVAILABLE"
            assert f"{lost} was removed or replaced" in str(refusal.details())
            assert "stop all servers of this store" in str(refusal.details())
        await asyncio.gather(*(until_health(each, NOT_SERVING) for each in servers.both))
        if end is ServerProcess.kill:
            await until_rescued(servers)
            await asyncio.to_thread(check_that_none_joins, sqlite_url, tmp_path / "third.log")
        for server in servers.both:
            end(server)
        for server in servers.both:
            server.start(wait=False)
        for server in servers.both:
            await asyncio.to_thread(server.wait_until_serving)
        await sender(servers)("after")
        made = {title for (title,) in rows(sqlite_url, "SELECT title FROM tasks")}
        assert loads[0].acknowledged | {"after"} <= bodies(sqlite_url)
        assert loads[1].acknowledged <= made
        assert faults(sqlite_url) == []
