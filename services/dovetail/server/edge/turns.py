"""Turns at reading requests: if all are taken, the longest one makes room for one that waits."""

from __future__ import annotations

import asyncio


class Turns:
    """So many turns at once. Each is safe for some seconds; then it ends when another waits.

    Each turn that `take` returns from must be released once. A turn has no object of its own, since
    every call takes one: it is known by its limit.
    """

    def __init__(self, turns_max: int, safe_seconds: float) -> None:
        """Allow `turns_max` turns at once."""
        self._free = asyncio.Semaphore(turns_max)
        self._safe_seconds = safe_seconds
        # When each began, the oldest first. One that was made to end is not here any more, so that
        # each caller that waits ends another one.
        self._running: dict[asyncio.Timeout, float] = {}

    async def take(self, limit: asyncio.Timeout) -> None:
        """Wait for a turn, and take it. If others wait, `limit` is brought forward to end it."""
        if self._free.locked():
            self._hurry_oldest()
        await self._free.acquire()
        self._running[limit] = asyncio.get_running_loop().time()

    def keep(self, limit: asyncio.Timeout) -> None:
        """Let a turn last even if others wait."""
        self._running.pop(limit, None)

    def release(self, limit: asyncio.Timeout) -> None:
        """End a turn."""
        self._running.pop(limit, None)
        self._free.release()

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
