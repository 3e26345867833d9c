"""The files of an open SQLite store: whether they are still those that its connections use.

A file that is removed while it is open continues to exist for the processes that have it open, and
for no others: what is written there is lost with the last of them. SQLite does not check this. So
we do: before a group of writes, and again before its callers get their results.

SQLite itself removes `-wal` and `-shm` when the last connection of all processes closes. While this
process keeps a connection open, that does not happen: then any change was made from outside.
"""

from __future__ import annotations

import os
from pathlib import Path

SUFFIXES = ("", "-wal", "-shm")
_Identity = tuple[int, int] | None


class StoreFiles:
    """The database, its write-ahead log and its shared memory, as they were when it was opened."""

    def __init__(self, path: Path) -> None:
        """Remember the files. A connection must have used them, and one must stay open."""
        self._paths = {suffix: path.with_name(path.name + suffix) for suffix in SUFFIXES}
        self._identities = {suffix: _identity(path) for suffix, path in self._paths.items()}

    def lost(self) -> Path | None:
        """The first of the files that is gone or was replaced; else None."""
        for suffix, known in self._identities.items():
            if known is not None and _identity(self._paths[suffix]) != known:
                return self._paths[suffix]
        return None

    def is_database(self, path: Path) -> bool:
        """Whether it is the database itself."""
        return path == self._paths[""]


def has_lost_its_log(path: Path) -> bool:
    """Whether a store has shared memory without a log, which SQLite never leaves behind."""
    log, memory = (path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))
    return memory.exists() and not log.exists()


def _identity(path: Path) -> _Identity:
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_dev, stat.st_ino
