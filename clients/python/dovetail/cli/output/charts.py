"""A small column chart of block characters for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

EIGHTHS = " ▁▂▃▄▅▆▇█"
FULL = len(EIGHTHS) - 1


def columns(values: Sequence[int], rows: int) -> list[str]:
    """A column for each value, as lines from top to bottom; values above zero are never empty."""
    most = max(values, default=0) or 1
    heights = [ceil(value * rows * FULL / most) for value in values]
    return [
        "".join(EIGHTHS[min(max(height - row * FULL, 0), FULL)] for height in heights)
        for row in reversed(range(rows))
    ]


def merged(values: Sequence[int], columns_max: int) -> tuple[list[int], int]:
    """Sum neighbouring values to at most `columns_max` sums; also returns how many make a sum."""
    width = max(1, ceil(len(values) / columns_max))
    starts = range(0, len(values), width)
    return [sum(values[start : start + width]) for start in starts], width
