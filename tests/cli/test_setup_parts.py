"""Parts of files: added to any text and removed again, with nothing of the rest changed."""

from __future__ import annotations

import json
import tomllib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as some

from dovetail.cli.setup.hosts import grouped_hooks, json_part
from dovetail.cli.setup.parts import BlockPart

KEYS = some.sampled_from(["mcpServers", "hooks", "Stop", "a", "ä\n", '"', "}"]) | some.text(
    max_size=4
)
VALUES: some.SearchStrategy[Any] = some.recursive(
    some.none() | some.booleans() | some.integers() | some.text(max_size=5),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
SERVERS = some.dictionaries(KEYS, VALUES, max_size=2)
HOOKS = some.dictionaries(KEYS | some.just("Stop"), some.lists(VALUES, max_size=2), max_size=2)


@some.composite
def configurations(draw: some.DrawFn) -> str:
    """JSON as people and programs write it."""
    value = draw(some.dictionaries(KEYS, VALUES, max_size=3))
    for key, of in (("mcpServers", SERVERS), ("hooks", HOOKS)):
        value.pop(key, None)
        if draw(some.booleans()):
            value[key] = draw(of)
    indent = draw(some.sampled_from([None, 0, 1, 2, 4, "\t"]))
    separators = draw(some.sampled_from([None, (",", ":"), (" , ", " : ")]))
    is_ascii = draw(some.booleans())
    text = json.dumps(value, indent=indent, separators=separators, ensure_ascii=is_ascii)
    text = draw(some.sampled_from(["", "\n", " \t"])) + text + draw(some.sampled_from(["", "\n"]))
    text = text.replace("\n", draw(some.sampled_from(["\n", "\r\n"])))
    return draw(some.sampled_from(["", "\ufeff"])) + text


PART = json_part(
    {("mcpServers", "dovetail"): {"command": "dovetail", "args": ["mcp"]}},
    grouped_hooks({"Stop": "dovetail hook x Stop", "Begin": "dovetail hook x Begin"}),
    {"version": 1},
)


@settings(max_examples=100, deadline=None)
@given(configurations())
def test_json_has_all_that_was_there_and_gets_it_back(text: str):
    before = json.loads(text.removeprefix("\ufeff"))
    if "dovetail" in before.get("mcpServers", {}):
        return
    after = PART.add(text)
    value = json.loads(after.removeprefix("\ufeff"))
    assert value["mcpServers"].pop("dovetail") == {"command": "dovetail", "args": ["mcp"]}
    for event in ("Stop", "Begin"):
        assert value["hooks"][event].pop()["hooks"][0]["command"] == f"dovetail hook x {event}"
        if not value["hooks"][event] and event not in before.get("hooks", {}):
            del value["hooks"][event]
    for key in ("mcpServers", "hooks"):
        if not value[key] and key not in before:
            del value[key]
    assert value == {"version": 1} | before
    assert after.count("\r\n") == (after.count("\n") if "\r\n" in text else 0)
    assert PART.add(after) == after
    removed = PART.on(text).remove(after)
    assert json.loads(removed.removeprefix("\ufeff")) == {"version": 1} | before


LINES = some.lists(
    some.sampled_from(
        [
            "# a comment",
            "",
            "  key = 'x' # y",
            "[table]",
            "[[list]]",
            "[mcp_servers.a]",
            "x = [",
            "]",
        ]
    ),
    max_size=6,
)
BLOCK = BlockPart(
    begin="# begin",
    end="# end",
    lines=["[mcp_servers.dovetail]", "command = 'd'", "[[hooks.Stop]]", "x = 1"],
    is_toml=True,
)


@settings(max_examples=300, deadline=None)
@given(LINES, some.sampled_from(["\n", "\r\n"]), some.booleans())
def test_toml_is_as_it_was_around_the_block(lines: list[str], newline: str, has_end: bool):
    text = newline.join(lines) + (newline if has_end and lines else "")
    try:
        before = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    after = BLOCK.add(text)
    assert after.startswith(text)
    value = tomllib.loads(after)
    assert value.pop("hooks") == {"Stop": [{"x": 1}]}
    assert value["mcp_servers"].pop("dovetail") == {"command": "d"}
    if "mcp_servers" not in before:
        del value["mcp_servers"]
    assert value == before
    assert BLOCK.add(after) == after
    assert BLOCK.on(text).remove(after) == text
