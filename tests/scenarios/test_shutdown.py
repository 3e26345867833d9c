"""How a server ends: what it began is finished, streams end with their cursor."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc
import pytest

from dovetail.messaging.v1 import messaging_pb2 as messaging_pb
from support.audit import bodies, faults, rows
from support.healths import until_log
from support.pair import identity
from support.processes import ServerProcess
from support.refusals import error_info
from support.servers import Servers, serving
from support.soak import full_or_tenth

pytestmark = pytest.mark.soak

CALLERS = 64
BEFORE = full_or_tenth(5_000)


class Load:
    """Callers that write until they are refused, and what was acknowledged to them."""

    def __init__(self, write: Callable[[str], Awaitable[object]]) -> None:
        """Write by calling `write` with a text that is unique."""
        self._write = write
        self.acknowledged: set[str] = set()
        self.enough = asyncio.Event()

    async def run(self, number: int) -> None:
        """Write until a call is answered UNAVAILABLE; any other error fails the test."""
        for turn in range(1_000_000):
            text = f"{number}-{turn}"
            try:
                await self._write(text)
            except grpc.aio.AioRpcError as error:
                if error.code() == grpc.StatusCode.UNAVAILABLE:
                    return
                raise
            self.acknowledged.add(text)
            if len(self.acknowledged) >= BEFORE:
                self.enough.set()


@pytest.mark.parametrize("service", ["messaging", "tasks"])
async def test_a_server_that_is_told_to_stop_under_load_loses_nothing_it_acknowledged(
    store_url: str, service: str, tmp_path: Path, report_figures: Callable[[str], None]
) -> None:
    async with serving(store_url, tmp_path) as servers:
        await servers.register("bob")
        server, write, stored = {
            "messaging": (servers.messaging, _sender(servers), bodies),
            "tasks": (servers.tasks, _creator(servers), _titles),
        }[service]
        load = Load(write)
        async with asyncio.TaskGroup() as calling:
            for number in range(CALLERS):
                calling.create_task(load.run(number))
            await load.enough.wait()
            server.signal(signal.SIGTERM)
        assert await asyncio.to_thread(server.wait) == 0
        found = stored(store_url)
        assert load.acknowledged <= found
        assert faults(store_url) == []
    report_figures(
        f"{len(load.acknowledged):,} acknowledged to {CALLERS} callers before and while it stopped,"
        f" 0 lost; {len(found - load.acknowledged)} more were written whose answer was UNAVAILABLE"
    )


async def test_a_stopping_server_ends_its_streams_with_their_cursor(
    store_url: str, tmp_path: Path
) -> None:
    async with serving(store_url, tmp_path) as servers:
        await servers.register("bob")
        await _sender(servers)("hello")
        stream = servers.messaging_stub.SubscribeInbox(
            messaging_pb.SubscribeInboxRequest(), metadata=identity("bob")
        )
        assert await _marks(stream) == (messaging_pb.STREAM_MARK_UNSPECIFIED, 1)
        assert await _marks(stream) == (messaging_pb.STREAM_MARK_CAUGHT_UP, 1)
        servers.messaging.signal(signal.SIGTERM)
        assert await _marks(stream) == (messaging_pb.STREAM_MARK_CLOSING, 1)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stream.read()
        assert raised.value.code() == grpc.StatusCode.UNAVAILABLE
        assert error_info(raised.value).reason == "SERVER_STOPPING"
        assert await asyncio.to_thread(servers.messaging.wait) == 0


async def test_a_second_signal_ends_a_server_at_once(sqlite_url: str, tmp_path: Path) -> None:
    """A reader that does not read would keep it for as long as it lets calls finish."""
    async with serving(sqlite_url, tmp_path) as servers:
        await servers.register("bob")
        for _ in range(20):
            await _sender(servers)("x" * 1_000_000)
        stream = servers.messaging_stub.SubscribeInbox(
            messaging_pb.SubscribeInboxRequest(), metadata=identity("bob")
        )
        await stream.initial_metadata()
        servers.messaging.signal(signal.SIGTERM)
        await until_log(servers.messaging, "stopping")
        servers.messaging.signal(signal.SIGTERM)
        assert await asyncio.to_thread(servers.messaging.wait) == 1
        assert "stopped" not in servers.messaging.log.read_text()


@pytest.mark.parametrize("service", ["messaging", "tasks"])
def test_a_port_that_is_taken_is_told_of_and_nothing_is_shared(
    sqlite_url: str, service: str, tmp_path: Path
) -> None:
    with ServerProcess(service, sqlite_url, tmp_path / "first.log") as first:
        second = ServerProcess(service, sqlite_url, tmp_path / "second.log", port=first.port)
        second.start(wait=False)
        assert second.wait() not in (0, None)
        told = second.log.read_text()
        assert f"cannot listen on {first.address}: the address is in use" in told
        assert "Traceback" not in told
        assert first.stop() == 0


def _sender(servers: Servers) -> Callable[[str], Awaitable[object]]:
    return lambda text: servers.caller("alice").send("bob", body=text)


def _titles(store_url: str) -> set[str]:
    return {title for (title,) in rows(store_url, "SELECT title FROM tasks")}


def _creator(servers: Servers) -> Callable[[str], Awaitable[object]]:
    return lambda text: servers.caller("alice").create(title=text, assignee_id="bob")


async def _marks(
    stream: grpc.aio.UnaryStreamCall[
        messaging_pb.SubscribeInboxRequest, messaging_pb.SubscribeInboxResponse
    ],
) -> tuple[int, int]:
    response = await stream.read()
    assert isinstance(response, messaging_pb.SubscribeInboxResponse)
    return response.mark, response.through_sequence
