"""The location of a SQLite store: from what people name to what SQLite can open."""

from __future__ import annotations

import os
import re
from pathlib import Path

from dovetail.server.store.engines.base import StoreOpenError

SQLITE = "sqlite:///"
PATH_BYTES_MAX = 504
"""The limit of SQLite, less the suffixes of the files beside the store."""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")


def sqlite_path(url: str) -> Path | None:
    """The path in sqlite:///PATH, or of a plain path; None for the URL of something else."""
    if url.startswith(SQLITE):
        return Path(url.removeprefix(SQLITE))
    return None if _SCHEME.match(url) or not url else Path(url)


def shown(path: Path) -> str:
    """A path as text that can be printed: what cannot be is escaped."""
    text = os.fsencode(path).decode(errors="backslashreplace")
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def check_place(path: Path) -> None:
    """Raise StoreOpenError for a path at which there cannot be a store."""
    if path.name == ":memory:":
        raise StoreOpenError("a store in memory would lose everything: use sqlite:///PATH")
    size = len(os.fsencode(path))
    if size > PATH_BYTES_MAX:
        raise StoreOpenError(
            f"{SQLITE}{shown(path)} cannot be opened: its path has {size} bytes, and SQLite takes"
            f" {PATH_BYTES_MAX}. Name another: --data-dir DIR"
        )
    if path.exists() and not path.is_file():
        what = "a folder" if path.is_dir() else "no file that could hold it"
        raise StoreOpenError(
            f"{SQLITE}{shown(path)} cannot be opened: it is {what}. Name a file for the store"
            " (--store FILE), or the folder for all data (--data-dir DIR)"
        )


class Folder:
    """The folder of a store, which stays open while names in it may be needed.

    If the system has /proc, a path through the folder's descriptor is short and plain text,
    whatever the folder's own name: so it fits in a socket's address, and the driver takes it.
    """

    def __init__(self, path: Path) -> None:
        """Open a folder that exists."""
        self._path = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._short = Path(f"/proc/self/fd/{self._descriptor}")
        self.has_short_names = self._short.exists()

    def short_name(self, name: str) -> str:
        """A short path of a name in it, or its full path if there is no /proc."""
        return str((self._short if self.has_short_names else self._path) / name)

    def close(self) -> None:
        """Close it."""
        os.close(self._descriptor)


def is_text(path: str) -> bool:
    """Whether a path is UTF-8, so that the driver takes it."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
