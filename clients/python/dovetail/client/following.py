"""Endless streams that reconnect and resume after their cursor."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, Generic, Self, TypeVar

import grpc
from grpc.aio import EOF

from dovetail.client.connection import Connection
from dovetail.client.reconnecting import PAUSE_SECONDS_MAX, RETRY_SECONDS_MAX, pauses
from dovetail.client.security import Metadata

Item = TypeVar("Item")

CAUGHT_UP = 1
"""STREAM_MARK_CAUGHT_UP of both services."""


class Following(ABC, Generic[Item]):
    """The items of a stream, in order, each once. Close it, preferably with `async with`.

    When the connection is lost or the server stops, it reconnects and continues after the last
    item that it received. A wrong request raises. Waiting for an item may be cancelled (for
    example by `asyncio.timeout`) and resumed: no item is lost.
    """

    def __init__(self, connection: Connection, method: Callable[[], Any], request: Any) -> None:
        """Prepare to stream `request` by a method of a stub; the first `anext` connects."""
        self._connection = connection
        self._method = method
        self._request = request
        self._ready: deque[Item] = deque()
        self._caught_up = False
        self._closed = False
        self._stream: _Stream | None = None
        self._pauses = pauses(RETRY_SECONDS_MAX)
        self._pause = 0.0

    @abstractmethod
    def _take(self, response: Any) -> list[Item]:
        """The items of a response, whose cursor is in the request from here on."""

    def __aiter__(self) -> Self:
        """Iterate over items as they arrive."""
        return self

    async def __anext__(self) -> Item:
        """Wait for the next item. Raises a DovetailError."""
        while not self._ready:
            if self._is_closed:
                raise StopAsyncIteration
            await self._receive()
        return self._ready.popleft()

    async def backlog(self) -> AsyncIterator[Item]:
        """Iterate over the items that were there when it opened, without waiting for more."""
        while self._ready or not (self._caught_up or self._is_closed):
            if self._ready:
                yield self._ready.popleft()
            else:
                await self._receive()

    async def __aenter__(self) -> Self:
        """Return itself; the end of the block closes it."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.aclose()

    async def aclose(self) -> None:
        """End the stream; a caller that waits for an item gets StopAsyncIteration."""
        self._closed = True
        await self._disconnect()

    @property
    def _is_closed(self) -> bool:
        """Whether it was closed, or its client."""
        return self._closed or self._connection.closed

    async def _receive(self) -> None:
        """Read one response; close a lost connection, so that the next call reconnects."""
        stream = self._stream or await self._connect()
        if stream is None:
            return
        try:
            response = await stream.next()
        except grpc.aio.AioRpcError as error:
            await self._disconnect()
            if self._connection.has_new_token(error, stream.metadata):
                self._pause = 0.0
                return
            failure = self._connection.failure(error)
            if not failure.is_passing:
                raise failure from None
            self._pause = max(self._pause, failure.retry_after or 0.0)
            return
        if response is None:
            await self._disconnect()
            return
        self._pauses, self._pause = pauses(RETRY_SECONDS_MAX), 0.0
        self._caught_up |= response.mark == CAUGHT_UP
        self._ready.extend(self._take(response))

    async def _connect(self) -> _Stream | None:
        """Open a new stream; return None if it was closed meanwhile."""
        if self._pause:
            await self._wait_for_server()
        if self._is_closed:
            return None
        self._pause = next(self._pauses)
        metadata = self._connection.metadata
        self._stream = _Stream(self._method()(self._request, metadata=metadata), metadata)
        return self._stream

    async def _wait_for_server(self) -> None:
        """Wait until it may be worth to connect again; for some time only, as it may be closed."""
        await asyncio.sleep(self._pause)
        if not await self._connection.watch.wait(PAUSE_SECONDS_MAX):
            self._pauses = pauses(RETRY_SECONDS_MAX)  # No server was asked, so no longer pause.

    async def _disconnect(self) -> None:
        stream, self._stream = self._stream, None
        if stream:
            await stream.close()


class _Stream:
    """One call, and its one pending read, which is never cancelled.

    A cancelled read leaks memory in gRPC and may lose a response. `asyncio.wait` does not cancel
    the read when its own caller is cancelled.
    """

    def __init__(
        self,
        call: Any,
        metadata: Metadata,
    ) -> None:
        self.metadata = metadata
        self._call = call
        self._read: asyncio.Task[Any] | None = None

    async def next(self) -> Any:
        """The next response, or None at the end."""
        read = self._read = self._read or asyncio.create_task(self._call.read())
        await asyncio.wait((read,))
        self._read = None
        if read.cancelled():
            return None
        response = read.result()
        return None if response is EOF else response

    async def close(self) -> None:
        """Cancel the call; that ends the read too."""
        self._call.cancel()
        if read := self._read:
            await asyncio.wait((read,))
            if not read.cancelled():
                read.exception()  # Retrieved, or asyncio logs that it never was.
