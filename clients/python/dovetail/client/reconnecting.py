"""Waiting for a server that cannot be reached: soon noticed when it serves again, and few attempts.

gRPC's channel connects again by itself. While it cannot, calls fail at once and make no attempt of
their own, so that they wait here for the channel instead of for a time.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

import grpc

PAUSE_SECONDS_MIN = 0.05
PAUSE_SECONDS_MAX = 2.0

RETRY_SECONDS_MAX = 0.25
"""The longest pause before a call that a connected server or proxy refused is repeated."""

BACKOFF_OPTIONS = (
    # The pauses of a channel between its attempts: 0.1, 0.16 and then 0.2 s, each up to a fifth
    # shorter or longer, so that clients that lost the same server do not come back as one.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 200),
    # How long one attempt may take.
    ("grpc.min_reconnect_backoff_ms", 1_000),
)


def pauses(longest: float = PAUSE_SECONDS_MAX) -> Iterator[float]:
    """How long to wait before each attempt: doubling up to a limit, with jitter."""
    pause = PAUSE_SECONDS_MIN
    while True:
        yield pause * random.uniform(0.5, 1.0)
        pause = min(2 * pause, longest)


class ChannelWatch:
    """Wakes those who wait until a channel is connected.

    All of them share one watch, which is never cancelled while the channel is open: gRPC keeps a
    cancelled one until the state changes, and in an outage there would be more and more.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """Watch this channel while callers wait for it."""
        self._channel = channel
        self._connected: asyncio.Task[None] | None = None

    async def wait(self, seconds: float) -> bool:
        """Wait at most `seconds` until the channel is connected; return whether it is."""
        done, _ = await asyncio.wait((self.connected(),), timeout=max(0.0, seconds))
        return bool(done)

    def connected(self) -> asyncio.Task[None]:
        """A task that ends once the channel is connected, or closed. Do not cancel it."""
        if self._connected is None or self._connected.done():
            self._connected = asyncio.create_task(self._until_connected())
        return self._connected

    def close(self) -> None:
        """Wake all. The channel is closed next."""
        if self._connected:
            self._connected.cancel()

    async def _until_connected(self) -> None:
        ready = grpc.ChannelConnectivity.READY
        while (state := self._channel.get_state(try_to_connect=True)) is not ready:
            await self._channel.wait_for_state_change(state)
