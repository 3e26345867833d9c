"""The output of commands: for people, or as JSON: an object, or a list as one array."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from dovetail.cli.output.json_values import dumps, fields, without_defaults
from dovetail.cli.output.styled import Shown, Text

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from rich.console import RenderableType

M = TypeVar("M", bound="Message")
Renderable: TypeAlias = "Shown | RenderableType"

TERMINAL_VARIABLES = ("FORCE_COLOR", "TTY_COMPATIBLE")
"""The variables by which Rich takes a pipe for a terminal."""


class Output:
    """Prints the items of a command."""

    def __init__(self, as_json: bool) -> None:
        """Print for people, or as JSON with the contract's field names."""
        self.as_json = as_json

    def item(self, item: M, shown: Callable[[M], Renderable]) -> None:
        """Print an item: an object on a line, or as `shown` renders it for people."""
        if self.as_json:
            self._print(dumps(fields(item)))
        else:
            self.show(shown(item))

    def items(self, items: Sequence[M], shown: Callable[[Sequence[M]], Renderable]) -> None:
        """Print items: as one array, or for people all of them rendered as one."""
        if self.as_json:
            self._print_array(map(fields, items))
        else:
            self.show(shown(items))

    @contextmanager
    def listing(
        self, shown: Callable[[M], Renderable], nothing: str
    ) -> Generator[Callable[[M], None]]:
        """Print items as they come, by the function that is returned: as one array, or rendered.

        If the block fails, the array has no end: nobody takes a part of it for the whole.
        """
        count = 0

        def add(item: M) -> None:
            nonlocal count
            if self.as_json:
                self._print(f"{',' if count else '['}\n{dumps(fields(item))}", end="")
            else:
                self.show(shown(item))
            count += 1

        yield add
        if self.as_json:
            self._print("\n]" if count else "[]")
        elif not count:
            self.show(nothing)

    def facts(self, facts: Mapping[str, Any], shown: Callable[[], Renderable]) -> None:
        """Print values that are not a message of the contract; `shown` renders them for people."""
        if self.as_json:
            self._print(dumps(without_defaults(facts)))
        else:
            self.show(shown())

    def facts_list(
        self, items: Sequence[Mapping[str, Any]], shown: Callable[[], Renderable]
    ) -> None:
        """Print several of them; `shown` renders them all for people."""
        if self.as_json:
            self._print_array(map(without_defaults, items))
        else:
            self.show(shown())

    def _print_array(self, items: Iterable[Mapping[str, Any]]) -> None:
        """Print an array, with an item on each line between its brackets."""
        lines = ",\n".join(map(dumps, items))
        self._print(f"[\n{lines}\n]" if lines else "[]")

    def _print(self, text: str, end: str = "\n") -> None:
        """Print a text for programs, at once: the reader may be a pipe."""
        print(text, end=end, flush=True)

    def remark(self, text: str) -> None:
        """Print a remark for people; JSON output has none."""
        if not self.as_json:
            self.show(text)

    def show(self, shown: Renderable) -> None:
        """Print for people, at once: the reader may be a pipe."""
        text = shown.plain if isinstance(shown, Text) else shown
        if isinstance(text, str) and _is_plain(text):
            print(text, flush=True)
            return
        from dovetail.cli.output import screen  # Slow to load, and for these alone.

        screen.show(shown)


def _is_plain(text: str) -> bool:
    """Whether standard output gets this text as it is: no styles, and no tabs to expand."""
    if sys.stdout.isatty() or any(map(os.environ.get, TERMINAL_VARIABLES)):
        return False
    return text.replace("\n", "").isprintable()
