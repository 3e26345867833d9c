"""The first admin's token, in a file."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from dovetail.server.access.exposure import Exposure, exposure
from dovetail.server.access.tokens import is_token, new_token
from dovetail.server.config import ConfigError

TOKEN_FILE_BYTES_MAX = 4_096


def token_in(path: Path) -> str:
    """Return the token in a file. A file that does not exist is created, for its owner alone.

    Two servers that start at once may both create it: it appears complete, and is the same for
    both.
    """
    try:
        if not path.exists():
            _make(path)
        return _read(path)
    except OSError as error:
        raise ConfigError(f"--admin-token-file {path}: {error}") from error


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.") as draft:
        draft.write(new_token() + "\n")
        draft.flush()
        os.fsync(draft.fileno())
        # A link, not a rename: it fails where another server was first, whose token then counts.
        with suppress(FileExistsError):
            os.link(draft.name, path)


def _read(path: Path) -> str:
    # Checked by its descriptor, so that no other file can take its place between check and read.
    # Without blocking, or opening a pipe would wait for its writer.
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        _refuse_exposed(path, file.fileno())
        token = file.read(TOKEN_FILE_BYTES_MAX).decode(errors="replace").strip()
    if not is_token(token):
        raise ConfigError(
            f"--admin-token-file {path} holds no token: name a file that does not exist yet,"
            " and it is made"
        )
    return token


def _refuse_exposed(path: Path, number: int) -> None:
    """Raise ConfigError for a file with which other users could be, or choose, the admin."""
    status, open_to = os.fstat(number), exposure(number)
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError(f"--admin-token-file {path} is not a regular file: name another")
    if open_to is Exposure.ANOTHER_OWNER:
        raise ConfigError(
            f"--admin-token-file {path} belongs to another user (uid {status.st_uid}), who would"
            " choose who is admin: copy it to a file of your own, or have root own it (chown root)"
        )
    if open_to is Exposure.OTHERS:
        raise ConfigError(
            f"--admin-token-file {path} has mode {mode:04o}: others can open it. chmod 600 {path}"
        )
