"""How wide text is on a terminal, and the part of it that fits."""

from __future__ import annotations

import re

from dovetail.cli.output.text import escape_controls

NARROW = re.compile("[ -~\u00a1-\u02ff\u2010-\u2026\u2190-\u2194\u2500-\u259f]*")
"""Text of which each character is certainly one cell wide: most text, bars and lines."""


def one_line(text: str) -> str:
    """A text of other agents as a cell of a table: without line breaks, tabs and controls."""
    if text.isascii() and text.isprintable() and "  " not in text:  # Fast path for most text.
        return text.strip()
    return escape_controls(" ".join(text.split()))


def width(text: str) -> int:
    """How many cells of a terminal a text fills."""
    if NARROW.fullmatch(text):
        return len(text)
    from rich.cells import cell_len  # Not for most text, as loading it takes a while.

    return cell_len(text)


def beginning(text: str, room: int) -> str:
    """The beginning of a text that fits into so many cells."""
    if room <= 0:
        return ""
    if NARROW.fullmatch(text):
        return text[:room]
    from rich.cells import set_cell_size

    return set_cell_size(text, min(room, width(text)))
