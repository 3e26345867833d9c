"""Two listings read as one, in order of time: the history of a task, and what was said about it."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from dovetail.cli import late

if TYPE_CHECKING:
    from dovetail.client.records import Record

M = TypeVar("M", bound="Record")

PAGE_ITEMS = 100
END = "end"
"""In place of a page token: nothing is left."""


class Side(Generic[M]):
    """One of two listings, of which some items are left out."""

    def __init__(
        self,
        listing: Callable[[str], late.client.Pages[M]],
        time_of: Callable[[M], datetime],
        token: str,
        *,
        keep: Callable[[M], bool] = lambda _: True,
    ) -> None:
        """Read `listing`, which is made with a page token, from one on."""
        self._listing = listing
        self._token = token
        self._time_of = time_of
        self._keep = keep
        self._pages = listing("" if token == END else token)
        self._waiting = deque[M]()
        self._is_read = token == END
        self._taken = 0

    async def peek(self) -> M | None:
        """The next item that is kept; None: there is none."""
        while True:
            while self._waiting:
                if self._keep(self._waiting[0]):
                    return self._waiting[0]
                self.take()
            if self._is_read:
                return None
            self._waiting.extend(await self._pages.next_page(PAGE_ITEMS))
            self._is_read = not self._pages.page_token

    async def time(self) -> datetime | None:
        """When the next item happened."""
        item = await self.peek()
        return None if item is None else self._time_of(item)

    def take(self) -> M:
        """Take the item that `peek` has returned."""
        self._taken += 1
        return self._waiting.popleft()

    async def token(self) -> str:
        """Where to go on after what was taken: a listing's own token stands after a whole page."""
        if await self.peek() is None:
            return END
        if not self._taken:
            return self._token
        pages, left = self._listing(self._token), self._taken
        while left:
            left -= len(await pages.next_page(min(left, PAGE_ITEMS)))
        return pages.page_token


class Interleaved:
    """Two sides in order of time. Of one moment the first side's item comes first."""

    def __init__(self, first: Side[Any], second: Side[Any], *, newest: bool) -> None:
        """Read the oldest first, or the newest, where the second side's item comes first."""
        self.first, self.second = first, second
        self._newest = newest

    async def items(self, limit: int) -> AsyncIterator[Any]:
        """At most so many items; 0: all."""
        taken = 0
        while not limit or taken < limit:
            side = await self._next()
            if side is None:
                return
            yield side.take()
            taken += 1

    async def token(self) -> str:
        """Where to go on; empty: nothing is left."""
        tokens = [await self.first.token(), await self.second.token()]
        return "" if tokens == [END, END] else ".".join(tokens)

    async def _next(self) -> Side[Any] | None:
        """The side whose item comes next."""
        one, other = await self.first.time(), await self.second.time()
        if one is None or other is None:
            return self.first if one else self.second if other else None
        is_first = one > other if self._newest else one <= other
        return self.first if is_first else self.second


def split(token: str) -> tuple[str, str]:
    """The tokens of both sides, of one that `Interleaved` made."""
    first, _, second = token.partition(".")
    return first, second
