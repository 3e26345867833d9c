"""What commands draw on: a terminal, a pipe or a file, by way of Rich."""

from __future__ import annotations

import errno
import os
import sys
from typing import Any

from rich.console import Console, RenderableType
from rich.text import Text

from dovetail.cli.output import styled

PIPE_COLUMNS = 10_000


class _Screen(Console):
    """A console whose reader may close the pipe, as `head` does: raises instead of exiting.

    An exit in the middle of several asyncio tasks is reported as a crash. Click ends silently.
    """

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def console(file: Any = None) -> Console:
    """A console on standard output, or on `file`. In a pipe it does not wrap lines."""
    is_terminal = (file or sys.stdout).isatty()
    wide = None if is_terminal or "COLUMNS" in os.environ else PIPE_COLUMNS
    return _Screen(highlight=False, markup=False, emoji=False, width=wide, file=file)


def show(shown: RenderableType | styled.Shown) -> None:
    """Draw on standard output, at once. Text is not wrapped."""
    console().print(shown, soft_wrap=isinstance(shown, (str, Text, styled.Text)))
    sys.stdout.flush()
