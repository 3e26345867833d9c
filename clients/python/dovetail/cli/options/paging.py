"""How much of a listing a command shows, and from where: --limit, --page-token."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dovetail.cli.output.printing import Output

if TYPE_CHECKING:
    from dovetail.client.pages import Pages
    from dovetail.client.records import Record

R = TypeVar("R", bound="Record")

LIMIT_DEFAULT = 50
PAGE_ITEMS_MAX = 500

limit_option = click.option(
    "--limit",
    "--max",
    "limit",
    type=click.IntRange(0),
    metavar="N",
    default=LIMIT_DEFAULT,
    show_default=True,
    help="At most so many; 0: all.",
)


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of a listing: how many items at most (0: all), and after which page."""

    limit: int
    page_token: str

    async def of(self, pages: Pages[R]) -> AsyncIterator[R]:
        """Iterate over the part of a listing, which was made with its page token."""
        left = self.limit
        while True:
            page = await pages.next_page(min(left or PAGE_ITEMS_MAX, PAGE_ITEMS_MAX))
            for item in page:
                yield item
            left -= len(page) if self.limit else 0
            if not pages.page_token or (self.limit and not left):
                return

    def tell(self, out: Output, pages: Pages[Any], command: str = "") -> None:
        """Say how to go on after the part, if there is more: with the same command, or another."""
        if pages.page_token:
            out.more(self.limit, f"{command and command + ' '}--page-token {pages.page_token}")


def paged(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command that lists the options of a Part, as `part`."""

    @limit_option
    @click.option("--page-token", default="", help="Where to go on.")
    @functools.wraps(function)
    def command(*first: Any, limit: int, page_token: str, **arguments: Any) -> Any:
        return function(*first, part=Part(limit=limit, page_token=page_token), **arguments)

    return command
