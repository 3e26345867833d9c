"""What is put into a file of a host: a part, which can be taken out again.

A part is added to the text of a file, and removed from it, also after others changed the rest. What
is not its own is never touched: where that cannot be, it raises.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, cast

from dovetail.cli.setup import json_text
from dovetail.cli.setup.json_text import Node, NotPlainError

Path: TypeAlias = tuple[str, ...]
"""The keys that lead to a value of a JSON file."""


class PartError(Exception):
    """A part cannot be added to a text, or taken out of it: why, and what to do."""


@dataclass(frozen=True, kw_only=True)
class JsonPart:
    """Values in a JSON file: `members` by their path, and `elements` at the end of lists.

    `defaults` are members that a file needs where it has none; they count as the file's own.
    """

    members: Mapping[Path, Any]
    elements: Mapping[Path, Any]
    defaults: Mapping[str, Any]
    there: frozenset[Path] = frozenset()
    """What the file had before: an object that is empty then is not removed."""

    @property
    def shown(self) -> str:
        """As a file that has nothing else."""
        return self.add("")

    def on(self, text: str) -> JsonPart:
        """The part as it is added to this text, for taking it out again."""
        prefixes = {
            path[:end]
            for path in (*self.members, *self.elements)
            for end in range(1, len(path) + 1)
        }
        known = _without_bom(text)[1]
        there = {each for each in prefixes if known.strip() and _found(known, each)}
        return replace(self, there=frozenset(there))

    def add(self, text: str) -> str:
        """Insert what is missing."""
        bom, text = _without_bom(text)
        text = text if text.strip() else "{}\n"
        for key, value in self.defaults.items():
            if _parsed(text).item(key) is None:
                text = json_text.insert(text, _parsed(text), key, value)
        for path, value in self.members.items():
            text = _with_member(text, path, value)
        for path, value in self.elements.items():
            text = _with_element(text, path, value)
        return bom + text

    def remove(self, text: str) -> str:
        """Remove what is as it was added, and the objects and lists that are empty then."""
        bom, text = _without_bom(text)
        for path, value in self.members.items():
            found = _found(text, path)
            if found is not None and found.value != value:
                raise PartError(f"{'.'.join(path)} was changed since: remove it by hand")
            if found is not None:
                text = self._without(text, path)
        for path, value in self.elements.items():
            found = _found(text, path)
            values = cast("list[Any]", found.value) if found else []
            if found and value in values:
                text = json_text.remove(text, found, values.index(value))
                text = self._without_empty(text, path)
        return bom + text

    def _without(self, text: str, path: Path) -> str:
        """Without the value at a path, and without what holds it and is empty then."""
        *_, parent, _ = _nodes(text, path)
        index = next(at for at, each in enumerate(parent.items) if each.key == path[-1])
        return self._without_empty(json_text.remove(text, parent, index), path[:-1])

    def _without_empty(self, text: str, path: Path) -> str:
        found = _found(text, path) if path and path not in self.there else None
        return self._without(text, path) if found and not found.items else text

    def is_nothing_left(self, text: str) -> bool:
        """Whether a file has no more than what a new one of ours had."""
        return not text.strip() or _parsed(text).value == dict(self.defaults)


@dataclass(frozen=True, kw_only=True)
class BlockPart:
    """Lines between two marks, at the end of a file; `is_toml` of a file that must stay TOML."""

    begin: str
    end: str
    lines: Sequence[str]
    is_toml: bool = False
    gap: str = ""
    """What was added before it."""

    @property
    def shown(self) -> str:
        """With its marks, so that it is found again."""
        return "\n".join((self.begin, *self.lines, self.end, ""))

    def on(self, text: str) -> BlockPart:
        """The part as it is added to this text, for taking it out again."""
        return replace(self, gap=self._gap(text, "\r\n" if "\r\n" in text else "\n"))

    def add(self, text: str) -> str:
        """Append the block, after an empty line."""
        newline = "\r\n" if "\r\n" in text else "\n"
        block = self.shown.replace("\n", newline)
        if block in text:
            return text
        if self.begin in text:
            raise PartError(f"it has a changed block that begins with {self.begin!r}: remove it")
        after = text + self._gap(text, newline) + block
        if self.is_toml:
            self._check_toml(text, after)
        return after

    def remove(self, text: str) -> str:
        """Remove the block, and the line before it that was added with it."""
        newline = "\r\n" if "\r\n" in text else "\n"
        block = self.shown.replace("\n", newline)
        if self.begin not in text:
            return text
        if text.count(block) != 1:
            raise PartError(f"the block that begins with {self.begin!r} was changed since")
        before, _, after = text.partition(block)
        result = before.removesuffix(self.gap) + after
        if self.is_toml:
            self._check_toml(result, text)
        return result

    def is_nothing_left(self, text: str) -> bool:
        """Whether a file has no more than what a new one of ours had."""
        return not text.strip()

    @staticmethod
    def _gap(text: str, newline: str) -> str:
        if not text:
            return ""
        return newline if text.endswith("\n") else newline * 2

    def _check_toml(self, without: str, with_block: str) -> None:
        """Raise PartError unless the block adds its own values, and changes no other."""
        try:
            own, rest = tomllib.loads("\n".join(self.lines)), tomllib.loads(without)
            whole = tomllib.loads(with_block)
        except tomllib.TOMLDecodeError as error:
            raise PartError(f"with or without the block it is not TOML ({error})") from error
        if whole != _joined(rest, own):
            raise PartError("the block would change the meaning of other lines, or they its own")


Part: TypeAlias = JsonPart | BlockPart
"""A part of a file."""


def _joined(rest: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Two documents as one: tables are joined, lists follow each other."""
    found = dict(rest)
    for key, value in own.items():
        there = found.get(key)
        if isinstance(value, dict) and isinstance(there, dict):
            found[key] = _joined(cast("dict[str, Any]", there), cast("dict[str, Any]", value))
        elif isinstance(value, list) and isinstance(there, list):
            found[key] = [*cast("list[Any]", there), *cast("list[Any]", value)]
        else:
            found[key] = value
    return found


