"""The RPCs of all services over the Connect protocol, passed on to the servers as they are.

There is no second API: the methods are read from the contract's descriptors, a request in bytes is
passed on in bytes, and an error comes back with the code, the text and the details that the server
gave it. Who calls is in the headers, as it is in gRPC's metadata.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
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
from protobuf.wkt import Any as AnyMessage

from dovetail.admin.v1 import admin_pb2
from dovetail.client.errors import full_status
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

JSON = "json"
"""JSON as Protobuf defines it, for people who try an RPC by hand."""

JSON_BYTES_MAX = 256 * 1024
"""Reading takes a second for each 2 MB."""

KINDS = tuple(f"application/{kind}" for kind in ("proto", JSON, "connect+proto", f"connect+{JSON}"))
"""The types of content that the Connect protocol has."""

UNARY_SECONDS_MAX = 120.0
"""How long a call may take whose caller sets no earlier deadline; a claim waits for 50 s."""

STOPPING = "the server of the page is stopping: the outcome is unknown"
"""What calls end with while the channels are closed."""

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


@dataclass(frozen=True, slots=True)
class RawCodec(Codec[Payload, Payload]):
    """Leaves requests and responses as they are: decoding may take long, and runs on the loop."""

    content_type: str

    def name(self) -> str:
        return self.content_type

    def encode(self, message: Payload) -> bytes:
        return message.content

    def decode(self, data: bytes | bytearray, message_class: type[Payload]) -> Payload:
        return Payload(bytes(data), cast("type[Message]", message_class))


@dataclass(kw_only=True, slots=True)
class Upstream:
    """The channels to the servers, by the names in `PLACES`."""

    channels: Mapping[str, grpc.aio.Channel]
    is_closing: bool = False

    async def close(self) -> None:
        """End all calls, and close the channels."""
        self.is_closing = True
        for channel in self.channels.values():
            await channel.close()


class Forwarding(ConnectASGIApplication[Upstream]):
    """The application: every RPC of the contract, at the paths that Connect gives them."""

    def __init__(self, upstream: Upstream) -> None:
        """Pass calls on to these servers."""
        super().__init__(  # pyright: ignore[reportUnknownMemberType] - it leaves types open
            service=upstream,
            endpoints=_endpoints,
            codecs=(RawCodec("proto"), RawCodec(JSON)),
            # None: gzip of many members takes seconds, on the event loop, before anyone is known.
            compressions=(),
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


def _endpoints(upstream: Upstream) -> dict[str, Any]:
    return {path: _endpoint(upstream, path, place, each) for path, place, each in _methods()}


def _endpoint(upstream: Upstream, path: str, place: str, method: MethodDescriptor) -> Any:
    streams = method.server_streaming
    info: MethodInfo[Any, Any] = MethodInfo(
        name=method.name,
        service_name=method.containing_service.full_name,
        input=GetMessageClass(method.input_type),
        output=GetMessageClass(method.output_type),
        idempotency_level=IdempotencyLevel.UNKNOWN,  # So no RPC is made by GET.
        stream_type=StreamType.SERVER_STREAM if streams else StreamType.UNARY,
    )
    channel = upstream.channels[place]
    make: Callable[..., Any] = channel.unary_stream if streams else channel.unary_unary
    route = _Route(upstream=upstream, method=make(path, None, None), response=info.output)
    if streams:
        return Endpoint.server_stream(info, route.stream)
    return Endpoint.unary(info, route.call)


@dataclass(frozen=True, kw_only=True)
class _Route:
    """One RPC on its way to its server."""

    upstream: Upstream
    method: Any
    response: type[Message]

    async def call(self, request: Payload, context: Context) -> Payload:
        """Pass on a call, and its response."""
        seconds = min(UNARY_SECONDS_MAX, _seconds_left(context) or UNARY_SECONDS_MAX)
        async with self._begun(request, context, seconds) as call:
            return await self._responded(await call, context)

    async def stream(self, request: Payload, context: Context) -> AsyncIterator[Payload]:
        """Pass on a call, and each of its responses when it comes."""
        async with self._begun(request, context, _seconds_left(context)) as call:
            async for content in call:
                yield await self._responded(content, context)

    @asynccontextmanager
    async def _begun(
        self, request: Payload, context: Context, seconds: float | None
    ) -> AsyncGenerator[Any]:
        """A call of the server, which ends with the block; its errors as those of Connect."""
        metadata = metadata_of(context.request_headers)
        content = request.content
        if _is_json(context):
            content = await asyncio.to_thread(_from_json, request)
        call = self.method(content, metadata=metadata, timeout=seconds)
        try:
            yield call
        except grpc.aio.AioRpcError as error:
            raise connect_error(error) from None
        except asyncio.CancelledError:
            # The browser left, or its own deadline passed; or the channel was closed.
            if not self.upstream.is_closing:
                raise
            raise ConnectError(Code.UNAVAILABLE, STOPPING) from None
        finally:
            call.cancel()

    async def _responded(self, content: bytes, context: Context) -> Payload:
        if _is_json(context):
            content = await asyncio.to_thread(_to_json, content, self.response)
        return Payload(content, self.response)


def _is_json(context: Context) -> bool:
    kind = context.request_headers.get("content-type", "").partition(";")[0].strip()
    return kind.endswith(JSON)


def _from_json(request: Payload) -> bytes:
    """The bytes of a request that is JSON. Raises ConnectError."""
    size = len(request.content)
    if size > JSON_BYTES_MAX:
        fault = f"{size:,} bytes; JSON may have {JSON_BYTES_MAX:,}, binary requests 4 MiB"
        raise ConnectError(Code.RESOURCE_EXHAUSTED, fault)
    if not request.content.lstrip().startswith(b"{"):
        raise ConnectError(Code.INVALID_ARGUMENT, "the request is no JSON object")
    try:
        parsed = json_format.Parse(request.content, request.kind())
    except (json_format.ParseError, UnicodeDecodeError, DecodeError, RecursionError) as error:
        fault = f"the request is no such JSON: {error}"
        raise ConnectError(Code.INVALID_ARGUMENT, fault) from None
    return parsed.SerializeToString()


def _to_json(content: bytes, kind: type[Message]) -> bytes:
    return json_format.MessageToJson(kind.FromString(content), indent=None).encode()


def _seconds_left(context: Context) -> float | None:
    left = context.timeout_ms
    return None if left is None else max(left / 1000, 0.001)


def metadata_of(headers: Headers) -> Metadata:
    """The metadata that names the caller. Raises ConnectError for what cannot be metadata."""
    found: list[tuple[str, str | bytes]] = []
    for key in FORWARDED:
        read = _decoded if key.endswith(BINARY) else _printable
        values = headers.getall(key)
        if len(values) > 1:
            raise _bad_header(key, "it is given twice, and only one can be meant")
        found += [(key, read(key, value)) for value in values]
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
    status = full_status(error.trailing_metadata() or ())
    details = [
        ErrorDetail(AnyMessage(type_url=each.type_url, value=each.value)) for each in status.details
    ]
    return ConnectError(_CODES[error.code()], error.details() or "", details)
