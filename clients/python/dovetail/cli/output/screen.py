"""What commands draw on: a terminal, a pipe or a file, by way of Rich."""

from __future__ import annotations

import errno
import os
import sys
from typing import Any

from rich.console import Console, RenderableType
from rich.live import Live
from rich.style import Style
from rich.text import Text

from dovetail.cli.output import styled, tables
from dovetail.cli.output.terminal import is_ascii, is_in_foreground

PIPE_COLUMNS = 10_000

PALETTE = {
    "dim": "color(243)",
    "red": "color(160)",
    "green": "color(28)",
    "yellow": "color(130)",
    "blue": "color(32)",
    "magenta": "color(133)",
    "cyan": "color(30)",
    "bright_green": "color(64)",
    "bright_yellow": "color(166)",
    "bright_blue": "color(68)",
    "bright_cyan": "color(31)",
}
"""What styles name: colours that can be read on black and on white, with 256 colours or more."""


class _Screen(Console):
    """A console whose reader may close the pipe, as `head` does: raises instead of exiting.

    An exit in the middle of several asyncio tasks is reported as a crash. Click ends silently.
    """

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    def show_cursor(self, show: bool = True) -> bool:  # noqa: ARG002 - as Rich has it
        """Leave the cursor: a job that is stopped meanwhile would leave a shell without one."""
        return False

    @property
    def encoding(self) -> str:
        """The encoding by which Rich chooses the lines of its drawings."""
        return "ascii" if is_ascii(self.file) else super().encoding

    def get_style(self, name: str | Style, *, default: Style | str | None = None) -> Style:
        """A style by its words, in the colours of the palette."""
        if isinstance(name, str):
            name = " ".join(PALETTE.get(word, word) for word in name.split())
        return super().get_style(name, default=default)


class ForegroundLive(Live):
    """Lines that are drawn again and again, while a terminal shows this command.

    In the background they would be drawn over what the shell and its other jobs print.
    """

    def stop(self) -> None:
        """Draw for the last time, or remove what was drawn, unless another job has the terminal."""
        if not is_in_foreground(self.console.file):
            self.transient = False
        super().stop()

    def refresh(self) -> None:
        """Draw, unless another job has the terminal."""
        if is_in_foreground(self.console.file):
            super().refresh()

    def process_renderables(self, renderables: list[Any]) -> list[Any]:
        """Draw below what is printed, unless another job has the terminal."""
        if not is_in_foreground(self.console.file):
            return renderables
        return super().process_renderables(renderables)


def console(file: Any = None) -> Console:
    """A console on standard output, or on `file`. In a pipe it does not wrap lines."""
    is_terminal = (file or sys.stdout).isatty()
    wide = None if is_terminal or "COLUMNS" in os.environ else PIPE_COLUMNS
    return _Screen(highlight=False, markup=False, emoji=False, width=wide, file=file)


def show_rows(table: tables.Table, layout: tables.Layout) -> None:
    """Draw the rows of a table on standard output, with the widths of an earlier part."""
    screen = console()
    for line in table.lines(screen.width, layout):
        screen.print(line, no_wrap=True, overflow="ignore", crop=False)


def show(shown: RenderableType | tables.Shown) -> None:
    """Draw on standard output, at once. Text is not wrapped."""
    console().print(shown, soft_wrap=isinstance(shown, (str, Text, styled.Text)))
    sys.stdout.flush()
