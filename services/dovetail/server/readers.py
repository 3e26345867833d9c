"""Bounds on streams: how many may be open, and how many large responses may be in memory at once.

gRPC takes a response from its stream once the reader's windows have room for all of it. Until then
a large one is in memory, twice (here and in gRPC). So a stream takes a slot before it
reads a large page from the store, and releases it when the response was taken. A reader that does
not read while others wait for a slot loses its stream.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager

from dovetail.server.access.caller import Caller
from dovetail.server.errors import Reason, ResourceExhaustedError

STREAMS_PER_CALLER_MAX = 1_000
STREAMS_MAX = 10_000
LARGE_RESPONSES_MAX = 8
"""Slots. A message is at most 4 MiB, so large responses take at most some 64 MiB."""

READS_MAX = 4
"""Pages that streams read at once: whether one is large is known only when it was read."""

STALL_SECONDS = 10.0
"""A slot's holder that has not read for so long loses its stream if others wait."""


class Readers:
    """The streams of one server."""

    def __init__(self, stall_seconds: float = STALL_SECONDS) -> None:
        """End a stream that keeps others waiting after `stall_seconds` in which it did not read."""
        self._stall_seconds = stall_seconds
        self._counts: Counter[tuple[str, str]] = Counter()
        self._slots = asyncio.Semaphore(LARGE_RESPONSES_MAX)
        self._reads = asyncio.Semaphore(READS_MAX)

    @contextmanager
    def stream(self, caller: Caller) -> Generator[Slot]:
        """Count a stream for as long as the block lasts. Raises ResourceExhaustedError."""
        key = caller.team_id, caller.agent_id
        self._check(self._counts[key], STREAMS_PER_CALLER_MAX, "this caller")
        self._check(self._counts.total(), STREAMS_MAX, "this server")
        self._counts[key] += 1
        slot = Slot(self._slots, self._reads, self._stall_seconds)
        try:
            yield slot
        finally:
            slot.release()
            self._counts[key] -= 1
            if not self._counts[key]:
                del self._counts[key]

    def _check(self, count: int, most: int, whose: str) -> None:
        if count >= most:
            raise ResourceExhaustedError(
                Reason.TOO_MANY_STREAMS,
                f"{whose} has {count:,} open streams, and may have {most:,}: end some, or"
                " use ReceiveMessages or ListTaskEvents, which hold none",
                metadata={"most": str(most)},
            )


class Slot:
    """The right of one stream to have a large response in memory. At most one at a time."""

    def __init__(
        self, slots: asyncio.Semaphore, reads: asyncio.Semaphore, stall_seconds: float
    ) -> None:
        self._slots = slots
        self.reads = reads
        self._stall_seconds = stall_seconds
        self._timer: asyncio.TimerHandle | None = None

    async def take(self, seconds: float) -> bool:
        """Take a slot, in order of arrival. Returns False if none was free within this time."""
        if self._timer:
            return True
        if self._slots.locked() and seconds <= 0:
            return False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._slots.acquire()
                self._watch(asyncio.current_task())
        return self._timer is not None

    def release(self) -> None:
        """Release the slot, if it was taken."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
            self._slots.release()

    def _watch(self, task: asyncio.Task[object] | None) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._stall_seconds, self._end_stalled, task)

    def _end_stalled(self, task: asyncio.Task[object] | None) -> None:
        """End the stream if others wait; otherwise look again later.

        Its caller is not told why: an error would stand behind the response that it does not read.
        """
        if self._slots.locked() and task:
            task.cancel()
        self._watch(task)
