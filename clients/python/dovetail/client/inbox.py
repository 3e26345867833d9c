"""An inbox as a stream that never ends: it reconnects and resumes by itself."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import grpc
from grpc.aio import EOF

from dovetail.client.connection import Connection, pauses
from dovetail.client.received import ReceivedMessage
from dovetail.client.security import Metadata
from dovetail.messaging.v1 import messaging_pb2 as pb

Subscribe = grpc.aio.UnaryStreamMultiCallable[pb.SubscribeInboxRequest, pb.SubscribeInboxResponse]


class Inbox:
    """The messages of one inbox, in order, each once; to be closed, best by `async with`.

    When the connection is lost or the server stops, it connects anew and goes on after the last
    message that it got. What is wrong with the request is raised. Waiting for a message may be
    given up (by `asyncio.timeout`, say) and taken up again: nothing is lost.
    """

    def __init__(
        self,
        connection: Connection,
        subscribe: Subscribe,
        request: pb.SubscribeInboxRequest,
        received: Callable[[pb.Delivery], ReceivedMessage],
    ) -> None:
        """Stream what `request` asks for, from the first `anext` on."""
        self._connection = connection
        self._subscribe = subscribe
        self._request = request
        self._received = received
        self._ready: deque[ReceivedMessage] = deque()
        self._caught_up = False
        self._closed = False
        self._stream: _Stream | None = None
        self._pauses = pauses()
        self._pause = 0.0

    @property
    def through_sequence(self) -> int:
        """The cursor: all up to it came here, or is not what was asked for."""
        return self._request.after_sequence

    def __aiter__(self) -> Inbox:
        """Iterate over messages as they come."""
        return self

    async def __anext__(self) -> ReceivedMessage:
        """The next message, whenever it comes. Raises a DovetailError."""
        while not self._ready:
            if self._closed:
                raise StopAsyncIteration
            await self._receive()
        return self._ready.popleft()

    async def backlog(self) -> AsyncIterator[ReceivedMessage]:
        """What was there when it opened and was not taken yet; it does not wait for more."""
        while self._ready or not (self._caught_up or self._closed):
            if self._ready:
                yield self._ready.popleft()
            else:
                await self._receive()

    async def __aenter__(self) -> Inbox:
        """Close it at the end of the block."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.aclose()

    async def aclose(self) -> None:
        """End the stream; whoever waits for a message stops waiting."""
        self._closed = True
        await self._hang_up()

    async def _receive(self) -> None:
        """Take one response; after a loss, hang up, so that the next turn connects anew."""
        stream = self._stream or await self._connect()
        if stream is None:
            return
        try:
            response = await stream.next()
        except grpc.aio.AioRpcError as error:
            await self._hang_up()
            if self._connection.renewed(error, stream.metadata):
                self._pause = 0.0
                return
            failure = self._connection.failure(error)
            if not failure.is_passing:
                raise failure from error
            self._pause = max(self._pause, failure.retry_after or 0.0)
            return
        if response is None:
            await self._hang_up()
            return
        self._take(response)

    async def _connect(self) -> _Stream | None:
        """A new stream; none when the inbox was closed meanwhile."""
        await asyncio.sleep(self._pause)
        if self._closed:
            return None
        self._pause = next(self._pauses)
        metadata = self._connection.metadata
        self._stream = _Stream(self._subscribe(self._request, metadata=metadata), metadata)
        return self._stream

    async def _hang_up(self) -> None:
        stream, self._stream = self._stream, None
        if stream:
            await stream.close()

    def _take(self, response: pb.SubscribeInboxResponse) -> None:
        self._pauses, self._pause = pauses(), 0.0
        self._request.after_sequence = response.through_sequence
        self._caught_up |= response.mark == pb.STREAM_MARK_CAUGHT_UP
        self._ready.extend(map(self._received, response.deliveries))


class _Stream:
    """One call, and its one pending read, which is never cancelled.

    A read that is cancelled costs gRPC memory for ever, and may take a response with it. `wait`
    leaves the read alone when the one who waits for it is cancelled.
    """

    def __init__(
        self,
        call: grpc.aio.UnaryStreamCall[pb.SubscribeInboxRequest, pb.SubscribeInboxResponse],
        metadata: Metadata,
    ) -> None:
        self.metadata = metadata
        self._call = call
        self._read: asyncio.Task[Any] | None = None

    async def next(self) -> pb.SubscribeInboxResponse | None:
        """The next response, or None at the end."""
        read = self._read = self._read or asyncio.create_task(cast(Any, self._call).read())
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
                read.exception()  # Looked at, or asyncio would complain that nobody did.
