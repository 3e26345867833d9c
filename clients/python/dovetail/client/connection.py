"""One server as one caller reaches it: a channel, deadlines, repeats."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from typing import TypeVar

import grpc

from dovetail.client.errors import (
    CallCancelledError,
    DovetailError,
    UnavailableError,
    from_rpc_error,
)

Request = TypeVar("Request")
Response = TypeVar("Response")

SHORTEST_PAUSE = 0.05
LONGEST_PAUSE = 2.0
RECEIVE_LIMIT = 16 * 1024 * 1024

OPTIONS = (
    # Above everything that a server sends: a page ends at 1 MiB or one item.
    ("grpc.max_receive_message_length", RECEIVE_LIMIT),
    ("grpc.max_send_message_length", RECEIVE_LIMIT),
    # Find out within 15 s that a peer is gone. The servers allow a ping every 5 s.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    # Be back soon after a restart; gRPC's own pause grows to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)

PASSING = (UnavailableError, CallCancelledError)
"""Errors after which the same call may be made again: every write is safe to repeat."""


def caller_metadata(team_id: str, agent_id: str) -> tuple[tuple[str, bytes], ...]:
    """Who calls, as servers read it. The binary keys carry every id, ASCII or not."""
    pairs = (("dovetail-team-bin", team_id), ("dovetail-agent-bin", agent_id))
    return tuple((key, value.encode()) for key, value in pairs if value)


def pauses() -> Iterator[float]:
    """How long to wait before each attempt: doubling, up to a limit, never in step with others."""
    pause = SHORTEST_PAUSE
    while True:
        yield pause * random.uniform(0.5, 1.0)
        pause = min(2 * pause, LONGEST_PAUSE)


class Connection:
    """A channel to one server. It connects at the first call and again whenever it must.

    A call takes at most `timeout` seconds. While the server cannot be reached, calls are repeated
    for `patience` seconds at most.
    """

    def __init__(
        self, address: str, caller: tuple[tuple[str, bytes], ...], timeout: float, patience: float
    ) -> None:
        """Prepare to call the server at `address`."""
        self.address = address
        self.caller = caller
        self.channel: grpc.aio.Channel = grpc.aio.insecure_channel(address, options=OPTIONS)
        self._timeout = timeout
        self._patience = min(patience, timeout)

    async def call(
        self, method: grpc.aio.UnaryUnaryMultiCallable[Request, Response], request: Request
    ) -> Response:
        """Make a call that is safe to repeat. Raises a DovetailError."""
        clock = asyncio.get_running_loop().time
        begin = clock()
        for pause in pauses():
            try:
                return await method(
                    request, timeout=begin + self._timeout - clock(), metadata=self.caller
                )
            except grpc.aio.AioRpcError as error:
                failure = self.failure(error)
                pause = max(pause, failure.retry_after or 0.0)
                if not isinstance(failure, PASSING) or clock() + pause > begin + self._patience:
                    raise failure from error
            await asyncio.sleep(pause)
        raise AssertionError("pauses never end")

    def failure(self, error: grpc.aio.AioRpcError) -> DovetailError:
        """The typed error of a call to this server."""
        failure = from_rpc_error(error)
        failure.address = self.address
        return failure

    async def close(self) -> None:
        """Close the channel; calls that are under way are cancelled."""
        await self.channel.close()
