"""How a command ends: its exit code, and on failure one line on standard error.

0    done
1    failed, or a server could not start
2    the command line, a setting or the configuration file is wrong
3    something that was named does not exist
4    refused: by the state or your rights, it exists, another caller was first, it is out of range
5    an argument is wrong
6    no answer: the server cannot be reached, or not in time, or does not serve
7    nothing came within the given time
130  stopped by Ctrl-C
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import IO, Any

import click

from dovetail.cli.output.text import escape_controls

FAILED = 1
MISUSED = 2
NOT_FOUND = 3
REFUSED = 4
INVALID = 5
NO_ANSWER = 6
NOTHING_CAME = 7
INTERRUPTED = 130


class CommandError(click.ClickException):
    """A command failed; the text says what is wrong, why, and what to do next."""

    def __init__(self, message: str, exit_code: int = FAILED) -> None:
        """Make an error from a line for standard error and an exit code."""
        super().__init__(" ".join(escape_controls(message).split()))
        vars(self)["exit_code"] = exit_code  # click declares it per class

    def show(self, file: IO[Any] | None = None) -> None:
        """Write the line."""
        click.echo(f"dovetail: {self.message}", file=file, err=True)


def output_fault(error: OSError) -> str:
    """The text for a command that failed to write; detaches standard output.

    Otherwise Python would try to write the rest again at exit, and fail again.
    """
    if error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    with contextlib.suppress(OSError), open(os.devnull, "wb") as empty:
        os.dup2(empty.fileno(), sys.stdout.fileno())
    return f"standard output cannot be written: {error.strerror or error}"
