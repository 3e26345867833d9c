"""Turns at reading requests: where all are taken, who has read longest makes room for who waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager


class Turns:
    """So many turns at once. Each is safe for some seconds; then it lasts until somebody waits."""

    def __init__(self, most: int, safe_seconds: float) -> None:
        """Give `most` turns."""
        self._free = asyncio.Semaphore(most)
        self._safe_seconds = safe_seconds
        # The oldest first; those that were told to end are not here any more.
        self._running: dict[asyncio.Timeout, float] = {}

    @asynccontextmanager
    async def turn(self, limit: asyncio.Timeout) -> AsyncGenerator[Callable[[], object]]:
        """Have a turn for as long as the block lasts, which `limit` ends where others wait.

        What it yields is called once the turn shall last, whoever waits.
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
        """Whoever comes to wait ends one turn, so that as many end as wait."""
        while self._running:
            limit, began = next(iter(self._running.items()))
            del self._running[limit]
            if not limit.expired():
                now = asyncio.get_running_loop().time()
                end = max(now, began + self._safe_seconds)
                limit.reschedule(min(end, limit.when() or end))
                return
