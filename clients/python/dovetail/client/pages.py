"""Listings, which servers return page by page."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from dovetail.client.records import Record, record

Item = TypeVar("Item", bound=Record)


class Pages(AsyncIterator[Item]):
    """The items of a listing: `async for` iterates over all of them, reading page after page.

    `next_page` reads one page. Then `page_token` is where to go on, also later and elsewhere: in a
    listing that is equal in all else. It is empty after the last page.
    """

    def __init__(
        self, read: Callable[[], Awaitable[Any]], request: Any, items: str, kind: type[Item]
    ) -> None:
        """List the field `items` of each response that `read` gets for the request, as records."""
        self._read = read
        self._request = request
        self._items = items
        self._kind = kind
        self._waiting = deque[Item]()
        self._is_read = False

    @property
    def page_token(self) -> str:
        """Where to go on."""
        return self._request.page_token

    async def next_page(self, page_size: int = 0) -> list[Item]:
        """Read a page, of at most so many items (default: what the listing was made with)."""
        self._request.page_size = page_size or self._request.page_size
        response = await self._read()
        self._request.page_token = response.next_page_token
        self._is_read = not response.next_page_token
        return [record(self._kind, item) for item in getattr(response, self._items)]

    async def __anext__(self) -> Item:
        """Return the next item."""
        while not self._waiting:
            if self._is_read:
                raise StopAsyncIteration
            self._waiting.extend(await self.next_page())
        return self._waiting.popleft()
