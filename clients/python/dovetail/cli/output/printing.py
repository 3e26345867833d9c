"""The output of commands: for people, or as JSON: an object, or a list as one array."""

from __future__ import annotations

import sys
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar, cast

from dovetail.cli.output.brief import facts_line, line
from dovetail.cli.output.chosen import Tree, pick, shorten
from dovetail.cli.output.json_values import dumps, fields, without_defaults
from dovetail.cli.output.listings import print_listing
from dovetail.cli.output.styled import Text
from dovetail.cli.output.tables import Group, Listing, Shown, Table
from dovetail.cli.output.terminal import is_for_people

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from rich.console import RenderableType

M = TypeVar("M", bound="Message")
M_co = TypeVar("M_co", bound="Message", covariant=True)
Renderable: TypeAlias = "Shown | RenderableType"


class Record(Protocol[M_co]):
    """A value of the client, which holds the message that it was read from."""

    @property
    def proto(self) -> M_co:
        """The message."""
        ...


def message_of(item: Record[M] | M) -> M:
    """The message of a record; a message stands for itself."""
    return cast("M", getattr(item, "proto", item))


@dataclass(frozen=True, kw_only=True)
class Format:
    """How a command prints: for people, as JSON (all fields, or those in a tree), or in brief."""

    as_json: bool = False
    fields: Tree = field(default_factory=dict[str, Any])
    brief: bool = False
    is_change: bool = False
    """Whether in brief only the new state is told."""
    max_chars: int = 0
    """How many characters of a long text are printed; 0: all."""


class Output:
    """Prints the items of a command."""

    def __init__(self, chosen: Format) -> None:
        """Print for people, as JSON with the contract's field names, or in brief."""
        self.as_json = chosen.as_json
        self.for_people = not (chosen.as_json or chosen.brief)
        self.max_chars = chosen.max_chars
        self._format = chosen

    def item(self, item: Record[M] | M, shown: Callable[[M], Renderable]) -> None:
        """Print an item: an object on a line, or as `shown` renders it for people."""
        item = message_of(item)
        if self.as_json:
            self._print(self._object(fields(item)))
        elif self._format.brief:
            self._print_brief(item)
        else:
            self.show(shown(item))

    def items(
        self, items: Sequence[Record[M] | M], shown: Callable[[Sequence[M]], Renderable]
    ) -> None:
        """Print items: as one array, or for people all of them rendered as one."""
        items = [message_of(item) for item in items]
        if self.as_json:
            self._print_array(map(fields, items))
        elif self._format.brief:
            for each in items:
                self._print_brief(each)
        else:
            self.show(shown(items))

    @contextmanager
    def listing(
        self, shown: Callable[[M], Renderable], nothing: str
    ) -> Generator[Callable[[Record[M] | M], None]]:
        """Print items as they come, by the function that is returned: as one array, or rendered.

        If the block fails, the array has no end: nobody takes a part of it for the whole.
        """
        count = 0

        def add(item: Record[M] | M) -> None:
            nonlocal count
            item = message_of(item)
            if self.as_json:
                self._print(f"{',' if count else '['}\n{self._object(fields(item))}", end="")
            else:
                self.item(item, shown)
            count += 1

        yield add
        if self.as_json:
            self._print("\n]" if count else "[]")
        elif not count:
            self.remark(nothing)

    async def rows(
        self,
        items: AsyncIterator[Record[M] | M],
        listing: Listing[M],
        if_none: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Print items as they come, as rows of a table; `if_none` may raise if there are none."""
        if self.for_people:
            count = await print_listing(_messages(items), listing)
            if not count:
                await (if_none or _nothing)()
                self.remark(listing.empty)
            return
        count = 0
        with self.listing(str, listing.empty) as add:
            async for item in items:
                add(item)
                count += 1
            if not count:
                await (if_none or _nothing)()

    def facts(
        self,
        facts: Mapping[str, Any],
        shown: Callable[[], Renderable],
        brief: Callable[[Mapping[str, Any]], str] = facts_line,
    ) -> None:
        """Print values that are not a message of the contract; `shown` renders them for people."""
        if self.as_json:
            self._print(self._object(without_defaults(facts)))
        elif self._format.brief:
            self._print(brief(facts))
        else:
            self.show(shown())

    def facts_list(
        self,
        items: Sequence[Mapping[str, Any]],
        shown: Callable[[], Renderable],
        brief: Callable[[Mapping[str, Any]], str] = facts_line,
    ) -> None:
        """Print several of them; `shown` renders them all for people."""
        if self.as_json:
            self._print_array(map(without_defaults, items))
        elif self._format.brief:
            for each in items:
                self._print(brief(each))
        else:
            self.show(shown())

    def more(self, shown: int, way: str) -> None:
        """Say on standard error that there is more than was shown, and how to go on."""
        if self.as_json:
            text = dumps({"more": {"shown": shown, "next": way}})
        else:
            text = f"dovetail: {shown:,} shown, there are more: {way}, or --limit 0 for all"
        print(text, file=sys.stderr, flush=True)

    def line_of(self, facts: Mapping[str, Any]) -> str:
        """The JSON of values that are printed elsewhere."""
        return self._object(without_defaults(facts))

    def _object(self, item: Mapping[str, Any]) -> str:
        """An item as JSON: all of it, or what was chosen."""
        cut = shorten(item, self.max_chars) if self.max_chars else item
        return dumps(pick(cut, self._format.fields))

    def _print_array(self, items: Iterable[Mapping[str, Any]]) -> None:
        """Print an array, with an item on each line between its brackets."""
        lines = ",\n".join(map(self._object, items))
        self._print(f"[\n{lines}\n]" if lines else "[]")

    def _print_brief(self, item: Message) -> None:
        self._print(line(item, self._format.is_change))

    def _print(self, text: str, end: str = "\n") -> None:
        """Print a text as it is, at once: the reader may be a pipe."""
        print(text, end=end, flush=True)

    def remark(self, text: str) -> None:
        """Print a remark for people; programs and readers in brief get none."""
        if self.for_people:
            self.show(text)

    def show(self, shown: Renderable) -> None:
        """Print for people, at once: the reader may be a pipe."""
        if not is_for_people():
            text = shown.plain if isinstance(shown, (Text, Table, Group)) else shown
            if isinstance(text, str):
                print(text, flush=True)
                return
        from dovetail.cli.output import screen  # Slow to load, and for these alone.

        screen.show(shown)


async def _messages(items: AsyncIterator[Record[M] | M]) -> AsyncIterator[M]:
    async for item in items:
        yield message_of(item)


async def _nothing() -> None:
    """What is done about a list without items."""
