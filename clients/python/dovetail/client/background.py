"""An event loop in a thread of its own, on which code without asyncio runs its calls."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar

from dovetail.client.connection import close_all
from dovetail.client.errors import DovetailError
from dovetail.client.forked import keep_in_children, refuse_in_child

P = ParamSpec("P")
T = TypeVar("T")

EXIT_SECONDS = 2.0
"""How long the end of the process may take to close clients that were not closed."""


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        keep_in_children(self)
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="dovetail", daemon=True).start()
        atexit.register(self._close_clients)

    def run(self, awaitable: Awaitable[T]) -> T:
        """Block until the result is there. An interrupt of the calling thread cancels the call."""
        try:
            refuse_in_child(self._pid)
        except RuntimeError:
            _drop(awaitable)
            raise

        async def result() -> T:
            return await awaitable

        future = asyncio.run_coroutine_threadsafe(result(), self._loop)
        try:
            return future.result()
        except DovetailError as failure:
            # Without the frames of the loop: they say nothing of what the caller did.
            raise failure.with_traceback(None) from failure.__cause__
        except BaseException:
            future.cancel()
            raise

    def waiting(self, method: Callable[P, Awaitable[T]]) -> Callable[P, T]:
        """The method as a function that blocks until its result is there."""

        @wraps(method)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            return self.run(method(*args, **kwargs))

        return call

    def iterating(self, method: Callable[P, AsyncIterator[T]]) -> Callable[P, Iterator[T]]:
        """The method as a function that returns a blocking iterator."""

        @wraps(method)
        def iterate(*args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
            return self.each(method(*args, **kwargs))

        return iterate

    def each(self, items: AsyncIterator[T]) -> Iterator[T]:
        """Iterate over an asynchronous iterator, blocking for each item."""

        async def next_item() -> T | _End:
            return await anext(items, _END)

        while not isinstance(item := self.run(next_item()), _End):
            yield item

    def finishing(self, close: Callable[P, Awaitable[None]]) -> Callable[P, None]:
        """The closing method as a function that blocks, and does nothing in a forked child."""

        @wraps(close)
        def call(*args: P.args, **kwargs: P.kwargs) -> None:
            self.finish(close(*args, **kwargs))

        return call

    def finish(self, awaitable: Awaitable[Any]) -> None:
        """Block on a closing call, except in a forked child: there it belongs to the parent."""
        if self._pid == os.getpid():
            self.run(awaitable)
        else:
            _drop(awaitable)

    def _close_clients(self) -> None:
        """Close forgotten clients: gRPC may hang at the end of a process that has some."""
        if self._pid == os.getpid():
            closing = asyncio.run_coroutine_threadsafe(close_all(), self._loop)
            with suppress(Exception):  # This process ends in any case.
                closing.result(EXIT_SECONDS)

    @contextmanager
    def entered(self, context: AbstractAsyncContextManager[T]) -> Generator[T]:
        """Enter and leave an asynchronous context manager on the loop, around a blocking block."""

        async def enter() -> T:
            return await context.__aenter__()

        async def leave(error: BaseException | None) -> bool | None:
            trace = error.__traceback__ if error else None
            # On the loop an interrupt becomes a cancellation: itself, it would end the loop.
            raised = asyncio.CancelledError() if _is_interrupt(error) else error
            return await context.__aexit__(raised and type(raised), raised, trace)

        value = self.run(enter())
        try:
            yield value
        except BaseException as error:
            if self._pid != os.getpid() or not self.run(leave(error)):
                raise
        else:
            self.finish(leave(None))

    def run_to_end(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Block until the end. An interrupt of the caller cancels the coroutine and awaits it."""

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
    """Discard a coroutine, without the warning that it was never awaited."""
    if isinstance(awaitable, Coroutine):
        awaitable.close()


def _is_interrupt(error: BaseException | None) -> bool:
    return not isinstance(error, Exception | None)


class _End:
    """The type of the sentinel for the end of an iterator."""


_END = _End()


def process_loop() -> Loop:
    """The one loop of this process: gRPC supports only one. A forked child has its own."""
    return _loop_of(os.getpid())


@cache
def _loop_of(pid: int) -> Loop:  # noqa: ARG001 - the key of the cache
    return Loop()
