"""Streams that nobody reads: how many they may be, what they hold, and that they stop no others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from dovetail.messaging.v1 import messaging_pb2 as pb
from dovetail.server.access.caller import Caller
from dovetail.server.access.rights import Reach
from dovetail.server.errors import ResourceExhaustedError
from dovetail.server.readers import LARGE_RESPONSES_MAX, STREAMS_PER_CALLER_MAX, Readers
from support.http2 import RawConnection, message, raw_connection
from support.memory import Memory
from support.pair import Pair, identity, running_pair
from support.servers import serving
from support.teams import Team

SUBSCRIBE = "/dovetail.messaging.v1.MessagingService/SubscribeInbox"
LARGE = "x" * 1_000_000
STALL_SECONDS = 0.3
STREAMS = 100
MEBIBYTES_MAX = 120
"""What all of them may hold; each with a large response of its own they would hold 210."""


@pytest.fixture
async def impatient_pair(sqlite_url: str) -> AsyncGenerator[Pair]:
    """Both services, which soon end a stream that others wait for."""
    async with running_pair(sqlite_url, stall_seconds=STALL_SECONDS) as pair:
        yield pair


def subscribe(raw: RawConnection, count: int) -> list[int]:
    """Open streams of bob's inbox, and never open their windows."""
    streams = [1 + 2 * number for number in range(count)]
    for stream in streams:
        raw.call(stream, SUBSCRIBE, ("dovetail-agent", "bob"))
        raw.finish(stream, message(b""))
    return streams


async def test_streams_that_are_not_read_do_not_keep_large_messages_from_others(
    impatient_pair: Pair,
) -> None:
    alice, bob = await Team(impatient_pair).known("alice", "bob")
    await alice.send("bob", body=LARGE)
    async with raw_connection(impatient_pair.messaging_address) as raw:
        streams = subscribe(raw, 2 * LARGE_RESPONSES_MAX)
        await raw.until_begun(streams[LARGE_RESPONSES_MAX - 1])
        (delivery,) = await bob.backlog()
        assert delivery.message.body == LARGE


async def test_who_keeps_nobody_waiting_may_take_its_time(impatient_pair: Pair) -> None:
    alice, bob = await Team(impatient_pair).known("alice", "bob")
    async with bob.inbox() as inbox:
        await inbox.until(pb.STREAM_MARK_CAUGHT_UP)
        for _ in range(3):
            await alice.send("bob", body=LARGE)
        await asyncio.sleep(2 * STALL_SECONDS)
        assert len(await inbox.take(3)) == 3


async def test_streams_that_are_not_read_hold_little(sqlite_url: str, tmp_path: Path) -> None:
    async with serving(sqlite_url, tmp_path) as servers, AsyncExitStack() as stack:
        await servers.register("alice", "bob")
        raw = await stack.enter_async_context(raw_connection(servers.messaging.address))
        streams = subscribe(raw, STREAMS)
        await raw.until_begun(streams[-1])
        memory = Memory(servers.messaging)
        async with memory.watched():
            for _ in range(3):
                request = pb.SendMessageRequest(recipient_ids=["bob"], body=LARGE)
                await servers.messaging_stub.SendMessage(request, metadata=identity("alice"))
            await memory.settled()
        assert memory.growth < MEBIBYTES_MAX


def test_a_caller_has_so_many_streams_and_others_have_theirs() -> None:
    readers = Readers()
    first = Caller(team_id="team", agent_id="bob", reach=Reach.ALL)
    other = Caller(team_id="team", agent_id="eve", reach=Reach.ALL)
    opened = [readers.stream(first) for _ in range(STREAMS_PER_CALLER_MAX)]
    for each in opened:
        each.__enter__()
    with pytest.raises(ResourceExhaustedError) as raised, readers.stream(first):
        pass
    assert raised.value.reason == "TOO_MANY_STREAMS"
    with readers.stream(other):
        pass
    opened[0].__exit__(None, None, None)
    with readers.stream(first):
        pass
