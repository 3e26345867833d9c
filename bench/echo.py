"""A program: the bare grpc.aio server to which everything is compared.

`python -m bench.echo HOST:PORT` returns each request, repeats a page of an inbox as a stream, and
passes requests on to open streams. It stores nothing, and shares with Dovetail only message types,
and how `dovetail serve` starts a server: event loop, limits, options of the server.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias, cast
from unittest.mock import patch

import grpc

from dovetail.messaging.v1 import messaging_pb2 as pb
from dovetail.server import main as starter
from dovetail.server.config import ServerConfig
from dovetail.server.runtime import OPTIONS

SERVICE = "bench.Echo"
TIMES_KEY = "bench-times"
Request: TypeAlias = pb.SendMessageRequest
Page: TypeAlias = pb.SubscribeInboxResponse


class EchoStub:
    """Calls the echo server."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """Call through a channel."""
        self.Echo: Callable[..., Awaitable[Request]] = _method(channel, "Echo", Request, Request)
        self.Repeat: Callable[..., AsyncIterator[Page]] = _method(channel, "Repeat", Page, Page)
        self.Listen: Callable[..., AsyncIterator[Page]] = _method(channel, "Listen", Request, Page)
        self.Tell: Callable[..., Awaitable[Request]] = _method(channel, "Tell", Page, Request)


def _method(channel: Any, name: str, request: Any, response: Any) -> Any:
    kind = channel.unary_stream if name in ("Repeat", "Listen") else channel.unary_unary
    return kind(
        f"/{SERVICE}/{name}",
        request_serializer=request.SerializeToString,
        response_deserializer=response.FromString,
    )


class Echo:
    """The handlers, and the queues of the open streams."""

    def __init__(self) -> None:
        """Begin without streams."""
        self._listeners: set[asyncio.Queue[Page]] = set()

    async def echo(self, request: Request, _: object) -> Request:
        """Return the request."""
        return request

    async def repeat(self, request: Page, context: Any) -> AsyncIterator[Page]:
        """Stream the request as often as the metadata says."""
        for _ in range(int(dict(context.invocation_metadata())[TIMES_KEY])):
            yield request

    async def listen(self, _: Request, __: object) -> AsyncIterator[Page]:
        """Stream a mark, and then what `Tell` is told."""
        queue = asyncio.Queue[Page]()
        self._listeners.add(queue)
        try:
            yield Page(mark=pb.STREAM_MARK_CAUGHT_UP)
            while True:
                yield await queue.get()
        finally:
            self._listeners.discard(queue)

    async def tell(self, request: Page, _: object) -> Request:
        """Pass the request on to all open streams."""
        for queue in self._listeners:
            queue.put_nowait(request)
        return Request()


async def serve(config: ServerConfig, *_: object) -> None:
    """Serve until the process is ended."""
    server = grpc.aio.server(options=(*OPTIONS, ("grpc.so_reuseport", 0)))
    echo, unary, stream = Echo(), "unary_unary", "unary_stream"
    methods = {
        "Echo": (unary, echo.echo, Request, Request),
        "Repeat": (stream, echo.repeat, Page, Page),
        "Listen": (stream, echo.listen, Request, Page),
        "Tell": (unary, echo.tell, Page, Request),
    }
    handlers = {
        name: getattr(grpc, f"{kind}_rpc_method_handler")(
            cast(Any, handler), request.FromString, response.SerializeToString
        )
        for name, (kind, handler, request, response) in methods.items()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_insecure_port(config.listen)
    await server.start()
    await server.wait_for_termination()


def _ready(*_: str) -> None:
    """Nobody waits to be told: a caller tries until it is connected."""


def main(address: str) -> None:
    """Run as `dovetail serve` does, but serve this."""
    config = ServerConfig(service="messaging", store="", listen=address)
    with patch.object(starter, "serve", serve):
        starter.run(config, _ready)


if __name__ == "__main__":
    main(sys.argv[1])
