"""The files of an open SQLite store: whether they are still those that its connections use.

A file that is removed while it is open goes on living for those who have it open, and for nobody
else: what is written there is lost with the last of them. SQLite does not look. So we do: before a
group of writes, and again before its callers are answered.

SQLite itself removes `-wal` and `-shm` when the last connection of all processes closes. While this
process keeps a connection open, that does not happen: then any change is somebody's doing.
"""

from __future__ import annotations

import os
from pathlib import Path

SUFFIXES = ("", "-wal", "-shm")
_Identity = tuple[int, int] | None


class StoreFiles:
    """The database, its write-ahead log and its shared memory, as they were when it was opened."""

    def __init__(self, path: Path) -> None:
        """Remember the files; a connection has used them, and one stays open from now on."""
        self._paths = {suffix: path.with_name(path.name + suffix) for suffix in SUFFIXES}
        self._identities = {suffix: _identity(path) for suffix, path in self._paths.items()}

    def lost(self) -> Path | None:
        """The first of the files that is no longer there, or is another."""
        for suffix, known in self._identities.items():
            if known is not None and _identity(self._paths[suffix]) != known:
                return self._paths[suffix]
        return None

    def is_database(self, path: Path) -> bool:
        """Whether it is the database itself."""
        return path == self._paths[""]


def has_lost_its_log(path: Path) -> bool:
    """Whether a store has shared memory without a log: SQLite never leaves that behind."""
    log, memory = (path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))
    return memory.exists() and not log.exists()


def _identity(path: Path) -> _Identity:
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_dev, stat.st_ino
