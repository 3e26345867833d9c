"""The output of commands: for people, or one JSON object per item."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from dovetail.cli.output.styled import Shown, Text

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from rich.console import RenderableType

M = TypeVar("M", bound="Message")
Renderable: TypeAlias = "Shown | RenderableType"

TERMINAL_VARIABLES = ("FORCE_COLOR", "TTY_COMPATIBLE")
"""The variables by which Rich takes a pipe for a terminal."""


def fields(item: Message) -> dict[str, Any]:
    """A message as a JSON object, with the contract's field names."""
    from google.protobuf.json_format import MessageToDict  # slow to load

    return MessageToDict(
        item, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


class Output:
    """Prints the items of a command."""

    def __init__(self, as_json: bool) -> None:
        """Print for people, or as JSON lines with the contract's field names."""
        self.as_json = as_json

    def item(self, item: M, shown: Callable[[M], Renderable]) -> None:
        """Print an item; `shown` renders it for people."""
        if self.as_json:
            print(json.dumps(fields(item)), flush=True)
        else:
            self.show(shown(item))

    def items(self, items: list[M], shown: Callable[[list[M]], Renderable]) -> None:
        """Print items: a line of JSON each, or for people all of them rendered as one."""
        if not self.as_json:
            self.show(shown(items))
            return
        for item in items:
            self.item(item, lambda _: "")

    def facts(self, facts: Mapping[str, Any], shown: Callable[[], Renderable]) -> None:
        """Print values that are not a message of the contract; `shown` renders them for people."""
        if self.as_json:
            print(json.dumps(facts), flush=True)
        else:
            self.show(shown())

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
