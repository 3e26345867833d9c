"""Writing what a command made to a file, or to standard output."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from pathlib import Path

from dovetail.cli.output.exit_codes import CommandError
from dovetail.settings.replacing import replace_file

STANDARD_OUTPUT = "-"


def write_file(option: str, name: str, content: bytes) -> None:
    """Write the file that an option names. Raises CommandError if it cannot be written.

    A file that is there is replaced at once, as a reader may look at any time; a device or a pipe
    is written to.
    """
    if name == STANDARD_OUTPUT:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    path = Path(name).expanduser()
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(content)
        else:
            replace_file(path.resolve(), content, mode_for(path))
    except OSError as error:
        raise CommandError(f"{option} {name} cannot be written: {error.strerror}") from error


def mode_for(path: Path) -> int:
    """The mode of the file that is there, or that a new one gets."""
    with suppress(OSError):
        return stat.S_IMODE(path.stat().st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
