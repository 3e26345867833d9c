"""The turnstile: the writers of all processes on one SQLite file take turns here.

SQLite's own wait is a poll with growing pauses: a process that commits without a break would let
the others starve. Two locked files are a fair queue: the process that holds the gate is next; it
waits for the writer's place and only then releases the gate. The kernel frees both when a process
dies, but not when it is stopped: so each file names its holder, by process and host, while it is
held.

The thread that waits here blocks in the kernel, without a bound: a poll would be neither fair nor
as fast. What is bounded is how long a caller waits for that thread (see `store/executor.py`).

Why it is fair: at most one process waits for the writer's place, the one with the gate. A process
that releases the place and comes back at once finds the gate closed, so it cannot have the place
twice in a row while another waits.

Where it would break: `flock` locks belong to an open file, not to a thread. Two threads of one
process would both pass, and so would a forked child that keeps these descriptors. The store
therefore has one writer thread, and what runs before that thread starts runs alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# A fixed size, so that one write replaces a whole name: a number, a host's name (at most 64 bytes
# on Linux), and a line break.
SIGNATURE_BYTES = 100

# Chosen: only a start and `doctor` poll, and a person does not notice 10 ms.
GLANCE_SECONDS = 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class Holder:
    """A process that holds a lock file, as it describes itself there."""

    pid: int
    host: str

    @property
    def is_here(self) -> bool:
        """Whether it runs on this host, where its process id has a meaning."""
        return self.host == os.uname().nodename

    def __str__(self) -> str:
        """The holder as messages name it."""
        if not self.is_here:
            return f"process {self.pid} of {self.host}"
        state = _state(self.pid)
        return f"process {self.pid}{f' ({state})' if state else ''}"


class PlaceTakenError(TimeoutError):
    """Another process, named if it is known, did not release the writer's place in time."""

    def __init__(self, holder: Holder | None, of: str) -> None:
        """Describe the holder, the store, and what to do."""
        super().__init__(f"{holder or 'another process'} holds the writer's place of {of}")
        if holder is None:
            self.advice = "find it by the command lslocks, and let it go on or end it"
        else:
            pid = holder.pid
            self.advice = f"let it go on (kill -CONT {pid}), or end it (kill -KILL {pid})"


class Turnstile:
    """Two lock files beside the store. For one thread of a process at a time."""

    def __init__(self, store: Path) -> None:
        """Open the lock files of a store, making them if they are absent."""
        self._gate = _LockFile(store.with_name(store.name + "-gate"))
        self._writer = _LockFile(store.with_name(store.name + "-writer"))
        self._store = str(store)
        # Written by the writer's thread alone, read by the event loop (`waiting_seconds`).
        self._waiting_since: float | None = None

    @contextmanager
    def pass_through(self) -> Generator[None]:
        """Hold the writer's place, with this process's name on it."""
        # Signed after the lock and erased before its release, so a name never stands on a place
        # that another process holds. In the microseconds between, the holder is unnamed.
        with self.peep_through():
            self._writer.sign()
            try:
                yield
            finally:
                self._writer.erase()

    @contextmanager
    def peep_through(self) -> Generator[None]:
        """Hold the writer's place for a moment, without a name: a probe must not cost a write."""
        self._enter()
        try:
            yield
        finally:
            self._writer.unlock()

    @contextmanager
    def open_within(self, seconds: float) -> Generator[None]:
        """Hold the writer's place, or raise PlaceTakenError: at the start a person waits."""
        # Past the gate, by a poll: the kernel's queue has no time limit. Others may be faster each
        # time, which does not matter for the one pass of a start.
        deadline = time.monotonic() + seconds
        while not self._writer.try_lock():
            if time.monotonic() > deadline:
                raise self.taken()
            time.sleep(GLANCE_SECONDS)
        self._writer.sign()
        try:
            yield
        finally:
            self._writer.erase()
            self._writer.unlock()

    def waiting_seconds(self) -> float:
        """How long the writer of this process has been waiting here; 0 if it is not."""
        # One read: the writer may reset the field between a test of it and a second read.
        since = self._waiting_since
        return 0.0 if since is None else time.monotonic() - since

    def taken(self) -> PlaceTakenError:
        """The error that names the holder of the place, or of the gate before it."""
        return PlaceTakenError(self._holder(), self._store)

    def check(self, seconds: float) -> None:
        """Raise PlaceTakenError if one process blocks all others for so long."""
        seen, deadline = self._holder(), time.monotonic() + seconds
        while not self._is_free():
            now = self._holder()
            if now != seen and seen and now:
                return  # It changes hands: it is in use.
            seen = now or seen
            if time.monotonic() > deadline:
                raise PlaceTakenError(seen, self._store)
            time.sleep(GLANCE_SECONDS)

    def close(self) -> None:
        """Close the lock files."""
        self._gate.close()
        self._writer.close()

    def _holder(self) -> Holder | None:
        return self._writer.holder() or self._gate.holder()

    def _enter(self) -> None:
        # Without a wait if no process is ahead, but never past one at the gate: the place is tried
        # only while this process holds the gate, which it keeps if only the place is taken.
        if self._gate.try_lock() and self._writer.try_lock():
            self._gate.unlock()
            return
        self._waiting_since = time.monotonic()
        try:
            self._gate.lock()  # Returns at once if the try above has locked it.
            self._gate.sign()
            try:
                self._writer.lock()
            finally:
                self._gate.erase()
                self._gate.unlock()
        finally:
            self._waiting_since = None

    def _is_free(self) -> bool:
        for lock in (self._gate, self._writer):
            if not lock.try_lock():
                return False
            lock.unlock()
        return True


class _LockFile:
    """A file that one process holds at a time, and in which it writes its name meanwhile.

    The lock alone decides who may write; the name is for people, and is never synced to the disk.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        name = f"{os.getpid()} {os.uname().nodename}".encode()[: SIGNATURE_BYTES - 1]
        self._signature = name.ljust(SIGNATURE_BYTES - 1) + b"\n"

    def lock(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def try_lock(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def sign(self) -> None:
        with contextlib.suppress(OSError):  # A full disk: the holder stays without a name.
            os.pwrite(self._file, self._signature, 0)

    def erase(self) -> None:
        with contextlib.suppress(OSError):
            os.pwrite(self._file, b" " * (SIGNATURE_BYTES - 1) + b"\n", 0)

    def holder(self) -> Holder | None:
        """The process that is named there; None if there is no name, or its process has died."""
        # Read without the lock, so perhaps while it is written: what cannot be parsed is no name.
        # A process id that was given again since then would name an innocent process.
        with contextlib.suppress(OSError, ValueError):
            pid, host = os.pread(self._file, SIGNATURE_BYTES, 0).decode().split()
            holder = Holder(pid=int(pid), host=host)
            return holder if _lives(holder) else None
        return None

    def close(self) -> None:
        os.close(self._file)


def _state(pid: int) -> str:
    """Why a process does not go on by itself, where that can be seen; else empty."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return ""
    letter = stat.rpartition(")")[2].split()[0]
    return {"T": "stopped", "t": "stopped by a debugger", "D": "waiting for a disk"}.get(letter, "")


def _lives(holder: Holder) -> bool:
    """Whether the process is there; one of another host counts as alive."""
    if not holder.is_here:
        return True
    try:
        os.kill(holder.pid, 0)
    except OSError as error:
        return not isinstance(error, ProcessLookupError)
    return True
