"""Commands that run beside a test, which may kill them. They begin with the libraries loaded."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress

from support import warm

SECONDS_MAX = 120.0


class Background:
    """`dovetail` with these words, from the moment that it is made."""

    def __init__(self, words: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start it; it has no standard input."""
        self.exit_code: int | None = None
        self.out = self.error = ""
        self._started = threading.Event()
        self._process_id = 0
        self._thread = threading.Thread(target=self._run, args=(words, environment), daemon=True)
        self._thread.start()
        assert self._started.wait(SECONDS_MAX)

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._thread.is_alive()

    def kill(self) -> None:
        """kill -9."""
        with suppress(ProcessLookupError):
            os.kill(self._process_id, signal.SIGKILL)

    def wait(self) -> int:
        """Wait for its end; return its exit code."""
        self._thread.join(SECONDS_MAX)
        assert self.exit_code is not None, "it still runs"
        return self.exit_code

    def __enter__(self) -> Background:
        return self

    def __exit__(self, *_: object) -> None:
        if self.is_running:
            self.kill()
        self._thread.join(SECONDS_MAX)

    def _run(self, words: Sequence[str], environment: Mapping[str, str]) -> None:
        mine, its = warm.messages()
        with mine:
            ends = [os.pipe() for _ in range(3)]
            theirs = (ends[0][0], ends[1][1], ends[2][1], its.detach())
            warm.fork(("dovetail.cli", *words), environment, theirs)
            os.close(ends[0][1])
            self._process_id = int(mine.recv(32))
            self._started.set()
            printed = ["", ""]
            readers = [
                threading.Thread(target=_read, args=(end[0], printed, at))
                for at, end in enumerate(ends[1:])
            ]
            for reader in readers:
                reader.start()
            status = int(mine.recv(32))
            for reader in readers:
                reader.join()
        self.out, self.error = printed
        self.exit_code = os.waitstatus_to_exitcode(status)


def _read(end: int, printed: list[str], at: int) -> None:
    with os.fdopen(end, errors="replace") as file:
        printed[at] = file.read()
