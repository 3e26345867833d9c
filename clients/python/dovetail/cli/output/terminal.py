"""What the terminal can show, and whether this command may draw on it."""

from __future__ import annotations

import os
import sys
from typing import Any

TERMINAL_VARIABLES = ("FORCE_COLOR", "TTY_COMPATIBLE")
"""The variables by which Rich takes a pipe for a terminal."""

LOCALE_VARIABLES = ("LC_ALL", "LC_CTYPE", "LANG")
"""The first that is set names the locale of characters."""

PLAIN_LOCALES = ("C", "POSIX")
COERCED = "C.UTF-8"
"""Python itself sets LC_CTYPE to this where the locale is C."""


def is_for_people(file: Any = None) -> bool:
    """Whether lines are laid out for a screen: on a terminal, or where COLUMNS gives a width."""
    stream = file or sys.stdout
    return stream.isatty() or any(map(os.environ.get, ("COLUMNS", *TERMINAL_VARIABLES)))


def is_ascii(file: Any = None) -> bool:
    """Whether only ASCII can be relied on: by the encoding, the locale or the kind of terminal."""
    encoding = getattr(file or sys.stdout, "encoding", None) or "utf-8"
    if not encoding.lower().startswith("utf"):
        return True
    return os.environ.get("TERM") == "dumb" or _locale() in PLAIN_LOCALES


def is_in_foreground(file: Any = None) -> bool:
    """Whether a terminal shows this command now, rather than another job of its shell."""
    stream = file or sys.stdout
    if not stream.isatty():
        return False
    try:
        return os.tcgetpgrp(stream.fileno()) == os.getpgrp()
    except OSError:  # Not the terminal that controls this process: no shell shares it.
        return True


def _locale() -> str:
    named = [value for name in LOCALE_VARIABLES if (value := os.environ.get(name))]
    if named[:1] == [COERCED] and not os.environ.get("LC_ALL"):
        named = [*named[1:], *named]
    return named[0] if named else ""
