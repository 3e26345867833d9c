"""The reader of standard output, which may leave at any time."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import sys
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def ending_with_reader() -> Generator[None]:
    """Cancel the block, and raise BrokenPipeError, as soon as the reader of standard output left.

    For commands that wait without end: they would notice only when they next print.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    has_left = False

    def leave() -> None:
        nonlocal has_left
        has_left = True
        loop.remove_reader(sys.stdout)
        task.cancel()

    if not stat.S_ISFIFO(os.fstat(sys.stdout.fileno()).st_mode):
        yield
        return
    loop.add_reader(sys.stdout, leave)  # A pipe's writing end is readable once its reader is gone.
    try:
        yield
    except asyncio.CancelledError:
        if not has_left:
            raise
        task.uncancel()
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from None
    finally:
        loop.remove_reader(sys.stdout)
