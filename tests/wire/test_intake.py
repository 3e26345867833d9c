"""Requests are read after their caller is known, within a time and in bounds."""

from __future__ import annotations

import asyncio
import gzip
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest

from dovetail.server.edge.grpc_release import is_sound
from dovetail.server.edge.intake import READ_SECONDS, READS_MAX
from dovetail.server.runtime import RECEIVE_BYTES_MAX
from support.http2 import MAX_CONCURRENT_STREAMS, message, raw_connection
from support.pair import Pair, running_pair
from support.refusals import error_info, failure

SEND = "/dovetail.messaging.v1.MessagingService/SendMessage"
SUBSCRIBE = "/dovetail.messaging.v1.MessagingService/SubscribeInbox"
CREATE = "/dovetail.tasks.v1.TaskService/BatchCreateTasks"
LATE_SECONDS = 0.3
WINDOW_BYTES = 64 * 1024
OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)


@pytest.fixture(scope="module")
async def open_pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Pair]:
    """Both services, which ask for no token and do not wait long for a request."""
    store = f"sqlite:///{tmp_path_factory.mktemp('intake')}/store.db"
    async with running_pair(store, request_seconds=LATE_SECONDS) as pair:
        yield pair


@pytest.fixture(scope="module")
async def closed_pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Pair]:
    """Both services, which ask for tokens."""
    folder: Path = tmp_path_factory.mktemp("intake")
    store, admin = f"sqlite:///{folder}/store.db", folder / "admin.token"
    async with running_pair(store, credentials=True, admin_token_file=admin) as pair:
        yield pair


def same(content: bytes) -> bytes:
    """What travels is left as it is."""
    return content


async def nothing() -> AsyncIterator[bytes]:
    """A call's requests: none."""
    for payload in ():
        yield payload


async def never() -> AsyncIterator[bytes]:
    """A call's requests: one that does not come."""
    await asyncio.Event().wait()
    yield b""


@pytest.mark.parametrize("path", [SEND, SUBSCRIBE])
async def test_a_call_without_a_request_is_refused(open_pair: Pair, path: str) -> None:
    call: Any = open_pair.messaging_channel.stream_stream(path, same, same)(nothing())
    error = await failure(call.read())
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error_info(error).reason == "MALFORMED_REQUEST"
    assert "without a request" in str(error.details())


@pytest.mark.parametrize("path", [SEND, SUBSCRIBE])
async def test_a_request_that_does_not_come_ends_its_call(open_pair: Pair, path: str) -> None:
    call: Any = open_pair.messaging_channel.stream_stream(path, same, same)(never())
    error = await failure(call.read())
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert error_info(error).reason == "REQUEST_LATE"


@pytest.mark.parametrize("connections", [1, 6])
async def test_slow_senders_hold_up_no_other(sqlite_pair: Pair, connections: int) -> None:
    """More than are read at once in all, each with its body half sent."""
    async with AsyncExitStack() as stack:
        for _ in range(connections):
            address = sqlite_pair.messaging_address
            raw = await stack.enter_async_context(raw_connection(address))
            for stream in range(1, 2 * READS_MAX, 2):
                raw.call(stream, SEND)
                await raw.send_all(stream, message(b"\x0a" * 100, size=1_000))
        for _ in range(3):
            call: Any = sqlite_pair.messaging_channel.unary_unary(SEND, same, same)
            error = await failure(call(b"", timeout=READ_SECONDS / 2))
            assert error_info(error).reason == "INVALID_FIELDS"  # an empty message, read in time


async def test_a_request_that_stops_half_way_ends_its_call(open_pair: Pair) -> None:
    async with raw_connection(open_pair.messaging_address) as raw:
        raw.call(1, SEND)
        await raw.send_all(1, message(b"\x0a" * 500_000, size=1_000_000))
        await raw.until_ended(1)


@pytest.mark.parametrize("size", [RECEIVE_BYTES_MAX + 1, 2**32 - 1])
async def test_a_request_is_refused_by_the_length_that_it_says(open_pair: Pair, size: int) -> None:
    """Nothing more of it is read, and so held."""
    async with raw_connection(open_pair.messaging_address) as raw:
        raw.call(1, SEND)
        sent = await raw.send_all(1, message(b"\x0a" * 2_000_000, size=size))
        assert raw.answers[1]["grpc-status"] == str(grpc.StatusCode.RESOURCE_EXHAUSTED.value[0])
        assert sent <= WINDOW_BYTES


@pytest.mark.parametrize(
    ("version", "sound"),
    [
        *(("1.76.0", False), ("1.82.1", False), ("1.82.2", True), ("1.83.0", False)),
        *(("1.83.1", True), ("1.84.0", True), ("2.0.0rc1", True), ("unknown", True)),
    ],
)
def test_releases_of_grpcio_that_hold_requests_of_any_size_are_known(
    version: str, sound: bool
) -> None:
    assert is_sound(version) == sound


def test_the_tests_run_with_a_sound_release_of_grpcio() -> None:
    assert is_sound(grpc.__version__)


async def test_what_a_stranger_sends_is_not_read(closed_pair: Pair) -> None:
    """The server's windows never open for it: the most that it can send is the first one."""
    async with raw_connection(closed_pair.tasks_address) as raw:
        raw.call(1, CREATE)
        sent = await raw.send_all(1, message(b"\x0a\x00" * 2_000_000))
        assert sent <= WINDOW_BYTES


async def test_a_stranger_is_asked_for_a_token_whatever_it_sends(closed_pair: Pair) -> None:
    call: Any = closed_pair.tasks_channel.unary_unary(CREATE, same, same)
    for payload in (b"", b"\xff", b"\x0a\x00" * 2_000_000, b"x" * 5_000_000):
        error = await failure(call(payload))
        assert error_info(error).reason == "CREDENTIAL_REQUIRED"


async def test_a_compressed_request_is_refused(open_pair: Pair) -> None:
    call: Any = open_pair.messaging_channel.unary_unary(SEND, same, same)
    error = await failure(call(b"\x0a" * 1_000, compression=grpc.Compression.Gzip))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_compressed_bytes_are_never_unpacked(open_pair: Pair, encoding: str) -> None:
    """Refused at its headers, and so before what it unpacks to could be held."""
    bomb = gzip.compress(b"\0" * 4_000_000)
    async with raw_connection(open_pair.messaging_address) as raw:
        raw.call(1, SEND, ("grpc-encoding", encoding))
        await raw.until_ended(1)
        raw.call(3, SEND, ("grpc-encoding", encoding))
        await raw.send_all(3, message(bomb, compressed=True))
        await raw.until_ended(3)


async def test_a_connection_is_told_how_many_calls_it_may_have(open_pair: Pair) -> None:
    async with raw_connection(open_pair.messaging_address) as raw:
        assert raw.settings[MAX_CONCURRENT_STREAMS] == 10_000


async def test_each_of_5000_calls_at_once_is_answered_by_dovetail(closed_pair: Pair) -> None:
    """gRPC's own CANCELLED, beyond 1,000 that wait to be accepted, would say nothing."""
    answers: Counter[str] = Counter()

    async def call(channel: grpc.aio.Channel) -> None:
        error = await failure(channel.unary_unary(SEND, same, same)(b""))
        answers[error_info(error).reason] += 1

    address = closed_pair.messaging_address
    channels = [grpc.aio.insecure_channel(address, options=OWN_CONNECTION) for _ in range(10)]
    try:
        await asyncio.gather(*(call(channels[each % 10]) for each in range(5_000)))
    finally:
        for channel in channels:
            await channel.close()
    assert answers == {"CREDENTIAL_REQUIRED": 5_000}
