"""Servers on both event loops: uvloop where it is installed, as here, and asyncio's own."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

import pytest

from dovetail.messaging.v1 import messaging_pb2 as talk
from support.healths import until_log
from support.processes import ServerProcess
from support.refusals import error_info
from support.servers import Servers, serving


@pytest.fixture(params=["uvloop", "asyncio"])
def loop(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The loop on which the servers of a test run; for asyncio, uvloop cannot be imported."""
    if request.param == "asyncio":
        hiding = tmp_path / "hiding"
        hiding.mkdir()
        (hiding / "uvloop.py").write_text("raise ImportError('hidden by a test')\n")
        monkeypatch.setenv("PYTHONPATH", str(hiding))
    return str(request.param)


def loops_told(server: ServerProcess) -> list[str]:
    """The loops that a server's log names, one for each time that it was started."""
    lines = [line for line in server.log.read_text().splitlines() if line.startswith("{")]
    events = [json.loads(line) for line in lines]
    return [event["loop"] for event in events if event["event"] == "serving"]


async def test_a_pair_serves_streams_and_drains(sqlite_url: str, loop: str, tmp_path: Path) -> None:
    async with serving(sqlite_url, tmp_path) as servers:
        await servers.register("ann", "bob")
        ann, bob = servers.caller("ann"), servers.caller("bob")
        async with bob.inbox() as inbox:
            await inbox.until(talk.STREAM_MARK_CAUGHT_UP)
            await ann.send("bob", body="hello")
            assert [each.message.body for each in await inbox.take(1)] == ["hello"]
            # Across processes, by the listener's thread.
            task = await ann.made(assignee_id="bob")
            assert [each.message.task_id for each in await inbox.take(1)] == [task.task_id]
            await _claim_that_waits(servers)
            for server in servers.both:
                server.signal(signal.SIGTERM)
            await inbox.until(talk.STREAM_MARK_CLOSING)
            assert error_info(await inbox.end()).reason == "SERVER_STOPPING"
        for server in servers.both:
            assert await asyncio.to_thread(server.wait) == 0
            assert '"stopped"' in server.log.read_text()
            assert "Traceback" not in server.log.read_text()
            assert loops_told(server) == [loop]


async def _claim_that_waits(servers: Servers) -> None:
    """It sleeps on the loop's timers and bells until there is a task for anyone."""
    carl = servers.caller("carl")
    await carl.register()
    waiting = asyncio.create_task(carl.claim(max_wait=40))
    task = await servers.caller("ann").made()
    assert [each.task.task_id for each in await waiting] == [task.task_id]


async def test_a_second_interrupt_ends_a_server_at_once(
    sqlite_url: str, loop: str, tmp_path: Path
) -> None:
    async with serving(sqlite_url, tmp_path) as servers:
        server = servers.messaging
        await servers.register("bob")
        for _ in range(20):
            await servers.caller("bob").send("bob", body="x" * 1_000_000)
        async with servers.caller("bob").inbox():
            # Nobody reads the stream, which keeps the server for as long as it lets calls finish.
            server.signal(signal.SIGINT)
            await until_log(server, "stopping")
            server.signal(signal.SIGINT)
            assert await asyncio.to_thread(server.wait) == 1
        assert "stopped" not in server.log.read_text()
        assert loops_told(server) == [loop]


async def test_workers_and_their_supervisor_stop_by_one_signal(
    sqlite_url: str, loop: str, tmp_path: Path
) -> None:
    server = ServerProcess("messaging", sqlite_url, tmp_path / "log", options=("--workers", "2"))
    with server:
        await until_log(server, ", 2 workers")
        assert await asyncio.to_thread(server.stop) == 0
        assert loops_told(server) == [loop, loop]
