"""Prints listings as their pages arrive: nothing waits for the last page."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from typing import TypeVar

from dovetail.cli.output.tables import Layout, Listing, Table
from dovetail.cli.output.terminal import is_for_people

M = TypeVar("M")

ROWS_AT_ONCE = 500
"""How many rows are laid out together; those that follow keep the widths of the first."""


async def print_listing(items: AsyncIterator[M], listing: Listing[M]) -> int:
    """Print a row for each item, under one head. Returns how many there were."""
    layout, table = Layout(), Table(*listing.columns)
    printed = waiting = 0
    async for item in items:
        table.add_row(*listing.row(item))
        waiting += 1
        if waiting == ROWS_AT_ONCE:
            _print(table, layout)
            printed, waiting, table = printed + waiting, 0, table.without_head()
    if waiting:
        _print(table, layout)
    return printed + waiting


def _print(table: Table, layout: Layout) -> None:
    if is_for_people():
        from dovetail.cli.output import screen  # Slow to load, and for terminals alone.

        screen.show_rows(table, layout)
    else:
        print(table.plain)
    sys.stdout.flush()
