"""What no library sends: half a body, none, two, other lengths, odd headers, stray frames."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from random import Random

from fuzz.cases import Case
from fuzz.verdicts import judged_frames
from support.http2 import RawConnection, message, raw_connection

PATIENCE_SECONDS = 2.0
PAYLOAD_BYTES = 1_000_000
HELD_SECONDS = 30.0
HELD_MAX = 40
"""Calls at once, of each fuzzer, whose body does not come whole."""

DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL = 4, 8, 12, 13
Sending = Callable[[RawConnection, bytes], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Frames:
    """One way to send a call.

    `allowed` is what gRPC itself may answer, as it does before Dovetail is asked: INTERNAL where
    the headers are none of gRPC's, which no library sends.
    """

    send: Sending
    headers: tuple[tuple[str, str], ...] = ()
    replaced: tuple[tuple[str, str], ...] = ()
    allowed: int = 0
    is_http: bool = True
    """Whether it is HTTP/2 by its rules: what is not may end the connection."""


async def _whole(raw: RawConnection, payload: bytes) -> None:
    await _framed(raw, message(payload))


async def _framed(raw: RawConnection, framed: bytes) -> None:
    await raw.send_all(1, framed[:-1])
    raw.finish(1, framed[-1:])


async def _nothing(raw: RawConnection, payload: bytes) -> None:
    raw.finish(1, b"")


async def _twice(raw: RawConnection, payload: bytes) -> None:
    await raw.send_all(1, message(payload))
    await _whole(raw, payload)


async def _half_and_end(raw: RawConnection, payload: bytes) -> None:
    raw.send(1, message(payload, size=len(payload) + 10))
    raw.finish(1, b"")


async def _half_and_reset(raw: RawConnection, payload: bytes) -> None:
    raw.send(1, message(payload, size=len(payload) + 10))
    raw.reset(1)


async def _whole_and_reset(raw: RawConnection, payload: bytes) -> None:
    await _whole(raw, payload)
    raw.reset(1)


async def _huge(raw: RawConnection, payload: bytes) -> None:
    raw.send(1, message(payload, size=2**32 - 1))


async def _flagged(raw: RawConnection, payload: bytes) -> None:
    await _framed(raw, b"\x01" + message(payload)[1:])


async def _flagged_oddly(raw: RawConnection, payload: bytes) -> None:
    await _framed(raw, b"\xff" + message(payload)[1:])


async def _in_crumbs(raw: RawConnection, payload: bytes) -> None:
    for byte in message(payload)[:200]:
        raw.send(1, bytes((byte,)))
        raw.send(1, b"")
    await raw.send_all(1, message(payload)[200:])
    raw.finish(1, b"")


async def _stray(raw: RawConnection, payload: bytes) -> None:
    raw.finish(5, b"on a stream that nobody began")
    await _whole(raw, payload)


WAYS: dict[str, Frames] = {
    "whole": Frames(send=_whole),
    "no request": Frames(send=_nothing),
    "two requests": Frames(send=_twice),
    "half, then the end": Frames(send=_half_and_end),
    "half, then left": Frames(send=_half_and_reset),
    "whole, then left": Frames(send=_whole_and_reset),
    "4 GiB, so it says": Frames(send=_huge, allowed=RESOURCE_EXHAUSTED),
    "in crumbs": Frames(send=_in_crumbs),
    "flagged as compressed": Frames(send=_flagged),
    "flagged oddly": Frames(send=_flagged_oddly),
    "gzip": Frames(send=_whole, headers=(("grpc-encoding", "gzip"),), allowed=UNIMPLEMENTED),
    "an encoding that nobody knows": Frames(
        send=_whole, headers=(("grpc-encoding", "br-7"),), allowed=INTERNAL
    ),
    "no time": Frames(send=_whole, headers=(("grpc-timeout", "0n"),), allowed=DEADLINE_EXCEEDED),
    "little time": Frames(
        send=_whole, headers=(("grpc-timeout", "1m"),), allowed=DEADLINE_EXCEEDED
    ),
    "a time that is none": Frames(send=_whole, headers=(("grpc-timeout", "1x"),), allowed=INTERNAL),
    "all the time": Frames(send=_whole, headers=(("grpc-timeout", "99999999H"),)),
    "bytes that are not base64": Frames(
        send=_whole, headers=(("dovetail-agent-bin", "*!*"),), allowed=INTERNAL
    ),
    "much metadata": Frames(
        send=_whole, headers=(("x", "y" * 12_000),), allowed=RESOURCE_EXHAUSTED
    ),
    "no such method": Frames(
        send=_whole, replaced=((":path", "/nothing/Nothing"),), allowed=UNIMPLEMENTED
    ),
    "no path": Frames(send=_whole, replaced=((":path", ""),), allowed=UNIMPLEMENTED, is_http=False),
    "GET": Frames(send=_whole, replaced=((":method", "GET"),), is_http=False),
    "another type": Frames(
        send=_whole, replaced=(("content-type", "application/json"),), is_http=False
    ),
    "without te": Frames(send=_whole, replaced=(("te", "gzip"),), allowed=INTERNAL, is_http=False),
    "a stray frame": Frames(send=_stray, is_http=False),
}


class FrameSender:
    """Sends calls as frames to one server at a time."""

    def __init__(self, random: Random, addresses: dict[str, str]) -> None:
        self._random = random
        self._addresses = addresses

    async def send(self, case: Case) -> tuple[str, str]:
        """Send a call in some way; return the way's name and what came of it."""
        name = self._random.choice(list(WAYS))
        way = WAYS[name]
        outcome = "no answer"
        with suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
            async with (
                asyncio.timeout(PATIENCE_SECONDS),
                raw_connection(self._addresses[case.server]) as raw,
            ):
                raw.begin(1, headers(case, way))
                await way.send(raw, case.payload[:PAYLOAD_BYTES])
                await raw.until_ended_or_closing(1)
                outcome = _outcome(raw, way)
        return name, outcome

    async def hold(self, case: Case) -> None:
        """Begin calls whose bodies do not come, and stay until the server has ended them all."""
        with suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
            async with (
                asyncio.timeout(HELD_SECONDS),
                raw_connection(self._addresses[case.server]) as raw,
            ):
                streams = range(1, 2 * HELD_MAX, 2)
                for stream in streams:
                    raw.begin(stream, headers(case, WAYS["whole"]))
                    raw.send(stream, message(b"\x0a" * 100, size=4_000_000))
                for stream in streams:
                    await raw.until_ended_or_closing(stream)


def headers(case: Case, way: Frames) -> list[tuple[str, str]]:
    """The headers of a call, as this way has them."""
    found = {
        ":method": "POST",
        ":scheme": "http",
        ":path": case.path,
        ":authority": "test",
        "te": "trailers",
        "content-type": "application/grpc",
        **dict(way.replaced),
    }
    own = [(key, _ascii(value)) for key, value in case.persona.metadata]
    return [*found.items(), *own, *way.headers]


def _ascii(value: str | bytes) -> str:
    return value if isinstance(value, str) else base64.b64encode(value).decode().rstrip("=")


def _outcome(raw: RawConnection, way: Frames) -> str:
    if way.is_http and raw.closing and 1 not in raw.ended:
        return "WRONG connection closed"
    answer = raw.answers.get(1, {})
    if "grpc-status" not in answer:
        return "ended without a status"
    details = answer.get("grpc-status-details-bin", "")
    padded = details + "=" * (-len(details) % 4)
    return judged_frames(int(answer["grpc-status"]), base64.b64decode(padded), way.allowed)
