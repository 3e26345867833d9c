"""Who reads streams: how many they may be, and how many large responses wait for them at once.

gRPC takes a response from its stream once the reader's windows have room for all of it. Until then
a large one is held here, twice. So a stream has a slot before it reads a large page from the store,
and keeps it until the response is taken. Who does not read, while others wait, loses its stream.
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
READS_MAX = 4
"""Pages that are read at once: how large one is, is seen when it is there."""

STALL_SECONDS = 10.0


class Readers:
    """The streams of one server."""

    def __init__(self, stall_seconds: float = STALL_SECONDS) -> None:
        """End a stream that keeps others waiting, once it has not read for so long."""
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
                " use ReceiveMessages, which holds none",
                metadata={"most": str(most)},
            )


class Slot:
    """What one stream needs to send a large response."""

    def __init__(
        self, slots: asyncio.Semaphore, reads: asyncio.Semaphore, stall_seconds: float
    ) -> None:
        self._slots = slots
        self.reads = reads
        self._stall_seconds = stall_seconds
        self._timer: asyncio.TimerHandle | None = None

    async def take(self, seconds: float) -> bool:
        """Have the slot, in turn; False: not within this time."""
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
        """Leave it to others, if it was taken."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
            self._slots.release()

    def _watch(self, task: asyncio.Task[object] | None) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._stall_seconds, self._end_stalled, task)

    def _end_stalled(self, task: asyncio.Task[object] | None) -> None:
        """End the stream of who has not read, where others wait; else look again later.

        It cannot be told why: the error would stand behind the response that is not read.
        """
        if self._slots.locked() and task:
            task.cancel()
        self._watch(task)
