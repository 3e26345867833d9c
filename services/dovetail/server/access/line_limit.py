"""How many lines of one kind the log takes in a second. What is left out is counted, and told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class LineLimit:
    """So many lines in each period; at its end `tell` gets how many more there would have been."""

    def __init__(self, lines: int, seconds: float, tell: Callable[[int], None]) -> None:
        """Count within periods that begin with a line."""
        self._lines = lines
        self._seconds = seconds
        self._tell = tell
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None

    def admits(self) -> bool:
        """Whether there is room for one more line; else it is counted as left out."""
        if not self._timer:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._seconds, self.end_period)
        self._count += 1
        return self._count <= self._lines

    def end_period(self) -> None:
        """Tell what was left out, and begin anew."""
        if self._timer:
            self._timer.cancel()
        left_out = self._count - self._lines
        self._timer, self._count = None, 0
        if left_out > 0:
            self._tell(left_out)
