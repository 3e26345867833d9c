"""What processes take: CPU time of the servers, the callers and the database; memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType

import psutil

SERVER, CLIENT, DATABASE = ROLES = ("server", "client", "database")
SAMPLE_SECONDS, QUIET_SAMPLES = 0.02, 15
SETTLE_SECONDS_MAX = 5.0


@dataclass(frozen=True, kw_only=True)
class Processes:
    """Whose time is counted: the first process of each tree, by role. The client is this process.

    SQLite runs within the server, or within the program that uses it without one.
    """

    server: tuple[int, ...] = ()
    database: tuple[int, ...] = ()

    def spent(self) -> dict[str, float]:
        """Seconds of CPU time so far, user and system, by role."""
        return {SERVER: _of_trees(self.server), DATABASE: _of_trees(self.database)}


@dataclass
class Span:
    """A stretch of time that is measured: its length, and the CPU time spent in it by role."""

    processes: Processes
    elapsed: float = 0.0
    cpu: dict[str, float] = field(default_factory=dict[str, float])

    def __enter__(self) -> Span:
        self.cpu = self.processes.spent()
        # Last here and first below: to look at other processes takes time of this one.
        self.cpu[CLIENT] = time.process_time()
        self.elapsed = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.elapsed = time.perf_counter() - self.elapsed
        client = time.process_time()
        now = {**self.processes.spent(), CLIENT: client}
        self.cpu = {role: now[role] - before for role, before in self.cpu.items()}


async def settle(processes: Processes) -> None:
    """Wait until the servers use no more CPU, at most SETTLE_SECONDS_MAX."""
    end, quiet, spent = time.monotonic() + SETTLE_SECONDS_MAX, 0, -1.0
    while quiet < QUIET_SAMPLES and time.monotonic() < end:
        await asyncio.sleep(SAMPLE_SECONDS)
        now = _of_trees(processes.server)
        quiet, spent = (quiet + 1 if now == spent else 0), now


def memory(processes: Processes) -> int:
    """The resident bytes of the servers."""
    trees = map(_tree, processes.server)
    return sum(process.memory_info().rss for tree in trees for process in tree)


def _of_trees(first: tuple[int, ...]) -> float:
    """The time of processes, of their descendants, and of those of them that have ended."""
    return sum(_of_process(process) for pid in first for process in _tree(pid))


def _tree(pid: int) -> Iterator[psutil.Process]:
    root = psutil.Process(pid)
    yield root
    yield from root.children(recursive=True)


def _of_process(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0  # It ended just now, and counts with its parent.
    return times.user + times.system + times.children_user + times.children_system
