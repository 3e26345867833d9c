"""Pages: the first items that fit into so many bytes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


def fitting(sized: Iterable[tuple[T, int]], most_bytes: int) -> list[T]:
    """Of pairs of an item and its size, the first items that together fit; at least one."""
    items: list[T] = []
    total = 0
    for item, size in sized:
        total += size
        if items and total > most_bytes:
            break
        items.append(item)
    return items
