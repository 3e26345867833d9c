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
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

import click

from dovetail.cli.output.json_values import dumps, without_defaults
from dovetail.cli.output.text import escape_controls
from dovetail.cli.typos import hint_of

FAILED = 1
MISUSED = 2
NOT_FOUND = 3
REFUSED = 4
INVALID = 5
NO_ANSWER = 6
NOTHING_CAME = 7
INTERRUPTED = 130


REASONS = {
    FAILED: "FAILED",
    MISUSED: "WRONG_COMMAND_LINE",
    NOT_FOUND: "NOT_FOUND",
    REFUSED: "REFUSED",
    INVALID: "INVALID",
    NO_ANSWER: "NO_ANSWER",
    NOTHING_CAME: "NOTHING_CAME",
}
"""The reason of an error that no server raised."""


@dataclass(frozen=True, kw_only=True)
class Cause:
    """What a server said of an error, for programs."""

    reason: str = ""
    violations: Sequence[Mapping[str, str]] = ()
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])


class CommandError(click.ClickException):
    """A command failed: what is wrong and why, and as a hint what to do next."""

    as_json = False
    """Whether a program reads standard error."""

    def __init__(
        self, message: str, exit_code: int = FAILED, *, hint: str = "", cause: Cause | None = None
    ) -> None:
        """Make an error from what is wrong and an exit code."""
        super().__init__(_on_one_line(message))
        vars(self)["exit_code"] = exit_code  # click declares it per class
        self.hint = _on_one_line(hint)
        self.cause = cause or Cause()

    @property
    def line(self) -> str:
        """The line for people."""
        said = f"{self.message} [{self.cause.reason}]" if self.cause.reason else self.message
        stop = " " if said.endswith("?") else ". "
        return f"{said}{stop}{self.hint}" if self.hint else said

    def facts(self) -> dict[str, Any]:
        """The object for programs."""
        facts = {
            "reason": self.cause.reason or REASONS.get(self.exit_code, "FAILED"),
            "message": self.message,
            "hint": self.hint,
            "exit_code": self.exit_code,
            "violations": self.cause.violations,
            "metadata": self.cause.metadata,
        }
        return {"error": without_defaults(facts)}

    def show(self, file: IO[Any] | None = None) -> None:
        """Write the line or the object, unless standard error is on a full disk too."""
        text = dumps(self.facts()) if self.as_json else f"dovetail: {self.line}"
        with contextlib.suppress(OSError):
            click.echo(text, file=file, err=True)


def as_command_error(error: click.ClickException, context: click.Context | None) -> CommandError:
    """Any error of a command as one of ours; of a wrong command line, with the way to its help."""
    if isinstance(error, CommandError):
        return error
    known = (error.ctx if isinstance(error, click.UsageError) else None) or context
    # Of an option, click would add those with the most alike names, whatever they mean.
    no_option = isinstance(error, click.NoSuchOption)
    message = error.message if no_option else error.format_message()
    to_help = f"See: {known.command_path} --help" if known and not _STEP.search(message) else ""
    return CommandError(message.rstrip("."), error.exit_code, hint=hint_of(error) or to_help)


_STEP = re.compile(r"[:;?] (for a text .*|or )?(name|read|say|use|write)\b", re.IGNORECASE)
"""How a text goes on that says what to do: then the way to help would be a second step."""


def _on_one_line(text: str) -> str:
    return " ".join(escape_controls(text).split())


def output_fault(error: OSError) -> str:
    """The text for a command that failed to write; detaches standard output.

    Otherwise Python would try to write the rest again at exit, and fail again.
    """
    if error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    with contextlib.suppress(OSError), open(os.devnull, "wb") as empty:
        os.dup2(empty.fileno(), sys.stdout.fileno())
    return f"standard output cannot be written: {error.strerror or error}"
