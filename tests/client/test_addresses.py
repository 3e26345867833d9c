"""Several addresses: servers over one store, of which those that are well take turns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from itertools import count
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from client.conftest import Connect
from dovetail.client import Agent, connect
from dovetail.server.runtime import RunningServer
from support.processes import ServerProcess, free_port
from support.waiting import until

CALLS = 10
SENDERS = 8


@pytest.fixture
def twins(sqlite_url: str, tmp_path: Path) -> Generator[tuple[ServerProcess, ServerProcess]]:
    with (
        ServerProcess("messaging", sqlite_url, tmp_path / "one.log") as one,
        ServerProcess("messaging", sqlite_url, tmp_path / "other.log") as other,
    ):
        yield one, other


@pytest.fixture
async def sick() -> AsyncGenerator[str]:
    """The address of a server that says that it is not serving, and has no other method."""
    server = grpc.aio.server()
    checks = cast(Any, health).aio.HealthServicer()
    cast(Any, health_pb2_grpc).add_HealthServicer_to_server(checks, server)
    await checks.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


async def test_a_server_that_is_killed_under_load_is_passed_over_and_nothing_is_lost(
    twins: tuple[ServerProcess, ServerProcess],
):
    addresses = [server.address for server in twins]
    sent: list[str] = []
    received: list[str] = []
    stop = asyncio.Event()

    async def send(alice: Agent, numbers: count[int]) -> None:
        while not stop.is_set():
            body = str(next(numbers))
            await alice.send("bob", body)
            sent.append(body)

    async def receive(bob: Agent) -> None:
        async with bob.inbox() as inbox:
            async for message in inbox:
                if message.body == "last":
                    return
                received.append(message.body)
                await message.acknowledge()

    async def goes_on() -> None:
        reached = len(sent) + 100
        await until(lambda: len(sent) >= reached)

    async with (
        connect("alice", messaging=addresses) as alice,
        connect("bob", messaging=addresses) as bob,
        asyncio.TaskGroup() as running,
    ):
        await bob.register()
        numbers = count()
        running.create_task(receive(bob))
        sending = [running.create_task(send(alice, numbers)) for _ in range(SENDERS)]
        for doomed in twins:
            await goes_on()
            await asyncio.to_thread(doomed.kill)
            await goes_on()
            await asyncio.to_thread(doomed.start)
        stop.set()
        await asyncio.wait(sending)
        await alice.send("bob", "last")
    assert sorted(received) == sorted(sent)
    assert len(set(received)) == len(received)


async def test_an_address_where_nobody_listens_is_passed_over(messaging: RunningServer):
    nobody = f"127.0.0.1:{free_port()}"
    async with connect("alice", messaging=[nobody, messaging.address], patience=0) as alice:
        for _ in range(CALLS):
            await alice.register()


async def test_a_server_that_is_not_well_is_passed_over(sick: str, messaging: RunningServer):
    async with connect("alice", messaging=(sick, messaging.address), patience=0) as alice:
        for _ in range(CALLS):
            await alice.register()


async def test_tasks_may_have_several_addresses_too(
    connected: Connect, sick: str, tasks: RunningServer
):
    async with connected("alice", tasks=f"{sick}, {tasks.address}", patience=0) as alice:
        titles = [(await alice.tasks.create(str(number))).title for number in range(CALLS)]
    assert titles == [str(number) for number in range(CALLS)]


@pytest.mark.parametrize(
    ("addresses", "fault"),
    [
        ("", "address is missing"),
        ([], "address is missing"),
        ("one.example:1,two.example:1", "a name must stand alone"),
        (["127.0.0.1", "127.0.0.2:1"], "'127.0.0.1' must be HOST:PORT"),
        ("one.example", "'one.example' must be HOST:PORT, with a port up to 65535"),
        ("one.example:grpc", "'one.example:grpc' must be HOST:PORT"),
        ("127.0.0.1:0", "'127.0.0.1:0' must be HOST:PORT"),
        ("127.0.0.1:65536", "'127.0.0.1:65536' must be HOST:PORT"),
        (":50051", "':50051' must be HOST:PORT"),
        ("http://127.0.0.1:50051", "must be HOST:PORT, without http://"),
        (["127.0.0.1:1", "[::1]:1"], "all IPv4 or all IPv6"),
    ],
)
async def test_addresses_that_cannot_work_are_refused(addresses: object, fault: str):
    with pytest.raises(ValueError, match=fault):
        async with connect("alice", messaging=cast(Any, addresses)):
            pass
