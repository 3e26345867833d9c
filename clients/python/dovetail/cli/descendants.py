"""What the programs of this process started in turn: found, attributed, ended, reaped.

A program's group is not enough: what it starts may leave the group (`setsid`), and outlive it.
Linux gives orphans to the nearest ancestor that asks for them (a subreaper), and /proc says who
they are. Elsewhere all of this finds nobody, and the group is all that is ended.
"""

from __future__ import annotations

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
MOST_FOUND = 10_000
"""How many are looked at in one go: a fork bomb must not stop the worker as well."""


def adopt_orphans() -> None:
    """Have the orphans among this process's descendants become its own children, where it can."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


@dataclass(frozen=True, kw_only=True)
class Family:
    """One program's: its process, and the line in the environment that marks all of them."""

    pid: int
    mark: bytes


class Families:
    """Of all programs that run now.

    A child of this process that is no program was adopted. It belongs to the program whose session
    or whose mark it has. One that has neither (`env -i setsid`) belongs to the only program that
    runs: where several run, the last one that ends takes it along. But as process 1 this process
    also adopts what others started in its container, and ends none of these.
    """

    def __init__(self) -> None:
        """None runs yet."""
        self._running = set[bytes]()
        self._unreaped = set[int]()
        self._starting = 0

    @contextmanager
    def starting(self) -> Generator[None]:
        """While a program is started its process cannot be told from one that was adopted."""
        self._starting += 1
        try:
            yield
        finally:
            self._starting -= 1

    def began(self, family: Family) -> None:
        """A program was started. Its exit code is for asyncio to ask for."""
        self._running.add(family.mark)
        self._unreaped.add(family.pid)

    def exited(self, family: Family) -> None:
        """Its own process has ended, and was asked for its exit code."""
        self._unreaped.discard(family.pid)

    def over(self, mark: bytes) -> None:
        """All of a family was ended, as far as that can be."""
        self._running.discard(mark)

    def left_by(self, family: Family) -> list[int]:
        """Its processes beside the program's own; the dead among those adopted are reaped."""
        found = list(_below(family.pid)) if family.pid in self._unreaped else []
        for pid in self._adopted():
            if self._belongs(pid, family):
                found += [pid, *_below(pid)]
        return found[:MOST_FOUND]

    def reap(self) -> None:
        """Ask the dead among those adopted for their exit codes: nobody else will."""
        for _ in self._adopted():
            pass

    def _adopted(self) -> Iterator[int]:
        """Children of this process that it did not start, and that live."""
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
    """Whether a child has ended; then it was reaped."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG) is not None
    except ChildProcessError:
        return True


def _below(pid: int) -> Iterator[int]:
    """All descendants of a process."""
    waiting = _children(pid)
    for _ in range(MOST_FOUND):
        if not waiting:
            return
        yield (each := waiting.pop())
        waiting += _children(each)


def _children(pid: int) -> list[int]:
    """The children of a process; none where it has ended, or where there is no such /proc."""
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
    """The environment with which a process began, each line between zeros."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
        return b"\0" + file.read(ENVIRONMENT_BYTES) + b"\0"
    return b""


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to each that is still there, and may be signalled."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
