"""The turnstile: writers of all processes on one SQLite file queue here, in order of arrival.

SQLite's own wait is a poll with growing pauses: a process that commits without a break leaves the
others starving. Two locked files are a fair queue: who holds the gate is next; it waits for the
writer's place and only then lets go of the gate. The kernel frees both when a process dies.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


class Turnstile:
    """Two lock files beside the store. For one thread per process."""

    def __init__(self, store: Path) -> None:
        """Open the lock files of a store, making them if they are absent."""
        self._gate = _open(store.with_name(store.name + "-gate"))
        self._writer = _open(store.with_name(store.name + "-writer"))

    @contextmanager
    def pass_through(self) -> Generator[None]:
        """Hold the writer's place."""
        fcntl.flock(self._gate, fcntl.LOCK_EX)
        try:
            fcntl.flock(self._writer, fcntl.LOCK_EX)
        finally:
            fcntl.flock(self._gate, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(self._writer, fcntl.LOCK_UN)

    @contextmanager
    def open_within(self, seconds: float) -> Generator[None]:
        """Hold the writer's place, or raise TimeoutError: for the start, where somebody watches."""
        deadline = time.monotonic() + seconds
        while not _try_lock(self._writer):
            if time.monotonic() > deadline:
                raise TimeoutError(f"another process has been writing for {seconds:.0f} s")
            time.sleep(0.01)
        try:
            yield
        finally:
            fcntl.flock(self._writer, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the lock files."""
        os.close(self._gate)
        os.close(self._writer)


def _try_lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
