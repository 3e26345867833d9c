"""The kinds of values that options have, and the options that several commands share."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import repeat
from typing import Any

import click

from dovetail.cli.output.text import escape_controls
from dovetail.cli.output.times import read_time
from dovetail.cli.typos import UnknownWord
from dovetail.settings.lengths import check_length, read_length

Labels = tuple[tuple[str, str], ...]
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class _Label(click.ParamType[tuple[str, str]]):
    name = "KEY=VALUE"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, str]:
        key, separator, text = str(value).partition("=")
        if not separator:
            self.fail(f"{value!r} is not KEY=VALUE", param, ctx)
        return key, text


class _Link(click.ParamType[tuple[str, str]]):
    name = "KIND:TASK"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, str]:
        kind, separator, task_id = str(value).partition(":")
        if value and not (separator and kind and task_id):
            self.fail(f"{value!r} is not KIND:TASK, such as relates_to:t3", param, ctx)
        return kind, task_id


class _InputOption(click.ParamType[tuple[str, str]]):
    name = "NAME[=TEXT]"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, str]:
        name, _, text = str(value).partition("=")
        if not name:
            self.fail(f"{value!r} is not NAME or NAME=TEXT, such as no='Not yet'", param, ctx)
        return name, text


class _Time(click.ParamType[datetime]):
    name = "TIME"

    def convert(self, value: Any, param: Any, ctx: Any) -> datetime:
        try:
            read = read_time(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if read.remark:
            click.echo(f"dovetail: {escape_controls(read.remark)}", err=True)
        return read.time


class _NewTime(_Time):
    def convert(self, value: Any, param: Any, ctx: Any) -> datetime:
        return CLEARED if value == "" else super().convert(value, param, ctx)


class _Expiry(click.ParamType[datetime | timedelta]):
    """A length of time from now, or a time."""

    name = "LENGTH|TIME"

    def convert(self, value: Any, param: Any, ctx: Any) -> datetime | timedelta:
        try:
            length = read_length(str(value))
        except ValueError as error:
            if re.match(r"\d{4}-", str(value)):
                return TIME.convert(value, param, ctx)
            self.fail(f"{error}; or a time, such as 2026-11-30T17:00", param, ctx)
        try:
            _ = datetime.now(UTC) + length
        except OverflowError:
            self.fail(f"{value!r} is too long", param, ctx)
        return length


class Length(click.ParamType[timedelta]):
    """A length of time, as `read_length` reads it."""

    name = "LENGTH"

    def __init__(self, at_least: float | None = None, at_most: float | None = None) -> None:
        """Read lengths in these bounds, in seconds; the servers check all others."""
        self._bounds = at_least, at_most

    def convert(self, value: Any, param: Any, ctx: Any) -> timedelta:
        """The length that a text means."""
        try:
            length = read_length(str(value))
            check_length(length.total_seconds(), *self._bounds)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return length


class _Sequences(click.ParamType[tuple[int, ...]]):
    name = "SEQUENCE"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, ...]:
        if not re.fullmatch(r"\s*[1-9]\d{0,18}\s*(,\s*[1-9]\d{0,18}\s*)*", str(value), re.ASCII):
            self.fail(f"{value!r} is not a sequence of your inbox: write 3 or 3,4,5", param, ctx)
        return tuple(map(int, str(value).split(",")))


class _Count(click.ParamType[int]):
    """A number from 1; its help does not say so, as that of click's own type does."""

    name = "N"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        if not re.fullmatch(r"[1-9]\d{0,8}", str(value), re.ASCII):
            self.fail(f"{value!r} is not a number from 1", param, ctx)
        return int(value)


class _Age(click.ParamType[Any]):
    """A length of time; `forever` is 0, and `default` is NONE."""

    name = "AGE"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if isinstance(value, timedelta) or value in (NONE, "default"):
            return NONE if value == "default" else value
        if value == "forever":
            return timedelta(0)
        try:
            return read_length(str(value))
        except ValueError as error:
            self.fail(f"{error}, forever or default", param, ctx)


class _Amount(click.ParamType[Any]):
    """A number from 1, also with k, M or G; `forever` is 0; `default` and `none` are NONE."""

    name = "N"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if isinstance(value, int) or value == NONE:
            return value
        text = str(value)
        if text in ("default", "none"):
            return NONE
        if text == "forever":
            return 0
        match = re.fullmatch(r"([1-9]\d{0,14})([kMG]?)", text, re.ASCII)
        if not match:
            self.fail(f"{text!r} is not a number from 1, such as 1000, 10k, 5M or 1G", param, ctx)
        return int(match[1]) * _FACTORS[match[2]]


class _Most(_Amount):
    """The same for what is unlimited by 0: `none` is 0, and `default` is NONE."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        return 0 if value == "none" else super().convert(value, param, ctx)


_FACTORS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}
NONE = "\0none"
"""What stands for a rule or limit that is taken away."""


class Word(click.Choice[str]):
    """A word of an enum, as JSON has it; in capitals, and with `-` for `_`, it is as good."""

    def __init__(self, choices: Sequence[str]) -> None:
        """Offer these words."""
        super().__init__(choices, case_sensitive=False)

    def normalize_choice(self, choice: object, ctx: click.Context | None) -> str:
        """The word that a text means."""
        return super().normalize_choice(choice, ctx).replace("-", "_")

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        """The word. Raises UnknownWord."""
        word = self.normalize_choice(value, ctx)
        if word not in map(self.normalize_choice, self.choices, repeat(ctx)):
            raise UnknownWord(value, word, self.choices)
        return super().convert(value, param, ctx)


def joined(
    context: click.Context,  # noqa: ARG001
    parameter: click.Parameter,  # noqa: ARG001
    given: tuple[tuple[int, ...], ...],
) -> tuple[int, ...]:
    """All sequences that an option was given, whether in one text or in several."""
    return tuple(itertools.chain.from_iterable(given))


LABEL = _Label()
LINK = _Link()
INPUT_OPTION = _InputOption()
TIME = _Time()
NEW_TIME = _NewTime()
"""A time in place of another; an empty text is CLEARED."""

CLEARED = datetime.max.replace(tzinfo=UTC)
LENGTH = Length()
EXPIRY = _Expiry()
SEQUENCES = _Sequences()
COUNT = _Count()
AGE = _Age()
AMOUNT = _Amount()
MOST = _Most()

label_option = click.option("--label", "labels", type=LABEL, multiple=True, help="A label.")

acknowledge_option = click.option(
    "--acknowledge",
    "--ack",
    "acknowledge",
    type=SEQUENCES,
    multiple=True,
    callback=joined,
    help="Acknowledge these too: 3,4.",
)

lease_option = click.option(
    "--lease",
    "lease_duration",
    type=LENGTH,
    help="You hold it for this long after each heartbeat.  [default: 60s]",
)


def stacked(*options: Decorator) -> Decorator:
    """One decorator for several options, which help lists in this order."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate
