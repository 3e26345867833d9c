"""How a command prints: --json, --fields, --brief, --max-chars."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from dovetail.cli.options.kinds import kind_of, read_fields
from dovetail.cli.output.printing import Format, Output

F = TypeVar("F", bound=Callable[..., Any])

JSON = "dovetail.json"
MAX_CHARS = "dovetail.max_chars"
PREVIEW_CHARACTERS = 1_000
"""How much of a long text people see."""


def asks_for_json(context: click.Context | None, words: Sequence[str]) -> bool:
    """Whether a program reads what a command prints; `words` count until its options are read."""
    if context and JSON in context.meta:
        return context.meta[JSON]
    options = words[: words.index("--")] if "--" in words else words
    return any(word == "--json" or word.partition("=")[0] == "--fields" for word in options)


def _ask_for_json(context: click.Context, _: click.Parameter, as_json: bool) -> bool:
    context.meta[JSON] = as_json
    return as_json


def errors_as_lines(context: click.Context, _: click.Parameter, as_json: bool) -> bool:
    """Of a command whose standard error is a log: its errors are lines for people all the same."""
    context.meta[JSON] = False
    return as_json


json_option = click.option(
    "--json", "as_json", is_flag=True, callback=_ask_for_json, help="Print JSON."
)
"""For commands that print JSON, or else what no option can shorten."""


def prints(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command its `output`, and the options by which it is chosen."""

    @json_option
    @click.option("--fields", "chosen", metavar="A,B.C", help="JSON with these fields.")
    @click.option("--brief", is_flag=True, help="One line per item.")
    @click.pass_context
    @functools.wraps(function)
    def command(
        context: click.Context,
        /,
        *first: Any,
        as_json: bool,
        chosen: str | None,
        brief: bool,
        **arguments: Any,
    ) -> None:
        context.meta[JSON] = as_json or chosen is not None
        if brief and context.meta[JSON]:
            raise click.UsageError("--brief does not go with --json or --fields")
        kind = kind_of(context)
        out = Output(
            Format(
                as_json=context.meta[JSON],
                fields=read_fields(kind, chosen) if chosen is not None else {},
                brief=brief,
                is_change=kind.is_change,
                max_chars=_max_chars(context),
            )
        )
        function(*first, output=out, **arguments)

    return command


def _record(context: click.Context, _: click.Parameter, value: int | None) -> None:
    context.meta[MAX_CHARS] = value


def _max_chars(context: click.Context) -> int:
    """How many characters of a long text are printed; 0: all."""
    given: int | None = context.meta.get(MAX_CHARS)
    if given is not None:
        return given
    return 0 if context.meta[JSON] or MAX_CHARS not in context.meta else PREVIEW_CHARACTERS


def _max_chars_option(default: int | None, told: str) -> Callable[[F], F]:
    return click.option(
        "--max-chars",
        type=click.IntRange(0),
        metavar="N",
        default=default,
        expose_value=False,
        callback=_record,
        help=f"Of a long text; 0: all.  [default: {told}]",
    )


max_chars_option = _max_chars_option(None, f"{PREVIEW_CHARACTERS:,}; JSON: 0")
all_chars_option = _max_chars_option(0, "0")
"""For commands that print what others wrote, cut or whole. The Format of their Output has it."""
