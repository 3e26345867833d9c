"""The same client for code without asyncio: every call waits for its answer.

    with connect("alice") as alice:
        alice.send("bob", "hello")
        for message in alice.inbox():
            message.acknowledge()

There is no second implementation: all blocking clients of a process run on one event loop in a thread
of its own (gRPC bears no second one), and every method here is a method of `dovetail.client` that is
waited for. Not for use inside a coroutine: there, use `dovetail.client`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from typing import Generic, ParamSpec, TypeVar

from dovetail import client
from dovetail.client.received import ReceivedMessage

P = ParamSpec("P")
T = TypeVar("T")


class _Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="dovetail", daemon=True).start()

    def run(self, awaitable: Awaitable[T]) -> T:
        """Wait for an answer. An interrupt of the one who waits cancels the call."""

        async def answer() -> T:
            return await awaitable

        future = asyncio.run_coroutine_threadsafe(answer(), self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def waiting(self, method: Callable[P, Awaitable[T]]) -> Callable[P, T]:
        """The method, waited for."""

        @wraps(method)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            return self.run(method(*args, **kwargs))

        return call

    def iterating(self, method: Callable[P, AsyncIterator[T]]) -> Callable[P, Iterator[T]]:
        """The asynchronous iterator that the method makes, waited for item by item."""

        @wraps(method)
        def iterate(*args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
            return self.each(method(*args, **kwargs))

        return iterate

    def each(self, items: AsyncIterator[T]) -> Iterator[T]:
        """Item by item."""

        async def next_item() -> T | _End:
            return await anext(items, _END)

        while not isinstance(item := self.run(next_item()), _End):
            yield item


class _End:
    """Stands for the end of an iterator."""


_END = _End()


@cache
def _loop() -> _Loop:
    return _Loop()


class Message:
    """A message of an inbox: all that the received one has, and `acknowledge`."""

    def __init__(self, loop: _Loop, received: ReceivedMessage) -> None:
        """Wrap what came."""
        self.received = received
        self.acknowledge = loop.waiting(received.acknowledge)


class Inbox(Generic[T]):
    """Placeholder."""
