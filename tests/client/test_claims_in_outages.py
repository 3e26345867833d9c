"""A block that holds a task lives through outages of the server."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from pathlib import Path

import pytest

from dovetail.client import (
    TaskState,
    UnavailableError,
    connect,
)
from support.processes import ServerProcess


@pytest.fixture
def server(sqlite_url: str, tmp_path: Path) -> Generator[ServerProcess]:
    with ServerProcess("tasks", sqlite_url, tmp_path / "tasks.log") as server:
        yield server


async def test_a_block_waits_for_its_task_through_an_outage(server: ServerProcess):
    async with (
        connect("alice", tasks=server.address, timeout=60) as alice,
        connect("bob", tasks=server.address, patience=0) as bob,
    ):
        server.kill()
        with pytest.raises(UnavailableError):
            async with bob.claim(timeout=0):
                raise AssertionError("there was no server")
        working = asyncio.create_task(bob.claim().__aenter__())
        await asyncio.to_thread(server.start)
        await alice.tasks.create("x")
        assert (await working).title == "x"


async def test_the_end_of_a_block_waits_for_the_end_of_an_outage(server: ServerProcess):
    async with (
        connect("alice", tasks=server.address, timeout=60) as alice,
        connect("bob", tasks=server.address, patience=0) as bob,
    ):
        made = await alice.tasks.create("x")
        async with bob.claim() as task:
            server.kill()
            with pytest.raises(UnavailableError):
                await bob.tasks.get(made.task_id)
            task.result("through")
            starting = asyncio.create_task(asyncio.to_thread(server.start))
        await starting
        done = await alice.tasks.get(made.task_id)
        assert (done.state, done.attempt) == (TaskState.COMPLETED, 1)
        assert done.result.summary == "through"


async def test_a_block_that_is_cancelled_in_an_outage_leaves_its_lease(
    server: ServerProcess, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("dovetail.client.claims.RELEASE_SECONDS", 0.1)
    async with connect("bob", tasks=server.address) as bob:
        await bob.tasks.create("x")
        held = asyncio.Event()

        async def work() -> None:
            async with bob.claim():
                server.kill()
                held.set()
                await asyncio.Event().wait()

        working = asyncio.create_task(work())
        await held.wait()
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working
