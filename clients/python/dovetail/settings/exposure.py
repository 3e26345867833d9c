"""Whether a file of secrets is accessible to other users than its reader."""

from __future__ import annotations

import os
import stat
from enum import Enum, auto

ROOT = 0
TO_WRITE, TO_OPEN = 0o022, 0o077


class Exposure(Enum):
    """The users, beside its reader, that can access a file that should be the reader's only."""

    NOBODY = auto()
    ANOTHER_OWNER = auto()
    OTHERS = auto()


def exposure(number: int) -> Exposure:
    """The exposure of the file with descriptor `number`."""
    is_read_only = bool(os.fstatvfs(number).f_flag & os.ST_RDONLY)
    return exposure_of(os.fstat(number), reader=os.geteuid(), is_read_only=is_read_only)


def exposure_of(status: os.stat_result, *, reader: int, is_read_only: bool) -> Exposure:
    """The exposure of a file that the user `reader` reads.

    A file that root provides is accepted as it is: one of root's that another user reads, or one
    on a file system that is mounted read-only. Kubernetes and Docker mount secrets so, with modes
    like 0440, 0444 and 0644. Other users must not be able to write it.

    The client and the server each have a copy; neither imports the other. One test covers both.
    """
    if status.st_uid not in (reader, ROOT):
        return Exposure.ANOTHER_OWNER
    if is_read_only:
        return Exposure.NOBODY
    closed = TO_OPEN if status.st_uid == reader else TO_WRITE
    return Exposure.OTHERS if stat.S_IMODE(status.st_mode) & closed else Exposure.NOBODY
