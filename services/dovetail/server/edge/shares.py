"""Places of which each sender has as many as any other: what it has beyond them waits."""

from __future__ import annotations

import asyncio
from collections import deque


class Shares:
    """So many places for each sender; they are taken in the order in which they were asked for.

    For one event loop. Each place that `take` returns from must be released once. Senders without a
    place leave nothing behind, and a place that is free has no object, since every call takes one.
    """

    def __init__(self, places_max: int) -> None:
        """Give each sender `places_max` places."""
        self._places_max = places_max
        # How many places each sender has: never 0.
        self._taken: dict[str, int] = {}
        # Those that wait, of senders that have all their places; never empty.
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    async def take(self, sender: str) -> None:
        """Wait for a place of this sender, and take it."""
        taken = self._taken.get(sender, 0)
        if taken < self._places_max:
            self._taken[sender] = taken + 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(sender, deque()).append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.cancelled():
                self._forget(sender, place)
            else:  # It was cancelled when it had the place already.
                self.release(sender)
            raise

    def release(self, sender: str) -> None:
        """Return a place: to the call of this sender that waits longest, if one does."""
        for place in self._waiting.get(sender, ()):
            if not place.cancelled():
                # It passes from hand to hand, so that no later call takes it in between.
                self._forget(sender, place)
                place.set_result(None)
                return
        left = self._taken.pop(sender) - 1
        if left:
            self._taken[sender] = left

    def _forget(self, sender: str, place: asyncio.Future[None]) -> None:
        waiting = self._waiting[sender]
        waiting.remove(place)
        if not waiting:
            del self._waiting[sender]
