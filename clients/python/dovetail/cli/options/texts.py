"""Texts and JSON objects on the command line: written there, in a file, or on standard input.

`-` is standard input, `@FILE` the file, and `@@…` the text that begins with one `@` less. What is
read is taken as it is: only words of the command line may name a file. All is read before the event
loop runs, so that Ctrl-C ends it at once.
"""

from __future__ import annotations

import json
import os
import sys
from enum import Enum, auto
from typing import Any, cast

import click
from click.core import ParameterSource

from dovetail.cli.output.exit_codes import INTERRUPTED

KIB = 1_024
BODY_BYTES_MAX = 1_024 * KIB
CONTENT_BYTES_MAX = 256 * KIB
TEXT_BYTES_MAX = 64 * KIB
REASON_BYTES_MAX = 16 * KIB
JSON_BYTES_MAX = 4 * 1_024 * KIB
"""Of an object as it is written: with all its spaces it may be longer than what is sent of it."""

STANDARD_INPUT = "dovetail.standard_input"
"""The place in a command's context of the parameter that has read standard input."""


class Blank(Enum):
    """What becomes of a text that is empty, or white space alone: most often an empty variable."""

    REFUSED = auto()
    """It would say nothing: the servers take none, or it may be left out."""
    CONFIRMED = auto()
    """Refused without --data or --option beside it, or --allow-empty: see `allow_empty_option`."""
    TAKEN = auto()


class TextType(click.ParamType[str]):
    """A text of at most so many bytes, where it is read: the servers check all others."""

    name = "TEXT"

    def __init__(self, bytes_max: int, blank: Blank) -> None:
        """Read texts of at most `bytes_max`."""
        self._bytes_max = bytes_max
        self.blank = blank

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        """The text that a word stands for."""
        text = str(value)
        if ctx is None or not ctx.resilient_parsing:
            text = _text_of(self, text, self._bytes_max, param, ctx)
        if self.blank is Blank.REFUSED and not text.strip():
            leave = ", or leave it out" if isinstance(param, click.Option) else ""
            self.fail(f"is empty: say something{leave}", param, ctx)
        return text


class _Object(click.ParamType[dict[str, Any]]):
    name = "JSON"

    def convert(self, value: Any, param: Any, ctx: Any) -> dict[str, Any]:
        word = str(value)
        if ctx is not None and ctx.resilient_parsing:
            return {}
        text = _text_of(self, word, JSON_BYTES_MAX, param, ctx)
        shown = f"{word!r}" if len(word) <= 100 else f"{word[:100]!r}…"
        try:
            parsed = json.loads(text)
        except json.JSONDecodeError as error:
            self.fail(f"{shown} is not JSON: {error}", param, ctx)
        except RecursionError:
            self.fail(f"{shown} is nested too deeply: 30 levels are allowed", param, ctx)
        if not isinstance(parsed, dict):
            self.fail(f"{shown} is not a JSON object", param, ctx)
        return cast("dict[str, Any]", parsed)


BODY = TextType(BODY_BYTES_MAX, Blank.CONFIRMED)
DESCRIPTION = TextType(CONTENT_BYTES_MAX, Blank.REFUSED)
NEW_DESCRIPTION = TextType(CONTENT_BYTES_MAX, Blank.TAKEN)
"""Of an update: an empty one clears it."""
RESULT = TextType(TEXT_BYTES_MAX, Blank.CONFIRMED)
"""A summary or an answer."""
SAYING = TextType(TEXT_BYTES_MAX, Blank.REFUSED)
"""A question, or what went wrong."""
REASON = TextType(REASON_BYTES_MAX, Blank.TAKEN)
"""A reason or a note: it may be left out, so an empty one is the same."""
OBJECT = _Object()


def _text_of(
    kind: click.ParamType[Any],
    word: str,
    bytes_max: int,
    param: click.Parameter | None,
    context: click.Context | None,
) -> str:
    """The text that a word of the command line stands for."""
    if word.startswith("@@"):
        return word[1:]
    if word != "-" and not word.startswith("@"):
        return word
    try:
        found = (
            _read_input(kind, param, context, bytes_max) if word == "-" else _file(word, bytes_max)
        )
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except OSError as error:
        literal = f"; for a text that begins with @ write @{word}" if word != "-" else ""
        kind.fail(f"{_named(word)} cannot be read: {error.strerror}{literal}", param, context)
    if len(found) > bytes_max:
        size = f"{bytes_max // KIB:,} KiB"
        kind.fail(f"{_named(word)} has more than {size}: send less of it", param, context)
    try:
        return found.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        kind.fail(
            f"{_named(word)} is not UTF-8 at byte {error.start + 1}: convert it first, for example"
            " with iconv",
            param,
            context,
        )


def _named(word: str) -> str:
    return "standard input" if word == "-" else repr(word)


def _file(word: str, bytes_max: int) -> bytes:
    with open(os.path.expanduser(word[1:]), "rb") as file:
        return file.read(bytes_max + 1)


def _read_input(
    kind: click.ParamType[Any],
    param: click.Parameter | None,
    context: click.Context | None,
    bytes_max: int,
) -> bytes:
    """What standard input has, which one parameter alone can read."""
    if context is not None:
        earlier = context.meta.setdefault(STANDARD_INPUT, param)
        if earlier is not param:
            first = earlier.get_error_hint(context)
            kind.fail(
                f"standard input was read for {first} already: write one of them into a file, and"
                " name it: @FILE",
                param,
                context,
            )
    found = bytearray()
    # One system call after the other: within one long read Python would not notice every Ctrl-C.
    while len(found) <= bytes_max and (part := os.read(sys.stdin.fileno(), 64 * KIB)):
        found += part
    return bytes(found)


def _check_blank(context: click.Context, parameter: click.Parameter, is_allowed: bool) -> None:  # noqa: ARG001
    """Refuse texts that were given and are empty. Click asks for this option after those given."""
    if is_allowed or context.resilient_parsing:
        return
    for each in context.command.params:
        name = str(each.name)
        if not isinstance(each.type, TextType) or each.type.blank is not Blank.CONFIRMED:
            continue
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        has_more = context.params.get("data") is not None or bool(context.params.get("option"))
        if given and not has_more and not str(context.params[name]).strip():
            raise click.BadParameter(
                "is empty: say something, or confirm it with --allow-empty", context, each
            )


allow_empty_option = click.option(
    "--allow-empty",
    is_flag=True,
    expose_value=False,
    callback=_check_blank,
    help="Also with an empty text.",
)
