"""A program: the bare grpc.aio server to which everything is compared.

`python -m bench.echo HOST:PORT` returns each request, and repeats a page of an inbox as a stream.
It stores nothing, and shares only message types with Dovetail.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import grpc

from dovetail.messaging.v1 import messaging_pb2 as pb

SERVICE = "bench.Echo"
TIMES_KEY = "bench-times"


class EchoStub:
    """Calls the echo server."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """Call through a channel."""
        any_channel = cast(Any, channel)
        self.Echo: Callable[..., Awaitable[pb.SendMessageRequest]] = any_channel.unary_unary(
            f"/{SERVICE}/Echo",
            request_serializer=pb.SendMessageRequest.SerializeToString,
            response_deserializer=pb.SendMessageRequest.FromString,
        )
        self.Repeat: Callable[..., AsyncIterator[pb.SubscribeInboxResponse]] = (
            any_channel.unary_stream(
                f"/{SERVICE}/Repeat",
                request_serializer=pb.SubscribeInboxResponse.SerializeToString,
                response_deserializer=pb.SubscribeInboxResponse.FromString,
            )
        )


async def _echo(request: pb.SendMessageRequest, _: object) -> pb.SendMessageRequest:
    return request


async def _repeat(
    request: pb.SubscribeInboxResponse, context: Any
) -> AsyncIterator[pb.SubscribeInboxResponse]:
    for _ in range(int(dict(context.invocation_metadata())[TIMES_KEY])):
        yield request


async def serve(address: str) -> None:
    """Serve until the process is ended."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    handlers = {
        "Echo": grpc.unary_unary_rpc_method_handler(
            cast(Any, _echo),
            pb.SendMessageRequest.FromString,
            pb.SendMessageRequest.SerializeToString,
        ),
        "Repeat": grpc.unary_stream_rpc_method_handler(
            cast(Any, _repeat),
            pb.SubscribeInboxResponse.FromString,
            pb.SubscribeInboxResponse.SerializeToString,
        ),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_insecure_port(address)
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
