"""An output for commands whose work matters more than what they print.

Writing never blocks its caller and never raises. A reader that left, a full disk, a pipe without a
reader, a terminal that stopped or belongs to another job by now: each costs lines, and nothing
else. The next text is preceded by a note of how many bytes were left out.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TextIO

from dovetail.cli.output.signs import signs

PENDING_BYTES = 1024 * 1024
"""How much may wait for a slow reader; more is left out."""

CLOSE_SECONDS = 0.5
"""How long the end of a command waits for a slow reader."""

GONE = frozenset({errno.EPIPE, errno.EBADF, errno.EIO, errno.ENXIO, errno.ECONNRESET})
"""Faults after which no output can arrive any more."""

POLL_MILLISECONDS = 100


def left_out_note(size: int) -> str:
    """The note for people that bytes were left out."""
    return f"{signs('…')} {size:,} bytes left out"


class Sink:
    """A stream that is written by a thread of its own, with the interface of a text file."""

    def __init__(self, stream: TextIO | None, note: Callable[[int], str] = left_out_note) -> None:
        """Write to the file of `stream`; None if the process was started without it.

        `note` returns the line that says how many bytes were left out.
        """
        self._fd = _descriptor(stream)
        self._note = note
        self.encoding = stream.encoding if stream else "utf-8"
        self._waiting = deque[tuple[bytes, int]]()
        """Lines, and how many bytes are lost with each: for a note, those that it counts."""
        self._size = 0
        self._left_out = 0
        self._is_in_line = False
        self._is_closing = False
        self._deadline = float("inf")
        self._changed = threading.Condition()
        self.fault = ""
        """Why it can no longer be written to; empty while it can."""
        self._thread = threading.Thread(target=self._write_all, name="dovetail-sink", daemon=True)
        self._thread.start()

    def write(self, text: str) -> int:
        """Queue a text for writing, or count it as left out."""
        data = text.encode(self.encoding, "backslashreplace")
        with self._changed:
            if self.fault or self._is_closing:
                return len(text)
            if self._size + len(data) > PENDING_BYTES:
                self._left_out += len(data)
                return len(text)
            self._append_note()
            self._append(data, len(data))
        return len(text)

    def _append_note(self) -> None:
        """Queue a note of what was left out before the next text."""
        if self._left_out:
            note = f"{self._note(self._left_out)}\n".encode(self.encoding, "backslashreplace")
            self._append(note, self._left_out)
            self._left_out = 0

    def _append(self, data: bytes, worth: int) -> None:
        self._waiting.append((data, worth))
        self._size += len(data)
        self._changed.notify()

    @property
    def left_out(self) -> int:
        """How many bytes were left out since the last note."""
        return self._left_out

    def line(self, text: str) -> None:
        """Queue a line for writing."""
        self.write(text + "\n")

    def flush(self) -> None:
        """Do nothing: the thread writes as soon as it can."""

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        with contextlib.suppress(OSError):
            return os.isatty(self._fd)
        return False

    def fileno(self) -> int:
        """The descriptor that it writes to."""
        return self._fd

    def close(self) -> None:
        """Wait for a short time until everything is written."""
        with self._changed:
            self._append_note()
            self._is_closing = True
            self._deadline = time.monotonic() + CLOSE_SECONDS
            self._changed.notify()
        self._thread.join(CLOSE_SECONDS + 2 * POLL_MILLISECONDS / 1_000)

    def _write_all(self) -> None:
        # A terminal set to do so (`stty tostop`) stops a background process that writes, unless it
        # blocks this signal. Only this thread blocks it: programs do not inherit that.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        with contextlib.suppress(BrokenPipeError):
            while parts := self._next():
                self._write(parts)

    def _next(self) -> list[tuple[bytes, int]]:
        """Wait for the parts to write next; empty if there will be no more."""
        with self._changed:
            while not (self._waiting or self._is_closing):
                self._changed.wait()
            parts = list(self._waiting)
            self._waiting.clear()
            self._size = 0
        if parts and self._is_in_line:  # A fault cut the last line.
            parts.insert(0, (b"\n", 0))
        return parts

    def _write(self, parts: list[tuple[bytes, int]]) -> None:
        """Write all parts. Raises BrokenPipeError if there will never be a reader again."""
        data = b"".join(part for part, _ in parts)
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._fd, _in_one_piece(rest)) :]
            except BlockingIOError:
                if not self._is_writable():
                    raise BrokenPipeError from None
            except OSError as error:
                written = len(data) - len(rest)
                if written:
                    self._is_in_line = data[written - 1 : written] != b"\n"
                self._failed(error, _worth(parts, len(rest)))
                return
        self._is_in_line = False

    def _is_writable(self) -> bool:
        """Wait until a non-blocking pipe has room; False once the command no longer waits."""
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        while not poll.poll(POLL_MILLISECONDS):
            if time.monotonic() > self._deadline:
                return False
        return True

    def _failed(self, error: OSError, size: int) -> None:
        with self._changed:
            if error.errno in GONE:
                self.fault = error.strerror or str(error)
                self._waiting.clear()
                raise BrokenPipeError from error
            # A full disk may have room again: the next text is tried, with a note before it.
            self._left_out += size
            if self._is_closing:
                raise BrokenPipeError from error


def _worth(parts: list[tuple[bytes, int]], rest: int) -> int:
    """How many bytes are lost with the last `rest` bytes of the parts."""
    lost = 0
    for data, worth in reversed(parts):
        if rest <= 0:
            break
        lost += worth if len(data) <= rest else min(worth, rest)
        rest -= len(data)
    return lost


def _in_one_piece(data: memoryview) -> memoryview:
    """The first lines of a text, as many as a pipe takes in one piece.

    The workers of a server write to one log: the lines of others may stand between these, and not
    within one. A line that is longer than what a pipe takes so is written alone.
    """
    if len(data) <= select.PIPE_BUF:
        return data
    end = bytes(data[: select.PIPE_BUF]).rfind(b"\n") + 1
    return data[: end or bytes(data).find(b"\n") + 1 or len(data)]


def _descriptor(stream: TextIO | None) -> int:
    try:
        return stream.fileno() if stream else -1
    except (OSError, ValueError):
        return -1
