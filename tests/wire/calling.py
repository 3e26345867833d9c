"""Calling with bad requests, and reading the errors."""

from __future__ import annotations

from base64 import b64encode
from typing import Any
from urllib.parse import quote

import grpc
from google.protobuf.message import Message

from support.pair import Metadata, Pair, identity
from support.refusals import error_info, failure
from support.teams import Team

ALICE = identity("alice")
TRAILERS_LIMIT = 8 * 1024

GARBAGE = {
    "no message": b"\xff\xff\xff\xff",
    "cut off": b"\x0a\x7fabc",
    "text that is not UTF-8": b"\x0a\x02\xff\xfe\x12\x02\xff\xfe",
    "an endless number": b"\x08" + b"\xff" * 20,
    "field number zero": b"\x00\x01",
    "a group that does not end": b"\x0b",
}
LARGE = b"\xfa\xff\xff\x7f\x80\x80\xc0\x02" + b"x" * (5 * 1024 * 1024)


async def error_of(
    pair: Pair, method: str, request: Message, metadata: Metadata = ALICE
) -> grpc.aio.AioRpcError:
    """The error of a call, of either service, with what every error must have."""
    service = "messaging" if "messaging" in request.DESCRIPTOR.full_name else "tasks"
    call: Any = getattr(getattr(pair, service), method)(request, metadata=metadata)
    error = await failure(call.read() if hasattr(call, "read") else call)
    assert error_info(error).domain == "dovetail.dev"
    assert trailers_size(error) < TRAILERS_LIMIT
    return error


async def answer_to(
    channel: grpc.aio.Channel, path: str, stream: bool, payload: bytes, metadata: Metadata = ()
) -> grpc.aio.AioRpcError:
    """The error with which a method answers these bytes."""

    def same(content: bytes) -> bytes:
        return content

    if stream:
        call: Any = channel.unary_stream(path, same, same)(payload, metadata=metadata)
        return await failure(call.read())
    return await failure(channel.unary_unary(path, same, same)(payload, metadata=metadata))


def trailers_size(error: grpc.aio.AioRpcError) -> int:
    """What the details of an error take of a peer's room for them."""
    trailers = dict(error.trailing_metadata() or ())
    text = len(quote(str(error.details())))
    return text + sum(len(key) + len(b64encode(_bytes(trailers[key]))) for key in trailers)


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


async def everything(pair: Pair) -> tuple[bytes, ...]:
    """All that the team has."""
    nobody = Team(pair).caller()
    answers = (await nobody.list_agents(), await nobody.list_messages(), await nobody.page())
    return tuple(answer.SerializeToString(deterministic=True) for answer in answers)
