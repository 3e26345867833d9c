"""A server that is out of file descriptors: what it has goes on, and new connections come later."""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import psycopg

from dovetail.messaging.v1 import messaging_pb2 as messaging_pb
from dovetail.messaging.v1 import messaging_pb2_grpc
from support.pair import identity
from support.processes import ServerProcess
from support.refusals import error_info
from support.servers import channel
from support.waiting import until

CONNECTIONS = 9
"""The writer's, three readers', two scanners', the reporter's, the listener's, and the anchor."""

STANDARD_STREAMS = 3


@contextmanager
def no_more_files(server: ServerProcess) -> Generator[None]:
    """Let a server open nothing more inside the block, whatever it closes meanwhile."""
    assert server.process is not None
    pid = server.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (STANDARD_STREAMS, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def _holding(pid: int, path: str) -> int:
    """How many descriptors of a process are of this file."""
    links: list[str] = []
    for each in os.listdir(f"/proc/{pid}/fd"):
        with suppress(OSError):  # Closed meanwhile.
            links.append(os.readlink(f"/proc/{pid}/fd/{each}"))
    return links.count(path)


async def until_ready(server: ServerProcess) -> None:
    """Wait until each thread of the store has opened its connection."""
    assert server.process is not None
    log = server.store_url.removeprefix("sqlite:///") + "-wal"
    pid = server.process.pid
    await until(lambda: _holding(pid, log) >= CONNECTIONS)


async def test_what_is_open_goes_on_without_descriptors_and_new_ones_follow(
    sqlite_url: str, tmp_path: Path
) -> None:
    server = ServerProcess("messaging", sqlite_url, tmp_path / "log")
    with server:
        await until_ready(server)
        own = ("grpc.use_local_subchannel_pool", 1)
        async with channel(server) as old, channel(server, own) as new:
            stub = messaging_pb2_grpc.MessagingServiceStub(old)
            register = messaging_pb.RegisterAgentRequest()
            await stub.RegisterAgent(register, metadata=identity("bob"))
            with no_more_files(server):
                late = asyncio.ensure_future(
                    messaging_pb2_grpc.MessagingServiceStub(new).GetAgent(
                        messaging_pb.GetAgentRequest(),
                        metadata=identity("bob"),
                        wait_for_ready=True,
                    )
                )
                send = messaging_pb.SendMessageRequest(recipient_ids=["bob"], body="hello")
                for _ in range(10):
                    await stub.SendMessage(send, metadata=identity("bob"))
                    await stub.ListMessages(
                        messaging_pb.ListMessagesRequest(), metadata=identity("bob")
                    )
                    await stub.ListAgents(
                        messaging_pb.ListAgentsRequest(), metadata=identity("bob")
                    )
                assert not late.done()
            agent = (await late).agent
        assert agent.last_sequence == 10
        assert server.stop() == 0


async def until_told(stub: Any, wanted: Callable[[Any], bool]) -> Any:
    """Write until the outcome is what is wanted: an error, or None."""
    async with asyncio.timeout(30):
        number = 0
        while True:
            number += 1
            outcome = None
            try:
                request = messaging_pb.RegisterAgentRequest(agent_id=f"a{number}")
                await stub.RegisterAgent(request, metadata=identity("bob"))
            except grpc.aio.AioRpcError as error:
                outcome = error
            if wanted(outcome):
                return outcome


async def test_want_of_descriptors_is_told_as_such_and_passes(
    postgres_url: str, tmp_path: Path
) -> None:
    """On PostgreSQL, whose connections can be lost: it takes a descriptor to have a new one."""
    with ServerProcess("messaging", postgres_url, tmp_path / "log") as server:
        async with channel(server) as connection:
            stub = messaging_pb2_grpc.MessagingServiceStub(connection)
            register = messaging_pb.RegisterAgentRequest()
            await stub.RegisterAgent(register, metadata=identity("bob"))
            with no_more_files(server), psycopg.connect(postgres_url, autocommit=True) as operator:
                operator.execute(
                    "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
                told = await until_told(stub, lambda error: "too many open files" in str(error))
                assert error_info(told).reason == "STORE_UNAVAILABLE"
                assert "ulimit -n" in str(told.details())
                assert "disk" not in str(told.details())
            await until_told(stub, lambda error: error is None)
