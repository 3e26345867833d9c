"""Parts of what is printed: the fields that were chosen, and the beginning of long texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias, cast

from dovetail.cli.output.json_values import dumps

Tree: TypeAlias = "dict[str, Tree]"
"""Fields by name, each with those below it; without any, the whole field."""

TEXTS = (
    *("subject", "body", "title", "description", "summary", "text", "message", "note"),
    "cancel_reason",
)
"""The fields that may be long: texts that callers write."""

FREE_CONTENT = ("data", "input")
"""The fields that are of any shape: their length is that of their JSON."""


def tree_of(paths: Iterable[Sequence[str]]) -> Tree:
    """Paths as a tree; a field that is chosen as a whole keeps all that is below it."""
    tree: Tree = {}
    whole: set[tuple[str, ...]] = set()
    for path in paths:
        branch = tree
        for number, step in enumerate(path, start=1):
            branch = branch.setdefault(step, {})
            if tuple(path[:number]) in whole:
                break
        else:
            branch.clear()
            whole.add(tuple(path))
    return tree


def pick(value: Any, tree: Tree) -> Any:
    """The chosen parts of a value, in its own shape; of a list those of each item."""
    if not tree:
        return value
    if isinstance(value, list):
        return [pick(each, tree) for each in cast("list[Any]", value)]
    if not isinstance(value, Mapping):
        return value
    item = cast("Mapping[str, Any]", value)
    return {name: pick(item[name], below) for name, below in tree.items() if name in item}


def shorten(value: Any, characters: int) -> Any:
    """A value whose long texts are cut; `NAME_left_out` beside each says how much is missing."""
    if isinstance(value, list):
        return [shorten(each, characters) for each in cast("list[Any]", value)]
    if not isinstance(value, Mapping):
        return value
    short: dict[str, Any] = {}
    for name, each in cast("Mapping[str, Any]", value).items():
        short |= _field(name, each, characters)
    return short


def _field(name: str, value: Any, characters: int) -> dict[str, Any]:
    if name in FREE_CONTENT and isinstance(value, Mapping):
        size = len(dumps(value))
        return {name: value} if size <= characters else {f"{name}_left_out": size}
    if name in TEXTS and isinstance(value, str) and len(value) > characters:
        return {name: value[:characters], f"{name}_left_out": len(value) - characters}
    return {name: shorten(value, characters)}


def preview(text: str, characters: int, way: str) -> str:
    """The beginning of a long text, and the way to the rest; 0 characters: all of it."""
    left = len(text) - characters
    if not characters or left <= 0:
        return text
    return f"{text[:characters]}… {left:,} more characters: {way}"
