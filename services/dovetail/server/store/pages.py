"""Pages: the first items that fit into so many bytes, found by looking at so many rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Generic, NamedTuple, TypeVar

from peewee import ColumnBase, Expression, NodeList

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


class Columns:
    """Two columns as one key: rows with an equal first one are in the order of the second.

    The bound on the first column alone, which seems to say nothing more, is what an index takes.
    """

    def __init__(self, first: ColumnBase, second: ColumnBase) -> None:
        """Both are of one table, with an index that begins with the scope, and then has them."""
        self.model: Any = getattr(first, "model")  # noqa: B009
        self._first, self._second = first, second

    @property
    def both(self) -> tuple[ColumnBase, ColumnBase]:
        """The columns, in order."""
        return self._first, self._second

    def __gt__(self, key: Any) -> Expression:
        return (self._first >= key[0]) & ((self._first > key[0]) | (self._second > key[1]))

    def __ge__(self, key: Any) -> Expression:
        return (self._first >= key[0]) & ((self._first > key[0]) | (self._second >= key[1]))

    def __lt__(self, key: Any) -> Expression:
        return (self._first <= key[0]) & ((self._first < key[0]) | (self._second < key[1]))

    def __le__(self, key: Any) -> Expression:
        return (self._first <= key[0]) & ((self._first < key[0]) | (self._second <= key[1]))


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
        columns = _columns(key)
        return NodeList([each.desc() for each in columns] if self.newest_first else columns, ", ")

    def step(self, snapshot: Snapshot, key: Any, *scope: Expression) -> Stretch:
        """Its first STEP_ROWS rows, or all of it if there are fewer."""
        keys = key.model.select(*_columns(key)).where(*scope, *self.of(key))
        rows = snapshot.select(keys.order_by(self.order(key)).limit(1).offset(STEP_ROWS - 1))
        if not rows:
            return self
        return replace(self, until=rows[0] if isinstance(key, Columns) else rows[0][0])


def _columns(key: Any) -> tuple[Any, ...]:
    return key.both if isinstance(key, Columns) else (key,)
