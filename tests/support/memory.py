"""How much memory a server takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import psutil

from support.processes import ServerProcess

SAMPLE_SECONDS = 0.02
QUIET_SAMPLES = 25
MEBIBYTE = 1024 * 1024


class Memory:
    """The resident memory of a server, and its highest reading while it is watched."""

    def __init__(self, server: ServerProcess) -> None:
        """Look at the process that runs now."""
        assert server.process is not None
        self._process = psutil.Process(server.process.pid)
        self.before = self._process.memory_info().rss
        self.highest = self.before

    @property
    def growth(self) -> float:
        """How far it ever was above where it began, in MiB."""
        return (self.highest - self.before) / MEBIBYTE

    def now(self) -> int:
        """Bytes at this moment."""
        return self._process.memory_info().rss

    @asynccontextmanager
    async def watched(self) -> AsyncGenerator[None]:
        """Take readings all through the block."""
        watch = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watch.cancel()
            self._look()

    async def settled(self) -> None:
        """Wait until the process has been at rest for a while: it has done all that it can."""
        spent, quiet = 0.0, 0
        while quiet < QUIET_SAMPLES:
            await asyncio.sleep(SAMPLE_SECONDS)
            times = self._process.cpu_times()
            quiet = quiet + 1 if times.user + times.system - spent < 0.01 else 0
            spent = times.user + times.system

    async def _watch(self) -> None:
        while True:
            self._look()
            await asyncio.sleep(SAMPLE_SECONDS)

    def _look(self) -> None:
        self.highest = max(self.highest, self._process.memory_info().rss)
