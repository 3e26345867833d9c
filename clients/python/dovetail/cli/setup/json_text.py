"""JSON that people wrote: changed by inserting and removing text, so that all else stays as it is.

Only plain JSON is read. A file with comments or trailing commas is refused by `parse`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()
DEFAULT_INDENT = "  "


class NotPlainError(ValueError):
    """A text is not plain JSON, or not of the form that is needed."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """A value, and where it stands in the text. `items` are those of an object or a list."""

    start: int
    end: int
    value: Any
    items: Sequence[Item] = ()

    @property
    def is_object(self) -> bool:
        return isinstance(self.value, dict)

    @property
    def is_list(self) -> bool:
        return isinstance(self.value, list)

    def item(self, key: str) -> Item | None:
        """The member of an object with this key."""
        return next((each for each in self.items if each.key == key), None)


@dataclass(frozen=True, kw_only=True)
class Item:
    """A member of an object, or an element of a list, whose key is empty."""

    start: int
    key: str
    node: Node = field(repr=False)


def parse(text: str) -> Node:
    """The value of a text, which must be an object. Raises NotPlainError."""
    try:
        value = json.loads(text, object_pairs_hook=_without_twins)
    except (ValueError, RecursionError) as error:
        raise NotPlainError(str(error)) from error
    if not isinstance(value, dict):
        raise NotPlainError("it is not an object")
    return _node(text, _skip(text, 0))


def insert(text: str, container: Node, key: str, value: Any) -> str:
    """Insert a member (or with an empty key an element) as the last one, in the file's style."""
    newline = "\r\n" if "\r\n" in text else "\n"
    unit = _unit(text)
    if container.items:
        last = container.items[-1]
        lead = _lead(text, container, last.start)
        at, before, after = last.node.end, f",{lead or ' '}", ""
    else:
        outer = _indent_at(text, container.start)
        is_inline = "\n" not in text and len(text.strip()) > len("{}")
        lead = "" if is_inline else f"{newline}{outer}{unit}"
        at, before, after = container.start + 1, lead, "" if is_inline else f"{newline}{outer}"
    rest = container.end - 1 if not container.items else at
    is_block = "\n" in lead
    shown = json.dumps(value, ensure_ascii=False, indent=unit if is_block else None)
    if is_block:
        shown = shown.replace("\n", f"{newline}{lead.rpartition(chr(10))[2]}")
    name = f"{json.dumps(key, ensure_ascii=False)}: " if key else ""
    return f"{text[:at]}{before}{name}{shown}{after}{text[rest:]}"


def remove(text: str, container: Node, index: int) -> str:
    """Remove an item of an object or a list."""
    items = container.items
    if len(items) == 1:
        return text[: container.start + 1] + text[container.end - 1 :]
    if index == 0:
        return text[: items[0].start] + text[items[1].start :]
    return text[: items[index - 1].node.end] + text[items[index].node.end :]


def _lead(text: str, container: Node, at: int) -> str:
    """The white space before an item."""
    start = at
    while start > container.start + 1 and text[start - 1] in " \t\r\n":
        start -= 1
    return text[start:at]


def _unit(text: str) -> str:
    """One step of indentation, as the file has it."""
    found = re.search(r"\{[ \t]*\r?\n([ \t]+)\"", text)
    return found[1] if found else DEFAULT_INDENT


def _indent_at(text: str, at: int) -> str:
    """The indentation of the line on which a place is."""
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has the same key twice")
    return found


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    assert found
    return found.end()


def _node(text: str, at: int) -> Node:
    """The value that starts here, of a text that is JSON."""
    if text[at] in "{[":
        return _container(text, at)
    value, end = _DECODER.raw_decode(text, at)
    return Node(start=at, end=end, value=value)


def _container(text: str, start: int) -> Node:
    is_object = text[start] == "{"
    items: list[Item] = []
    at = _skip(text, start + 1)
    while text[at] not in "}]":
        first, key = at, ""
        if is_object:
            key, at = _DECODER.raw_decode(text, at)
            at = _skip(text, _skip(text, at) + 1)
        node = _node(text, at)
        items.append(Item(start=first, key=key, node=node))
        at = _skip(text, node.end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    values = [each.node.value for each in items]
    value = {each.key: each.node.value for each in items} if is_object else values
    return Node(start=start, end=at + 1, value=value, items=items)
