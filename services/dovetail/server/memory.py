"""Returns freed memory to the system, where the C library supports it.

A large request takes many times its size while it is read. glibc keeps what was freed, in pieces
between what is still in use; `malloc_trim` returns all whole pages of it.
"""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable
from typing import Any

TRIM_SECONDS = 10.0


def _trim() -> Callable[[int], Any] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # Another C library.
        return None


async def trim_regularly(forget: Callable[[], None]) -> None:
    """Every few seconds, without end, call `forget` and return freed memory."""
    trim = _trim()
    while True:
        await asyncio.sleep(TRIM_SECONDS)
        forget()
        if trim:
            # In a thread: it may take long, and ctypes releases the interpreter meanwhile.
            await asyncio.to_thread(trim, 0)
