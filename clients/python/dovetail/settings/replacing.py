"""Replacing a file: a reader gets the old content or the new one, whenever it looks."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

NAME_CHARACTERS = 100
"""Of the name of a file so much is in that of its draft, which must not become too long."""


def replace_file(path: Path, content: bytes, mode: int) -> None:
    """Write a file with this mode, in place of one that is there. Raises OSError."""
    number, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:NAME_CHARACTERS]}.")
    try:
        with os.fdopen(number, "wb") as file:
            os.fchmod(number, mode)
            file.write(content)
        os.replace(draft, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(draft)
        raise
