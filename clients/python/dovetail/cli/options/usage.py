"""Usage and budgets on the command line: JSON as in the contract, and amounts with a currency."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from dovetail.cli import late


class _Money(click.ParamType[tuple[str, str]]):
    name = "AMOUNT"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, str]:
        words = str(value).split()
        if len(words) != 2 or not _is_amount(words[0]):
            self.fail(f"{value!r} is not an amount and a currency, such as '2.50 USD'", param, ctx)
        return words[0], words[1].upper()


MONEY = _Money()


def read_usage(
    context: click.Context, parameter: click.Parameter, given: Mapping[str, Any] | None
) -> late.tasks_pb2.Usage | None:
    """The usage that a JSON object has, by the names of the contract."""
    if given is None:
        return None
    from google.protobuf import json_format  # Slow to load, and for this alone.

    try:
        return json_format.ParseDict(dict(given), late.tasks_pb2.Usage())
    except json_format.ParseError as error:
        raise click.BadParameter(
            f"{error}. It may have input_tokens, output_tokens, cached_tokens, model,"
            ' cost ({"amount": "0.02", "currency": "USD"}) and counters ({"searches": 3})',
            context,
            parameter,
        ) from None


def _is_amount(text: str) -> bool:
    whole, _, fraction = text.partition(".")
    return text.isascii() and whole.isdigit() and (fraction.isdigit() or "." not in text)
