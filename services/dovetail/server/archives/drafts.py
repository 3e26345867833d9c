"""A file that gets its name when it is whole and on disk."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from dovetail.server.store.moving.errors import MoveRefusedError

DRAFT_NAME_CHARACTERS = 100
BUFFER_BYTES = 1024 * 1024


@contextmanager
def new_file(target: Path) -> Generator[BinaryIO]:
    """A new file, for its owner alone. It is there only if the block ends without an error.

    What a kill leaves is a draft beside it, which the next attempt writes anew.
    """
    _refuse_taken(target)
    draft = target.with_name(f".{target.name[:DRAFT_NAME_CHARACTERS]}.draft")
    number = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with open(number, "wb", BUFFER_BYTES) as file:
        try:
            # Freed by the kernel when the process dies, so a draft without a lock is nobody's.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MoveRefusedError(f"{target} is being written by another process") from None
        try:
            file.truncate(0)
            os.fchmod(number, 0o600)
            yield file
            file.flush()
            os.fsync(number)
            _place(draft, target)
        finally:
            draft.unlink(missing_ok=True)


def _refuse_taken(target: Path) -> None:
    if target.exists():
        raise MoveRefusedError(f"{target} is there already: name a new file")


def _place(draft: Path, target: Path) -> None:
    """Give the draft its name, unless that was taken meanwhile, and put that on disk too."""
    try:
        os.link(draft, target)
    except FileExistsError:
        _refuse_taken(target)
        raise
    except OSError:  # A file system without links.
        _refuse_taken(target)
        os.rename(draft, target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
