"""The RPCs of all services over the Connect protocol, passed on to the servers as they are.

There is no second API: the methods are read from the contract's descriptors, a request in bytes is
passed on in bytes, and an error comes back with the code, the text and the details that the server
gave it. Who calls is in the headers, as it is in gRPC's metadata.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import grpc
from connectrpc.code import Code
from connectrpc.codec import Codec
from connectrpc.errors import ConnectError, ErrorDetail
from connectrpc.method import IdempotencyLevel, MethodInfo, StreamType
from connectrpc.request import Headers, RequestContext
from connectrpc.server import ConnectASGIApplication, Endpoint
from google.protobuf import json_format
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import status_pb2
from protobuf.wkt import Any as AnyMessage

from dovetail.admin.v1 import admin_pb2
from dovetail.client.security import Metadata
from dovetail.messaging.v1 import messaging_pb2
from dovetail.tasks.v1 import tasks_pb2

FORWARDED = (
    "authorization",
    "dovetail-agent",
    "dovetail-agent-bin",
    "dovetail-team",
    "dovetail-team-bin",
    "x-request-id",
)
"""Headers that become metadata; all others are HTTP's own."""

BINARY = "-bin"
REQUEST_BYTES_MAX = 4 * 1024 * 1024 + 64 * 1024
"""A little more than servers take, which say of larger ones what is too large."""

UNARY_SECONDS_MAX = 120.0
"""How long a call may take whose caller sets no earlier deadline; a claim waits for 50 s."""

STOPPING = "the server of the page is stopping: the outcome is unknown"
"""What a call ends with whose channel was closed under it."""

DETAILS_KEY = "grpc-status-details-bin"
PLACES = {"messaging": (messaging_pb2, admin_pb2), "tasks": (tasks_pb2,)}
"""Which server serves which files of the contract. Both serve that of admins; one is enough."""

Context = RequestContext[Any, Any]
_CODES = {
    code: Code[code.name.replace("CANCELLED", "CANCELED")]
    for code in grpc.StatusCode
    if code is not grpc.StatusCode.OK
}


@dataclass(frozen=True, slots=True)
class Payload:
    """A request or response in bytes, and the class of what it is."""

    content: bytes
    kind: type[Message]


class BinaryCodec(Codec[Payload, Payload]):
    """Leaves requests and responses as they are: the server decodes them."""

    def name(self) -> str:
        return "proto"

    def encode(self, message: Payload) -> bytes:
        return message.content

    def decode(self, data: bytes | bytearray, message_class: type[Payload]) -> Payload:
        return Payload(bytes(data), cast("type[Message]", message_class))


class JsonCodec(Codec[Payload, Payload]):
    """JSON as Protobuf defines it, for people who try an RPC by hand."""

    def name(self) -> str:
        return "json"

    def encode(self, message: Payload) -> bytes:
        decoded = message.kind.FromString(message.content)
        return json_format.MessageToJson(decoded, indent=None).encode()

    def decode(self, data: bytes | bytearray, message_class: type[Payload]) -> Payload:
        kind = cast("type[Message]", message_class)
        try:
            parsed = json_format.Parse(bytes(data), kind())
        except (json_format.ParseError, UnicodeDecodeError, DecodeError, RecursionError) as error:
            raise ConnectError(
                Code.INVALID_ARGUMENT, f"the request is no such JSON: {error}"
            ) from None
        return Payload(parsed.SerializeToString(), kind)


class Forwarding(ConnectASGIApplication[Mapping[str, grpc.aio.Channel]]):
    """The application: every RPC of the contract, at the paths that Connect gives them."""

    def __init__(self, channels: Mapping[str, grpc.aio.Channel]) -> None:
        """Pass calls on to these servers, by the names in `PLACES`."""
        super().__init__(  # pyright: ignore[reportUnknownMemberType] - it leaves types open
            service=channels,
            endpoints=_endpoints,
            codecs=(BinaryCodec(), JsonCodec()),
            read_max_bytes=REQUEST_BYTES_MAX,
        )

    @property
    def path(self) -> str:
        """Where it is: at the root, beside the page."""
        return ""


