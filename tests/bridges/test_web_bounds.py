"""The page's server against those who take connections, time and memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

import httpx2
import pytest

from dovetail.bridges.web.connections import HurriedProtocol
from dovetail.bridges.web.guard import Guard
from support.pair import Pair
from support.teams import Team
from support.waiting import until
from support.web import Web, as_agent, framed, serving

MESSAGING = "/dovetail.messaging.v1.MessagingService/"


class QuickProtocol(HurriedProtocol):
    """One that waits a moment for the head of a request."""

    head_seconds = 0.2
    connections_max = 20


@pytest.fixture
async def quick_web(sqlite_pair: Pair) -> AsyncGenerator[Web]:
    """The page of a server that waits for no request, and takes few connections."""
    addresses = (sqlite_pair.messaging_address, sqlite_pair.tasks_address)
    async with serving(*addresses, protocol=QuickProtocol) as each:
        yield each


@pytest.mark.parametrize("sent", [b"", b"POST / HTTP/1.1\r\nhost: x"], ids=["nothing", "a half"])
async def test_a_connection_without_a_request_ends(quick_web: Web, sent: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", quick_web.port)
    writer.write(sent)
    with suppress(ConnectionResetError):
        assert await reader.read() == b""
    writer.close()


async def test_a_stream_outlasts_that_also_if_it_was_asked_for_early(
    quick_web: Web, sqlite_pair: Pair
) -> None:
    await Team(sqlite_pair).known("ann")
    reader, writer = await asyncio.open_connection("127.0.0.1", quick_web.port)
    body, host = framed(b""), f"host: 127.0.0.1:{quick_web.port}"
    agent = as_agent("ann")["dovetail-agent-bin"]
    writer.write(
        f"GET /favicon.svg HTTP/1.1\r\n{host}\r\n\r\n"
        f"POST {MESSAGING}SubscribeInbox HTTP/1.1\r\n{host}\r\ndovetail-agent-bin: {agent}\r\n"
        f"content-type: application/connect+proto\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        + body
    )
    await reader.readuntil(b"connect+proto")
    await asyncio.sleep(2 * QuickProtocol.head_seconds)  # Nothing announces that it stays.
    await Team(sqlite_pair).caller("ann").send("ann", body="are you there?")
    async with asyncio.timeout(20):
        await reader.readuntil(b"are you there?")
    writer.close()


async def test_connections_have_a_limit_and_others_their_turn(quick_web: Web) -> None:
    held = [
        await asyncio.open_connection("127.0.0.1", quick_web.port)
        for _ in range(QuickProtocol.connections_max)
    ]
    with pytest.raises(httpx2.TransportError):
        await quick_web.client.get("/")
    for _, writer in held:
        writer.close()

    async def is_served() -> bool:
        with suppress(httpx2.TransportError):
            return (await quick_web.client.get("/")).status_code == 200
        return False

    await until(is_served)


async def test_bodies_have_a_limit_together() -> None:
    taken: list[str] = []

    async def inside(scope: Any, receive: Any, send: Any) -> None:
        while (event := await receive())["type"] == "http.request":
            pass
        taken.append(event["type"])

    async def endless() -> Any:
        return {"type": "http.request", "body": b"x" * 1_000_000, "more_body": True}

    async def send(event: Any) -> None:
        raise AssertionError(event)

    guard = Guard(inside, ["localhost:1"])
    scope = {"type": "http", "method": "POST", "headers": [(b"host", b"localhost:1")]}
    for _ in range(2):  # What one has held is free for the next.
        async with asyncio.timeout(20):
            await guard(scope, endless, send)
    assert taken == ["http.disconnect"] * 2


async def test_a_body_that_does_not_come_whole_is_not_waited_for() -> None:
    heard: list[str] = []

    async def inside(scope: Any, receive: Any, send: Any) -> None:
        heard.append((await receive())["type"])

    async def never() -> Any:
        await asyncio.Event().wait()

    async def send(event: Any) -> None:
        raise AssertionError(event)

    scope = {"type": "http", "method": "POST", "headers": [(b"host", b"localhost:1")]}
    await Guard(inside, ["localhost:1"], body_seconds=0.01)(scope, never, send)
    assert heard == ["http.disconnect"]
