"""The standard streams of a process that was started without some of them (`command >&-`)."""

from __future__ import annotations

import os
import sys

STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def open_what_is_closed() -> None:
    """Open an empty stream in place of each that is closed.

    Otherwise the next file or socket that is opened gets its number, and is written to.
    """
    for number, (name, mode) in enumerate(STREAMS):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # It gets the lowest free number: this one.
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 - to the end
