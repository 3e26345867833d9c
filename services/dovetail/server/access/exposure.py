"""Whether a file of secrets is open to others than its reader."""

from __future__ import annotations

import os
import stat
from enum import Enum, auto

ROOT = 0
TO_WRITE, TO_OPEN = 0o022, 0o077


class Exposure(Enum):
    """To whom a file is open that should be its reader's alone."""

    NOBODY = auto()
    ANOTHER_OWNER = auto()
    OTHERS = auto()


def exposure(number: int) -> Exposure:
    """To whom the file is open that is open here as `number`."""
    is_read_only = bool(os.fstatvfs(number).f_flag & os.ST_RDONLY)
    return exposure_of(os.fstat(number), reader=os.geteuid(), is_read_only=is_read_only)


def exposure_of(status: os.stat_result, *, reader: int, is_read_only: bool) -> Exposure:
    """To whom a file is open whose reader is the user `reader`.

    What root handed out is taken as root left it: a file of root's that another user reads, or one
    on a file system that is mounted read-only. So do Kubernetes and Docker mount secrets, with
    modes like 0440, 0444 and 0644. Nobody else may be able to write it.

    The client and the server have this each; neither imports the other. One test holds for both.
    """
    if status.st_uid not in (reader, ROOT):
        return Exposure.ANOTHER_OWNER
    if is_read_only:
        return Exposure.NOBODY
    closed = TO_OPEN if status.st_uid == reader else TO_WRITE
    return Exposure.OTHERS if stat.S_IMODE(status.st_mode) & closed else Exposure.NOBODY
