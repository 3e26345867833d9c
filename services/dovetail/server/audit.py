"""The audit log: a line of JSON for each change of rights and for each refusal.

No line holds a token, a hash or a word of a request. Lines are written by a thread of their own,
and a file that was moved away is made anew, so that log rotation needs no restart.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import TextIOWrapper
from logging.handlers import QueueHandler, QueueListener, WatchedFileHandler
from pathlib import Path
from queue import SimpleQueue

from dovetail.server.config import ConfigError


class Audit:
    """Writes down who changed rights, and who was refused."""

    def __init__(self, path: Path | None) -> None:
        """Append to the file at `path`, made for its owner alone; None: to standard error."""
        handler = _handler(path)
        queue: SimpleQueue[logging.LogRecord] = SimpleQueue()
        self._listener = QueueListener(queue, handler)
        self._handler = handler
        self._log = logging.Logger("dovetail.audit", logging.INFO)
        self._log.addHandler(QueueHandler(queue))

    @contextmanager
    def open(self) -> Generator[None]:
        """Write for as long as the block lasts."""
        self._listener.start()
        try:
            yield
        finally:
            self._listener.stop()
            self._handler.close()

    def note(self, event: str, **facts: object) -> None:
        """Write one line: what happened, and the facts of it."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = {"audit": event, "time": now, **facts}
        self._log.info("%s", json.dumps(line, ensure_ascii=False, default=str))


class _OwnFile(WatchedFileHandler):
    """A file that its owner alone reads, after every rotation too.

    A line that cannot be written there goes to standard error, and the next one tries again.
    """

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except (OSError, ValueError):
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        logging.StreamHandler(sys.stderr).emit(record)
        with contextlib.suppress(OSError):
            self.close()
            self.stream = self._open()

    def _open(self) -> TextIOWrapper:
        def opener(path: str, flags: int) -> int:
            return os.open(path, flags, 0o600)

        return open(self.baseFilename, "a", encoding=self.encoding, opener=opener)


def _handler(path: Path | None) -> logging.Handler:
    if path is None:
        return logging.StreamHandler(sys.stderr)
    try:
        return _OwnFile(path, encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"--audit-log {path} cannot be written: {error.strerror}. Name another file"
        ) from error
