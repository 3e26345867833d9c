"""Bytes that may be held at once: a caller that needs more than is left waits its turn."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque


class Budget:
    """A number of bytes, shared first come, first served: small parts do not overtake a large one.

    For one event loop. Each part that `take` returns from must be released once.
    """

    def __init__(self, size: int) -> None:
        """Share out `size` bytes."""
        self._left = size
        self._size = size
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, part: int) -> None:
        """Wait for a part, at most all of it, and take it; `release` returns it."""
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
                # It was cancelled in the moment of its turn: the part is taken already.
                self.release(part)
            else:
                # `_share_out` removes it too, if a part was returned before this task ran.
                with contextlib.suppress(ValueError):
                    self._waiting.remove(entry)
                self._share_out()
            raise

    def release(self, part: int) -> None:
        """Return a part that was taken."""
        if part:
            self._left += part
            self._share_out()

    def _share_out(self) -> None:
        # A cancelled turn is still in the queue until its task runs: skipped here, or it would hold
        # up those behind it.
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
