"""Bytes that may be held at once: whoever needs more than is left waits its turn."""

from __future__ import annotations

import asyncio
from collections import deque


class Budget:
    """A number of bytes, shared out first come, first served: a large part is not passed by."""

    def __init__(self, size: int) -> None:
        """Share out `size` bytes."""
        self._left = size
        self._size = size
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, part: int) -> None:
        """Have a part of it, at most all, once it is there; `give_back` ends that."""
        assert part <= self._size
        if not part:
            return
        if not self._waiting and part <= self._left:
            self._left -= part
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = part, turn
        self._waiting.append(entry)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back(part)  # It was its turn at the moment when it gave up.
            else:
                self._waiting.remove(entry)
                self._share_out()
            raise

    def give_back(self, part: int) -> None:
        """Return what `take` gave."""
        if part:
            self._left += part
            self._share_out()

    def _share_out(self) -> None:
        # A turn that was cancelled takes itself off the queue before its part could be missed.
        while self._waiting:
            part, turn = self._waiting[0]
            if turn.cancelled():
                self._waiting.popleft()
                continue
            if part > self._left:
                return
            self._waiting.popleft()
            self._left -= part
            turn.set_result(None)
