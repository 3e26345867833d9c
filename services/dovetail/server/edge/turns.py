"""Turns at reading requests: if all are taken, the longest one makes room for one that waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager


class Turns:
    """So many turns at once. Each is safe for some seconds; then it ends when another waits."""

    def __init__(self, turns_max: int, safe_seconds: float) -> None:
        """Allow `turns_max` turns at once."""
        self._free = asyncio.Semaphore(turns_max)
        self._safe_seconds = safe_seconds
        # When each began, the oldest first. One that was made to end is not here any more, so that
        # each caller that waits ends another one.
        self._running: dict[asyncio.Timeout, float] = {}

    @asynccontextmanager
    async def turn(self, limit: asyncio.Timeout) -> AsyncGenerator[Callable[[], object]]:
        """Take a turn while the block lasts. If others wait, `limit` is brought forward to end it.

        Yields a function: after it is called, the turn lasts even if others wait.
        """
        if self._free.locked():
            self._hurry_oldest()
        async with self._free:
            self._running[limit] = asyncio.get_running_loop().time()
            try:
                yield lambda: self._running.pop(limit, None)
            finally:
                self._running.pop(limit, None)

    def _hurry_oldest(self) -> None:
        """End the oldest turn once its safe time is over. Each caller that waits ends one."""
        while self._running:
            limit, began = next(iter(self._running.items()))
            del self._running[limit]
            if not limit.expired():
                now = asyncio.get_running_loop().time()
                end = max(now, began + self._safe_seconds)
                limit.reschedule(min(end, limit.when() or end))
                return
