"""Subscribers that do not read: they cost the server bounded memory, and nobody else anything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack
from itertools import cycle, islice

import grpc
import pytest

from dovetail.messaging.v1 import messaging_pb2 as pb
from dovetail.messaging.v1 import messaging_pb2_grpc as pb_grpc
from support.memory import Memory
from support.pair import identity
from support.processes import ServerProcess
from support.servers import channel
from support.soak import SOAK, full_or_tenth

pytestmark = pytest.mark.soak

MESSAGES = full_or_tenth(100_000)
STREAMS = full_or_tenth(1_000)
READ = MESSAGES if SOAK else 1_000
MEBIBYTES = 150 if SOAK else 30
BODY = "x" * 200
SENDERS = 64
CHANNELS = 10
# What is not read stays at the server: gRPC would else take megabytes ahead for each reader.
SMALL_WINDOWS = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65_536))

Stream = grpc.aio.UnaryStreamCall[pb.SubscribeInboxRequest, pb.SubscribeInboxResponse]


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[ServerProcess]:
    """A messaging server with a full inbox that was read once."""
    folder = tmp_path_factory.mktemp("idle")
    store_url = f"sqlite:///{folder}/store.db"
    with ServerProcess("messaging", store_url, folder / "messaging.log") as server:
        async with channel(server) as connection:
            stub = pb_grpc.MessagingServiceStub(connection)
            await stub.RegisterAgent(pb.RegisterAgentRequest(), metadata=identity("reader"))
            await _fill(stub)
            await _read_all(stub, _subscribe(stub), MESSAGES)
        yield server


@pytest.mark.parametrize(
    ("streams", "mebibytes", "read"),
    [(1, 50, MESSAGES), (STREAMS, MEBIBYTES, READ)],
    ids=["one", "many"],
)
async def test_streams_that_do_not_read_stay_within_their_memory_and_then_read_all_in_order(
    server: ServerProcess,
    streams: int,
    mebibytes: int,
    read: int,
    report_figures: Callable[[str], None],
) -> None:
    memory = Memory(server)
    async with AsyncExitStack() as connections, memory.watched():
        channels = [channel(server, *SMALL_WINDOWS) for _ in range(min(streams, CHANNELS))]
        stubs = [
            pb_grpc.MessagingServiceStub(await connections.enter_async_context(each))
            for each in channels
        ]
        opened = [(stub, _subscribe(stub)) for stub in islice(cycle(stubs), streams)]
        await asyncio.gather(*(stream.initial_metadata() for _, stream in opened))
        await memory.settled()
        idle = memory.growth
        async with asyncio.TaskGroup() as reading:
            for stub, stream in opened:
                reading.create_task(_read_all(stub, stream, read))
    report_figures(
        f"{streams:,} streams on an inbox of {MESSAGES:,} messages: the server grew by"
        f" {idle:.1f} MiB while none read, by {memory.growth:.1f} MiB in all"
    )
    assert memory.growth <= mebibytes


async def _fill(stub: pb_grpc.MessagingServiceAsyncStub) -> None:
    numbers = iter(range(MESSAGES))

    async def send(sender_id: str) -> None:
        for _ in numbers:
            request = pb.SendMessageRequest(recipient_ids=["reader"], body=BODY)
            await stub.SendMessage(request, metadata=identity(sender_id))

    async with asyncio.TaskGroup() as sending:
        for number in range(SENDERS):
            sending.create_task(send(f"sender-{number}"))


def _subscribe(stub: pb_grpc.MessagingServiceAsyncStub, after_sequence: int = 0) -> Stream:
    request = pb.SubscribeInboxRequest(after_sequence=after_sequence)
    return stub.SubscribeInbox(request, metadata=identity("reader"))


async def _read_all(stub: pb_grpc.MessagingServiceAsyncStub, stream: Stream, messages: int) -> None:
    """Read so many messages; fails on a gap. Goes on after the cursor where the store was busy."""
    through = 0
    while through < messages:
        try:
            response = await stream.read()
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE:
                raise
            stream = _subscribe(stub, through)
            continue
        assert isinstance(response, pb.SubscribeInboxResponse)
        sequences = [delivery.receipt.sequence for delivery in response.deliveries]
        assert sequences == list(range(through + 1, response.through_sequence + 1))
        through = response.through_sequence
    stream.cancel()
