"""The descendants of a worker's programs: found, attributed, ended, reaped.

A program's process group is not enough: a process may leave the group (`setsid`) and outlive the
program. Linux gives orphans to the nearest ancestor that asks for them (a subreaper), and /proc
identifies them. On other systems nothing is found here, and only the group is ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
INIT = 1
ENVIRONMENT_BYTES = 2 * 1024 * 1024
REAP_SECONDS = 1.0
"""How often adopted processes are reaped."""

PROCESSES_MAX = 10_000
"""How many are looked at in one pass: a fork bomb must not stop the worker as well."""


def adopt_orphans() -> None:
    """Make orphaned descendants children of this process, if the system supports it."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


@dataclass(frozen=True, kw_only=True)
class Family:
    """The processes of one program: its own, and the environment line that marks all of them."""

    pid: int
    mark: bytes


class Families:
    """The processes of all programs that run now.

    A child of this process that is not a program was adopted. It belongs to the program whose
    session or mark it has. One with neither (`env -i setsid`) belongs to the only running program;
    if several run, it is ended with the last of them. As process 1, this process also adopts what
    others started in its container, and ends none of these.
    """

    def __init__(self) -> None:
        """Start without programs."""
        self._running = set[bytes]()
        self._unreaped = set[int]()
        self._starting = 0

    @contextmanager
    def starting(self) -> Generator[None]:
        """Inside the block a program starts: its process cannot be told from an adopted one."""
        self._starting += 1
        try:
            yield
        finally:
            self._starting -= 1

    def add(self, family: Family) -> None:
        """Add a started program. Its own process is reaped by asyncio."""
        self._running.add(family.mark)
        self._unreaped.add(family.pid)

    def exited(self, family: Family) -> None:
        """Note that a program's own process has ended and was reaped."""
        self._unreaped.discard(family.pid)

    def remove(self, mark: bytes) -> None:
        """Remove a program whose processes were ended, as far as possible."""
        self._running.discard(mark)

    def remaining_of(self, family: Family) -> list[int]:
        """Its processes beside the program's own. Reaps the adopted ones that have ended."""
        found = list(_below(family.pid)) if family.pid in self._unreaped else []
        for pid in self._adopted():
            if self._belongs(pid, family):
                found += [pid, *_below(pid)]
        return found[:PROCESSES_MAX]

    def reap(self) -> None:
        """Reap the adopted processes that have ended: no other process will."""
        for _ in self._adopted():
            pass

    async def keep_reaping(self) -> None:
        """Reap again and again: as process 1, or as a subreaper, this process adopts orphans."""
        while True:
            await asyncio.sleep(REAP_SECONDS)
            self.reap()

    def _adopted(self) -> Iterator[int]:
        """Living children of this process that it did not start."""
        if self._starting:
            return
        for pid in _children(os.getpid()):
            if pid not in self._unreaped and not _is_reaped(pid):
                yield pid

    def _belongs(self, pid: int, family: Family) -> bool:
        if _session(pid) == family.pid or family.mark in _environment(pid):
            return True
        return os.getpid() != INIT and self._running <= {family.mark}


def _is_reaped(pid: int) -> bool:
    """Whether a child has ended; if so, it is reaped now."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG) is not None
    except ChildProcessError:
        return True


def _below(pid: int) -> Iterator[int]:
    """All descendants of a process."""
    waiting = _children(pid)
    for _ in range(PROCESSES_MAX):
        if not waiting:
            return
        yield (each := waiting.pop())
        waiting += _children(each)


def _children(pid: int) -> list[int]:
    """The children of a process; none if it has ended, or without such a /proc."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                found += map(int, (thread / "children").read_bytes().split())
    return found


def _session(pid: int) -> int:
    with contextlib.suppress(OSError):
        return os.getsid(pid)
    return 0


def _environment(pid: int) -> bytes:
    """The environment with which a process started, each line between NUL bytes."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
        return b"\0" + file.read(ENVIRONMENT_BYTES) + b"\0"
    return b""


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to each process that still exists and may be signalled."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
