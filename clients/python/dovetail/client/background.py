"""An event loop in a thread of its own: there code without asyncio has its calls made."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar

from dovetail.client.forked import keep_in_children, refuse_in_child

P = ParamSpec("P")
T = TypeVar("T")


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        keep_in_children(self)
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="dovetail", daemon=True).start()

    def run(self, awaitable: Awaitable[T]) -> T:
        """Wait for an answer. An interrupt of the one who waits cancels the call."""
        try:
            refuse_in_child(self._pid)
        except RuntimeError:
            _drop(awaitable)
            raise

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

    def finish(self, awaitable: Awaitable[Any]) -> None:
        """Wait for what ends something, except in a forked child: there it is not the child's."""
        if self._pid == os.getpid():
            self.run(awaitable)
        else:
            _drop(awaitable)

    @contextmanager
    def entered(self, context: AbstractAsyncContextManager[T]) -> Generator[T]:
        """The block of a context that is entered and left on the loop."""

        async def enter() -> T:
            return await context.__aenter__()

        async def leave(error: BaseException | None) -> bool | None:
            trace = error.__traceback__ if error else None
            # There an interrupt is a cancellation. Raised as it is it would end the loop.
            told = asyncio.CancelledError() if _interrupts(error) else error
            return await context.__aexit__(told and type(told), told, trace)

        value = self.run(enter())
        try:
            yield value
        except BaseException as error:
            if self._pid != os.getpid() or not self.run(leave(error)):
                raise
        else:
            self.finish(leave(None))

    def to_the_end(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Wait for the end. An interrupt of the one who waits cancels it, and waits for that."""

        async def begin() -> asyncio.Task[None]:
            return asyncio.create_task(coroutine)

        async def follow() -> None:
            await running

        running = self.run(begin())
        try:
            self.run(follow())
        except BaseException:
            self.run(asyncio.wait((running,)))
            raise


def _drop(awaitable: Awaitable[Any]) -> None:
    """Do without it, and without a warning that nobody awaited it."""
    if isinstance(awaitable, Coroutine):
        awaitable.close()


def _interrupts(error: BaseException | None) -> bool:
    return not isinstance(error, Exception | None)


class _End:
    """Stands for the end of an iterator."""


_END = _End()


def the_loop() -> Loop:
    """The one of this process: gRPC bears no second one. A forked child has one of its own."""
    return _loop_of(os.getpid())


@cache
def _loop_of(pid: int) -> Loop:  # noqa: ARG001 - what it is cached by
    return Loop()
