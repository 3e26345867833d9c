"""The audit log: a line of JSON for each change of rights and for each refusal.

No line holds a token, a hash or a word of a request. A thread of its own writes the lines, so that
no call waits for a disk. A file that was moved away is created again: rotation needs no restart.
Lines for which a slow disk leaves no room are lost, but never without a line with their number.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from dovetail.server.config import ConfigError

LINES_MAX = 10_000
"""Lines that may wait to be written; those beyond are lost, and counted. Chosen."""

CLOSE_SECONDS = 1.0
"""How long the end of the server waits for a slow disk."""


class Audit:
    """Records changes of rights, and refusals."""

    def __init__(self, path: Path | None) -> None:
        """Append to the file at `path`, which only its owner may read; None: standard error."""
        # After this the thread alone uses the file, and alone writes `_taken`. `_changed` guards
        # the other three fields.
        self._file = _OwnFile(path) if path else None
        self._waiting: deque[str] = deque()
        self._taken = 0  # lines off the queue that are not written yet
        self._lost = 0
        self._is_closing = False
        self._changed = threading.Condition()
        # A daemon: a disk that hangs must not keep the process alive.
        self._thread = threading.Thread(target=self._write_all, name="dovetail-audit", daemon=True)

    @contextmanager
    def open(self) -> Generator[None]:
        """Write while the block lasts."""
        self._thread.start()
        try:
            yield
        finally:
            with self._changed:
                self._is_closing = True
                self._changed.notify()
            self._thread.join(CLOSE_SECONDS)
            self._report_unwritten()

    def record(self, event: str, **facts: object) -> None:
        """Queue one line: what happened, and its facts. Never waits for the disk."""
        line = _line(event, **facts)
        with self._changed:
            if len(self._waiting) >= LINES_MAX:
                self._lost += 1
                return
            self._append_lost()
            self._waiting.append(line)
            self._changed.notify()

    def _append_lost(self) -> None:
        if self._lost:
            self._waiting.append(_line("lines lost", count=self._lost))
            self._lost = 0

    def _write_all(self) -> None:
        while lines := self._next():
            for line in lines:
                self._write(line)
                self._taken -= 1
        if self._file:
            self._file.close()

    def _next(self) -> list[str]:
        """Wait for lines and return some of them; none: the log is closed."""
        with self._changed:
            while not (self._waiting or self._is_closing):
                self._changed.wait()
            if not self._waiting:
                self._append_lost()
            self._taken = min(len(self._waiting), 100)
            return [self._waiting.popleft() for _ in range(self._taken)]

    def _write(self, line: str) -> None:
        """Write to the file, or to standard error what cannot be written there."""
        if self._file:
            try:
                self._file.write(line.encode(errors="backslashreplace"))
            except OSError:
                self._file.close()
            else:
                return
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(line)
            sys.stderr.flush()

    def _report_unwritten(self) -> None:
        """Report on standard error how many lines the disk did not take in time."""
        if not self._thread.is_alive():
            return
        with self._changed:
            unwritten = len(self._waiting) + self._taken + self._lost
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(_line("lines lost", count=unwritten, why="the disk did not answer"))


class _OwnFile:
    """A file that only its owner may read, also after a rotation. For one thread."""

    def __init__(self, path: Path) -> None:
        """Open it. Raises ConfigError if that fails."""
        self._path = path
        self._fd = -1
        self._is_in_line = False
        try:
            self._open()
        except OSError as error:
            raise ConfigError(
                f"--audit-log {path} cannot be written: {error.strerror}. Name another file"
            ) from error

    def write(self, line: bytes) -> None:
        """Append a line. Raises OSError; the next call tries again, and begins a new line."""
        if self._fd < 0 or self._was_moved():
            self.close()
            self._open()
        rest = memoryview(b"\n" + line if self._is_in_line else line)
        while rest:
            rest = rest[os.write(self._fd, rest) :]
            self._is_in_line = bool(rest)

    def close(self) -> None:
        """Close it; the next line opens it again."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.close(self._fd)
            self._fd = -1

    def _open(self) -> None:
        self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def _was_moved(self) -> bool:
        try:
            named = os.stat(self._path)
        except FileNotFoundError:
            self._is_in_line = False
            return True
        own = os.fstat(self._fd)
        return (named.st_dev, named.st_ino) != (own.st_dev, own.st_ino)


def _line(event: str, **facts: object) -> str:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = {"audit": event, "time": now, **facts}
    return json.dumps(line, ensure_ascii=False, default=str) + "\n"
