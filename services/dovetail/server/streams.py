"""Streams of both services: how they wait, show that they are alive, and end.

A stream keeps its cursor and at most one response: a reader that is slow costs nothing but its
stream. The order is that of every watcher (`wakeups.py`): clear the bell, read, yield, wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import closing
from enum import IntEnum
from typing import Protocol, TypeVar

from dovetail.server.access.caller import Caller
from dovetail.server.errors import Reason, UnavailableError
from dovetail.server.presence import Presence
from dovetail.server.readers import Readers, Slot
from dovetail.server.store.rings import Delivery
from dovetail.server.store.store import Store

R = TypeVar("R")

HEARTBEAT_SECONDS = 30.0
RESPONSE_BYTES = 56 * 1024
"""A response stays below 64 KiB, the window of a stream in gRPC; a single item may not."""

NEVER = 2**63 - 1
"""No cursor reaches it: the end of a backlog after CAUGHT_UP, which is sent once."""


class StartPosition(IntEnum):
    """Where a stream begins when it does not resume after a cursor."""

    BEGINNING = 1
    NOW = 2


class Mark(IntEnum):
    """What a response tells besides its items."""

    NONE = 0
    CAUGHT_UP = 1
    HEARTBEAT = 2
    CLOSING = 3


class Source(Protocol[R]):
    """What one stream sends: it keeps the cursor, and knows where the backlog ends."""

    def take(self, handed: Sequence[Delivery]) -> tuple[list[R], bool] | None:
        """The response of what a commit handed over, as `next` returns it; None: read."""
        ...

    async def next(self, seconds: float) -> tuple[list[R], bool]:
        """Read the next response, or none, within so many seconds; and whether there may be more.

        The response with which the cursor reaches the end of the backlog is marked CAUGHT_UP.
        """
        ...

    def mark(self, mark: Mark) -> R:
        """A response without items, with the cursor."""
        ...

    def taken(self) -> None:
        """The connection took the last response."""
        ...

    def close(self) -> None:
        """The stream has ended."""
        ...


class Streams:
    """Runs the streams of one server, and closes them all when it stops."""

    def __init__(
        self,
        store: Store,
        readers: Readers,
        presence: Presence,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        """Stream what changes in `store` to `readers`."""
        self._store = store
        self._readers = readers
        self._presence = presence
        self._heartbeat = heartbeat_seconds
        self._closing = asyncio.Event()

    def close(self) -> None:
        """End every stream with its cursor."""
        self._closing.set()
        self._store.bells.ring_all()

    async def follow(
        self,
        caller: Caller,
        names: Iterable[str],
        begin: Callable[[Slot], Source[R]],
        agent_ids: Sequence[str] = (),
    ) -> AsyncGenerator[R]:
        """Yield what a source has, and go on when one of these names rings; with heartbeats.

        It has no end of its own. Raises UnavailableError when the server stops, after a response
        that is marked CLOSING; UnauthenticatedError when the credential ends; NotFoundError when
        the caller or one of these agents is removed; before the first response
        ResourceExhaustedError, and what `begin` raises.
        """
        with (
            self._readers.stream(caller) as slot,
            self._presence.stream(caller, *agent_ids) as stay,
            self._store.bells.watch(caller.team_id, names) as bell,
            closing(begin(slot)) as source,
        ):
            stay.on_end = lambda _: bell.ring()
            clock = asyncio.get_running_loop().time
            due = clock() + self._heartbeat
            while not self._closing.is_set():
                caller.check_live()  # Before the read as well: a store that hangs ends no read.
                ready, more = source.take(bell.clear()) or await source.next(due - clock())
                caller.check_live()
                stay.check()
                if not ready and clock() >= due:
                    ready.append(source.mark(Mark.HEARTBEAT))
                if ready:
                    yield ready.pop()  # referenced nowhere else: slow readers would keep it
                    source.taken()
                    slot.release()
                    due = clock() + self._heartbeat
                if not more and not self._closing.is_set():
                    await bell.wait(due - clock())
            yield source.mark(Mark.CLOSING)
            source.taken()
        raise UnavailableError(
            Reason.SERVER_STOPPING,
            "the server is stopping: resume after the cursor of the last response",
            retry_after=0.2,
        )
