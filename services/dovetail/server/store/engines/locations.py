"""Where a SQLite store lies: from what people name to what SQLite can open."""

from __future__ import annotations

import os
import re
from pathlib import Path

from dovetail.server.store.engines.base import StoreOpenError

SQLITE = "sqlite:///"
PATH_BYTES_MAX = 504
"""As many as SQLite takes, with the suffixes of the files beside the store."""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")


def sqlite_path(url: str) -> Path | None:
    """The path in sqlite:///PATH, or of a plain path; None for the URL of something else."""
    if url.startswith(SQLITE):
        return Path(url.removeprefix(SQLITE))
    return None if _SCHEME.match(url) or not url else Path(url)


def shown(path: Path) -> str:
    """A path as text that can be printed: what is not, stands there as an escape."""
    text = os.fsencode(path).decode(errors="backslashreplace")
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def check_place(path: Path) -> None:
    """Refuse a path at which there cannot be a store, whatever the rights and the room there."""
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
    """The folder of a store, which stays open for as long as a name in it may be needed.

    By its descriptor a name in it is short, where the system has /proc, and so fits where few bytes
    do (a socket's), and where only text does (the driver's): of such a folder's own name they see
    nothing.
    """

    def __init__(self, path: Path) -> None:
        """Open a folder that exists."""
        self._path = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._short = Path(f"/proc/self/fd/{self._descriptor}")
        self.has_short_names = self._short.exists()

    def short_name(self, name: str) -> str:
        """A short path of a name in it; its full path where there is none."""
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
