"""The logs of `dovetail up` and their bound: a file and the one before it, of 10 MB each.

The children write by themselves, at the end of the file (O_APPEND), so it is copied and cut off and
never renamed under them. What they write in between, which takes milliseconds, is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import Collection
from pathlib import Path

BYTES_MAX = 10_000_000
LOOK_SECONDS = 5.0


async def keep_small(logs: Collection[Path], bytes_max: int = BYTES_MAX) -> None:
    """Look at the logs now and then, without end; cut off those that have become too large."""
    while True:
        for log in logs:
            await asyncio.to_thread(cut_off, log, bytes_max)
        await asyncio.sleep(LOOK_SECONDS)


def cut_off(log: Path, bytes_max: int) -> None:
    """Move what a log has to the file `.1` beside it, if that is too much.

    Where there is no room for a copy the content is dropped: a full disk stops the servers' store,
    which matters more.
    """
    with contextlib.suppress(OSError):  # It was removed, or is no file of ours any more.
        if log.stat().st_size <= bytes_max:
            return
        before = log.with_name(f"{log.name}.1")
        try:
            with open(before, "wb", opener=_private) as copy, log.open("rb") as content:
                shutil.copyfileobj(content, copy)
        except OSError:
            with contextlib.suppress(OSError):
                before.unlink()
        os.truncate(log, 0)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