def _without_bom(text: str) -> tuple[str, str]:
    return ("\ufeff", text[1:]) if text.startswith("\ufeff") else ("", text)


def _parsed(text: str) -> Node:
    try:
        return json_text.parse(text)
    except NotPlainError as error:
        raise PartError(
            f"it is not plain JSON ({error}); comments and trailing commas would be lost"
        ) from error


def _nodes(text: str, path: Path) -> Iterator[Node]:
    """The nodes on a path, from the root, as far as they are there."""
    node = _parsed(text)
    yield node
    for depth, key in enumerate(path, 1):
        found = node.item(key) if node.is_object else None
        if found is None:
            return
        node = found.node
        if depth < len(path) and not node.is_object:
            raise PartError(f"{'.'.join(path[:depth])} is not an object there")
        yield node


def _found(text: str, path: Path) -> Node | None:
    nodes = list(_nodes(text, path))
    return nodes[-1] if len(nodes) == len(path) + 1 else None


def _with_member(text: str, path: Path, value: Any) -> str:
    *_, node = nodes = list(_nodes(text, path))
    missing = path[len(nodes) - 1 :]
    if not missing:
        if node.value != value:
            raise PartError(f"{'.'.join(path)} is there already, with something else")
        return text
    for key in reversed(missing[1:]):
        value = {key: value}
    return json_text.insert(text, node, missing[0], value)


def _with_element(text: str, path: Path, value: Any) -> str:
    found = _found(text, path)
    if found is None:
        return _with_member(text, path, [value])
    if not found.is_list:
        raise PartError(f"{'.'.join(path)} is not a list there")
    if value in found.value:
        return text
    return json_text.insert(text, found, "", value)
