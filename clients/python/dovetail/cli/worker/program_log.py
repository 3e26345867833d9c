"""A program's standard error: passed on line by line, its end kept for a failure."""

from __future__ import annotations

import time

from dovetail.cli.output.sink import Sink, left_out_note
from dovetail.cli.output.text import escape_controls

LAST_BYTES = 4_000
"""How much of its end is part of a failure."""

LINE_BYTES = 16 * 1024
"""How much of one line is passed on."""

BURST_BYTES = 512 * 1024
BYTES_PER_SECOND = 256 * 1024
"""How much is passed on at once, and afterwards. More is read and left out, so that a program is
never slowed down by its log."""


class ProgramLog:
    """Passes on text that comes in pieces as whole lines, each with a name before it."""

    def __init__(self, name: str, sink: Sink) -> None:
        """Pass on to `sink`."""
        self._prefix = escape_controls(name)
        self._sink = sink
        self._last = b""
        self._line = bytearray()
        self._cut = 0
        self._left_out = 0
        self._budget = float(BURST_BYTES)
        self._time = time.monotonic()

    @property
    def last(self) -> str:
        """The end of all text."""
        return self._last.decode(errors="replace").strip()

    def add(self, data: bytes) -> None:
        """Add a piece, which may end within a line or a character."""
        self._last = (self._last + data[-LAST_BYTES:])[-LAST_BYTES:]
        passed = data[: self._allowed()]
        self._budget -= len(passed)
        if passed:
            self._note()
            self._pass_on(passed)
        self._left_out += len(data) - len(passed)

    def close(self) -> None:
        """Pass on an unfinished last line, and how much was left out."""
        if self._line:
            self._end_line()
        self._note()

    def _allowed(self) -> int:
        now = time.monotonic()
        earned = (now - self._time) * BYTES_PER_SECOND
        self._time, self._budget = now, min(BURST_BYTES, self._budget + earned)
        return int(self._budget)

    def _pass_on(self, data: bytes) -> None:
        *ended, rest = data.split(b"\n")
        for part in ended:
            self._extend(part)
            self._end_line()
        self._extend(rest)

    def _extend(self, part: bytes) -> None:
        room = LINE_BYTES - len(self._line)
        self._line += part[:room]
        self._cut += max(0, len(part) - room)

    def _end_line(self) -> None:
        text = self._line.decode(errors="replace").removesuffix("\r")
        left_out = f" {left_out_note(self._cut)}" if self._cut else ""
        self._sink.line(f"{self._prefix}: {escape_controls(text)}{left_out}")
        self._line.clear()
        self._cut = 0

    def _note(self) -> None:
        """Pass on how much was left out before the next text."""
        if not self._left_out:
            return
        if self._line:
            self._cut += self._left_out
        else:
            self._sink.line(f"{self._prefix}: {left_out_note(self._left_out)}")
        self._left_out = 0
