"""Limits of a server, each by itself and over a real connection: what is within, what is beyond."""

from __future__ import annotations

import asyncio
import base64
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

from dovetail.messaging.v1 import messaging_pb2 as m
from dovetail.server.messaging.readers import STREAMS_PER_CALLER_MAX
from dovetail.server.runtime import PENDING_MAX, RECEIVE_BYTES_MAX, STREAMS_MAX
from support.http2 import RawConnection, message, raw_connection
from support.pair import Pair
from support.refusals import error_info, failure
from support.teams import Team
from wire.test_large_requests import padded

SEND = "/dovetail.messaging.v1.MessagingService/SendMessage"
SUBSCRIBE = "/dovetail.messaging.v1.MessagingService/SubscribeInbox"
BEYOND = 500
TAKEN_AT_ONCE = 50
"""Calls that the server may have taken already when its loop stands still; there are a few."""


def same(content: bytes) -> bytes:
    """What travels is left as it is."""
    return content


def streams(count: int) -> list[int]:
    """The numbers of a client's first streams on a connection."""
    return list(range(1, 2 * count, 2))


def reason(raw: RawConnection, stream: int) -> str:
    """The reason in the ErrorInfo with which a stream ended."""
    details = raw.answers[stream]["grpc-status-details-bin"]
    status = status_pb2.Status.FromString(base64.b64decode(details + "=" * (-len(details) % 4)))
    info = error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(info) for detail in status.details)
    return info.reason


async def test_a_request_up_to_the_receive_limit_gets_dovetails_answer(sqlite_pair: Pair) -> None:
    call: Any = sqlite_pair.messaging_channel.unary_unary(SEND, same, same)
    within = await failure(call(padded(RECEIVE_BYTES_MAX)))
    assert error_info(within).reason == "REQUEST_TOO_LARGE"
    beyond = await failure(call(padded(RECEIVE_BYTES_MAX + 1)))
    assert beyond.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert not dict(beyond.trailing_metadata() or ()).get("grpc-status-details-bin")


async def test_a_caller_has_a_thousand_streams_and_others_have_theirs(sqlite_pair: Pair) -> None:
    await Team(sqlite_pair).known("bob", "eve")
    async with raw_connection(sqlite_pair.messaging_address) as raw:
        *within, beyond = streams(STREAMS_PER_CALLER_MAX + 1)
        for stream in within:
            raw.call(stream, SUBSCRIBE, ("dovetail-agent", "bob"))
            raw.finish(stream, message(b""))
        for stream in within:
            await raw.until_begun(stream)
        assert not raw.ended
        raw.call(beyond, SUBSCRIBE, ("dovetail-agent", "bob"))
        raw.finish(beyond, message(b""))
        await raw.until_ended(beyond)
        assert reason(raw, beyond) == "TOO_MANY_STREAMS"
        eve = Team(sqlite_pair).caller("eve")
        await eve.send("eve")
        assert len(await eve.backlog()) == 1
        raw.reset(within[0])
        await _until_one_more(raw, beyond)


async def _until_one_more(raw: RawConnection, last: int) -> None:
    """Open streams until one is let in, once the server has noticed that another has ended."""
    async with asyncio.timeout(20):
        while True:
            last += 2
            raw.call(last, SUBSCRIBE, ("dovetail-agent", "bob"))
            raw.finish(last, message(b""))
            await raw.until_begun(last)
            if "grpc-status" not in raw.answers[last]:
                return


async def test_calls_beyond_those_that_may_wait_to_be_accepted_are_cancelled(
    sqlite_pair: Pair,
) -> None:
    """The test stands still with the server's loop, so that nothing is accepted meanwhile."""
    address = sqlite_pair.messaging_address
    ended = await _while_standing_still(_call_too_often(address))
    assert set(ended) == {str(grpc.StatusCode.CANCELLED.value[0])}
    assert BEYOND - TAKEN_AT_ONCE <= len(ended) <= BEYOND
    await _until_accepted(sqlite_pair)


async def _until_accepted(pair: Pair) -> None:
    """Call until a call is served: those that were accepted with it go first."""
    async with asyncio.timeout(60):
        while True:
            try:
                await pair.messaging.ListAgents(m.ListAgentsRequest(), timeout=60)
                return
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.CANCELLED:
                    raise


async def _while_standing_still(work: Any) -> list[str]:
    """Do work on another loop, in a thread, while this loop does nothing."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


async def _call_too_often(address: str) -> list[str]:
    """Begin more calls than may wait; return the statuses of those that are ended at once."""
    count, each = PENDING_MAX + BEYOND, STREAMS_MAX - 1_000
    async with AsyncExitStack() as stack:
        raws: list[RawConnection] = []
        for first in range(0, count, each):
            raw = await stack.enter_async_context(raw_connection(address))
            for stream in streams(min(each, count - first)):
                raw.call(stream, SEND)
            raws.append(raw)
        async with asyncio.timeout(60):
            while sum(len(raw.ended) for raw in raws) < BEYOND - TAKEN_AT_ONCE:  # noqa: ASYNC110 - of all
                await asyncio.sleep(0.01)
        return [answer["grpc-status"] for raw in raws for answer in raw.answers.values()]
