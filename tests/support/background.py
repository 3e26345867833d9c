"""Commands that run beside a test, which may kill them. They begin with the libraries loaded."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence

from support import warm

SECONDS_MAX = 120.0


class Background:
    """`dovetail` with these words, from the moment that it is made."""

    def __init__(self, words: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start it; it has no standard input."""
        self._printed = ["", ""]
        ends = [os.pipe() for _ in range(3)]
        theirs = (ends[0][0], ends[1][1], ends[2][1])
        self._process = warm.Process(("dovetail.cli", *words), environment, theirs)
        os.close(ends[0][1])
        self._readers = [
            threading.Thread(target=_read, args=(end[0], self._printed, at), daemon=True)
            for at, end in enumerate(ends[1:])
        ]
        for reader in self._readers:
            reader.start()

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    @property
    def out(self) -> str:
        """What it printed, once it has ended."""
        return self._printed[0]

    @property
    def error(self) -> str:
        """What it said on standard error, once it has ended."""
        return self._printed[1]

    def kill(self) -> None:
        """kill -9."""
        self._process.kill()

    def wait(self) -> int:
        """Wait for its end; return its exit code."""
        exit_code = self._process.wait(SECONDS_MAX)
        for reader in self._readers:
            reader.join(SECONDS_MAX)
        return exit_code

    def __enter__(self) -> Background:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.wait()


def _read(end: int, printed: list[str], at: int) -> None:
    with os.fdopen(end, errors="replace") as file:
        printed[at] = file.read()
