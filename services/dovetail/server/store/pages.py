"""Pages: the first items that fit into so many bytes, found by looking at so many rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Generic, NamedTuple, TypeVar

from peewee import Expression

from dovetail.server.store.transaction import Snapshot

T = TypeVar("T")

STEP_ROWS = 20_000
"""Rows that are read for one page if no index fits its filter: 50 to 100 ms."""


class Page(NamedTuple, Generic[T]):
    """Items in order, and the key after which the next page begins; None: there is none.

    A page for which STEP_ROWS rows were read may have few items, or none, and still a next page.
    """

    items: list[T]
    after: Any


def take_bytes(sized: Iterable[tuple[T, int]], most_bytes: int) -> list[T]:
    """The first items, of pairs with their sizes, that fit together; at least one."""
    items: list[T] = []
    total = 0
    for item, size in sized:
        total += size
        if items and total > most_bytes:
            break
        items.append(item)
    return items


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """The range in which a page is searched: after a key, and up to another if that is set."""

    newest_first: bool
    after: Any
    until: Any = None

    def of(self, key: Any) -> list[Expression]:
        """The range as conditions on a key."""
        found: list[Expression] = []
        if self.after is not None:
            found.append(key < self.after if self.newest_first else key > self.after)
        if self.until is not None:
            found.append(key >= self.until if self.newest_first else key <= self.until)
        return found

    def order(self, key: Any) -> Any:
        """The order in which it is read."""
        return key.desc() if self.newest_first else key

    def step(self, snapshot: Snapshot, key: Any, scope: Expression) -> Stretch:
        """Its first STEP_ROWS rows, or all of it if there are fewer."""
        keys = key.model.select(key).where(scope, *self.of(key)).order_by(self.order(key))
        rows = snapshot.select(keys.limit(1).offset(STEP_ROWS - 1))
        return replace(self, until=rows[0][0]) if rows else self
