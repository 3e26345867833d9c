"""Large requests: what one caller's hold, others must not wait for without end."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from dovetail.server.edge.intake import LARGE_BYTES_TOTAL, REQUEST_BYTES_MAX, SMALL_BYTES_MAX
from dovetail.tasks.v1 import tasks_pb2 as t
from store.opened import held
from support.pair import Pair, identity, running_pair
from support.refusals import error_info, failure
from support.teams import Team
from support.waiting import until
from wire.calling import ALICE, answer_to
from wire.filled import METHODS

UNKNOWN_FIELD = b"\xfa\xff\xff\x7f"
LATE_SECONDS = 3.0
DESCRIPTION = "x" * (255 * 1024)


@pytest.fixture
async def hurried_pair(sqlite_url: str) -> AsyncGenerator[Pair]:
    """Both services, which do not wait long for a request."""
    async with running_pair(sqlite_url, request_seconds=LATE_SECONDS) as pair:
        yield pair


def padded(size: int) -> bytes:
    """A request of this size, of a field that the contract does not know."""
    length = size - 8
    spread = (length >> shift & 127 | (128 if shift < 21 else 0) for shift in (0, 7, 14, 21))
    return UNKNOWN_FIELD + bytes(spread) + b"x" * length


def waits(path: str) -> bool:
    """Whether a call of this method may last as long as its caller wants."""
    method = METHODS[path]
    return method.server_streaming or "max_wait" in method.input_type.fields_by_name


@pytest.mark.parametrize("path", sorted(path for path in METHODS if waits(path)))
async def test_a_call_that_waits_holds_no_large_request(sqlite_pair: Pair, path: str) -> None:
    """Four of them would keep every other large request out for as long as they wait."""
    await Team(sqlite_pair).known("alice")
    tasks = path.startswith("/dovetail.tasks.")
    channel = sqlite_pair.tasks_channel if tasks else sqlite_pair.messaging_channel
    stream = METHODS[path].server_streaming
    error = await answer_to(channel, path, stream, padded(SMALL_BYTES_MAX + 1), ALICE)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    info = error_info(error)
    assert (info.reason, info.metadata["most"]) == ("REQUEST_TOO_LARGE", str(SMALL_BYTES_MAX))


def kept_requests(size: int) -> set[str]:
    """The types of the requests of at least this size that still exist in this process."""
    found = [each for each in gc.get_objects() if isinstance(each, Message)]
    return {type(each).__name__ for each in found if each.ByteSize() >= size}


async def test_a_request_is_freed_with_its_call(sqlite_pair: Pair) -> None:
    """Whatever comes of the call, and without the collector of cycles, which may come late."""
    gc.collect()
    gc.disable()
    try:
        for path, method in METHODS.items():
            tasks = path.startswith("/dovetail.tasks.")
            channel = sqlite_pair.tasks_channel if tasks else sqlite_pair.messaging_channel
            kind = channel.unary_stream if method.server_streaming else channel.unary_unary
            call: Any = kind(path)(padded(2_000), metadata=identity("nobody"), timeout=0.2)
            with suppress(grpc.RpcError):
                await (call.read() if method.server_streaming else call)
            call.cancel()
            del call
        await until(lambda: not kept_requests(2_000))
    finally:
        gc.enable()


async def test_large_requests_share_their_room_and_small_ones_pass(hurried_pair: Pair) -> None:
    await Team(hurried_pair).known("alice", "bob")
    batch = t.BatchCreateTasksRequest(
        requests=[t.CreateTaskRequest(title="T", description=DESCRIPTION) for _ in range(16)]
    )
    size = batch.ByteSize()
    count = LARGE_BYTES_TOTAL // size
    assert count * size + SMALL_BYTES_MAX > LARGE_BYTES_TOTAL
    assert size <= REQUEST_BYTES_MAX
    one_more = t.CreateTaskRequest(title="T", description="x" * (256 * 1024))
    small = t.CreateTaskRequest(title="T")
    async with held(hurried_pair.tasks_store, "default"):
        running = [
            asyncio.ensure_future(hurried_pair.tasks.BatchCreateTasks(batch, metadata=ALICE))
            for _ in range(count)
        ]
        writers = hurried_pair.tasks_store._writers
        await until(lambda: writers._waiting >= count)
        late = await failure(hurried_pair.tasks.CreateTask(one_more, metadata=ALICE))
        assert error_info(late).reason == "REQUEST_LATE"
        passing = asyncio.ensure_future(hurried_pair.tasks.CreateTask(small, metadata=ALICE))
        await hurried_pair.tasks.ListTasks(t.ListTasksRequest(), metadata=ALICE)
        assert not any(call.done() for call in running)
    await asyncio.gather(*running)
    await passing
    await hurried_pair.tasks.CreateTask(one_more, metadata=ALICE)
