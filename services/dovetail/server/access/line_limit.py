"""A limit for lines of one kind in the log. Those that are left out are counted and reported."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class LineLimit:
    """So many lines in each period; at its end `report` receives how many were left out."""

    def __init__(self, lines: int, seconds: float, report: Callable[[int], None]) -> None:
        """Count within periods, each of which begins with a line."""
        self._lines = lines
        self._seconds = seconds
        self._report = report
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None

    def admits(self) -> bool:
        """Count a line. Returns whether it may be written, or is left out."""
        if not self._timer:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._seconds, self.end_period)
        self._count += 1
        return self._count <= self._lines

    def end_period(self) -> None:
        """Report how many lines were left out; the next line begins a new period."""
        if self._timer:
            self._timer.cancel()
        left_out = self._count - self._lines
        self._timer, self._count = None, 0
        if left_out > 0:
            self._report(left_out)