def _methods() -> Iterator[tuple[str, str, MethodDescriptor]]:
    """Each RPC: its path, the name of its server, and what it is."""
    for place, contract in PLACES.items():
        for file in contract:
            for service in file.DESCRIPTOR.services_by_name.values():
                for method in service.methods:
                    yield f"/{service.full_name}/{method.name}", place, method


def paths() -> frozenset[str]:
    """The paths of all RPCs."""
    return frozenset(path for path, _, _ in _methods())


def _endpoints(channels: Mapping[str, grpc.aio.Channel]) -> dict[str, Any]:
    return {path: _endpoint(channels[place], path, method) for path, place, method in _methods()}


def _endpoint(channel: grpc.aio.Channel, path: str, method: MethodDescriptor) -> Any:
    streams = method.server_streaming
    info: MethodInfo[Any, Any] = MethodInfo(
        name=method.name,
        service_name=method.containing_service.full_name,
        input=GetMessageClass(method.input_type),
        output=GetMessageClass(method.output_type),
        idempotency_level=IdempotencyLevel.UNKNOWN,  # So no RPC is made by GET.
        stream_type=StreamType.SERVER_STREAM if streams else StreamType.UNARY,
    )
    make: Callable[..., Any] = channel.unary_stream if streams else channel.unary_unary
    call = make(path, None, None)
    if streams:
        return Endpoint.server_stream(info, _streaming(call, info.output))
    return Endpoint.unary(info, _unary(call, info.output))


def _unary(method: Any, kind: type[Message]) -> Callable[[Payload, Context], Any]:
    async def forward(request: Payload, context: Context) -> Payload:
        seconds = min(UNARY_SECONDS_MAX, _seconds_left(context) or UNARY_SECONDS_MAX)
        call = method(
            request.content, metadata=metadata_of(context.request_headers), timeout=seconds
        )
        try:
            return Payload(await call, kind)
        except grpc.aio.AioRpcError as error:
            raise connect_error(error) from None
        except asyncio.CancelledError:
            if not call.cancelled():
                raise
            raise ConnectError(Code.UNAVAILABLE, STOPPING) from None
        finally:
            call.cancel()  # Where the caller has left; else it does nothing.

    return forward


def _streaming(method: Any, kind: type[Message]) -> Callable[[Payload, Context], Any]:
    async def forward(request: Payload, context: Context) -> AsyncIterator[Payload]:
        call = method(
            request.content,
            metadata=metadata_of(context.request_headers),
            timeout=_seconds_left(context),
        )
        try:
            async for content in call:
                yield Payload(content, kind)
        except grpc.aio.AioRpcError as error:
            raise connect_error(error) from None
        except asyncio.CancelledError:
            if not call.cancelled():  # The browser has left.
                raise
            raise ConnectError(Code.UNAVAILABLE, STOPPING) from None
        finally:
            call.cancel()

    return forward


def _seconds_left(context: Context) -> float | None:
    left = context.timeout_ms
    return None if left is None else max(left / 1000, 0.001)


def metadata_of(headers: Headers) -> Metadata:
    """The metadata that names the caller. Raises ConnectError for what cannot be metadata."""
    found: list[tuple[str, str | bytes]] = []
    for key in FORWARDED:
        read = _decoded if key.endswith(BINARY) else _printable
        found += [(key, read(key, value)) for value in headers.getall(key)]
    return tuple(found)


def _decoded(key: str, value: str) -> bytes:
    try:
        return base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise _bad_header(key, "it is not base64") from None


def _printable(key: str, value: str) -> str:
    if not all(" " <= character <= "~" for character in value):
        raise _bad_header(key, "it has characters that metadata cannot have")
    return value


def _bad_header(key: str, fault: str) -> ConnectError:
    return ConnectError(Code.INVALID_ARGUMENT, f"header {key}: {fault}")


def connect_error(error: grpc.aio.AioRpcError) -> ConnectError:
    """The error of a server as Connect has it: the same code, text and details."""
    details: list[ErrorDetail] = []
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            status = status_pb2.Status.FromString(value)
            details += [
                ErrorDetail(AnyMessage(type_url=each.type_url, value=each.value))
                for each in status.details
            ]
    return ConnectError(_CODES[error.code()], error.details() or "", details)
