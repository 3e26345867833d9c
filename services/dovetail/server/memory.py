"""Memory that is free again is given back to the system, where the C library can be told to.

A large request takes many times its size while it is read. glibc keeps what was freed, in pieces
between what still lives; `malloc_trim` gives back all whole pages of it.
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


async def give_back(forget: Callable[[], None]) -> None:
    """Every few seconds, without end, call `forget` and give back what is free."""
    trim = _trim()
    while True:
        await asyncio.sleep(TRIM_SECONDS)
        forget()
        if trim:
            await asyncio.to_thread(trim, 0)  # ctypes lets go of the interpreter meanwhile.
