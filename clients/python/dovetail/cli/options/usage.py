"""Usage and budgets on the command line: JSON as in the contract, and amounts with their unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from dovetail.cli import late

TOKENS = "tokens"


class _Budget(click.ParamType[tuple[str, str]]):
    name = "AMOUNT"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, str]:
        number, _, unit = " ".join(str(value).split()).partition(" ")
        is_count = unit == TOKENS and number.isascii() and number.isdigit()
        if not is_count and (unit in ("", TOKENS) or not _is_amount(number)):
            self.fail(f"{value!r} is neither an amount, '2.50 USD', nor '9000 tokens'", param, ctx)
        return number, unit


def _fields(
    context: click.Context, parameter: click.Parameter, given: tuple[tuple[str, str], ...]
) -> dict[str, Any]:
    """The budgets as fields of a task."""
    fields: dict[str, Any] = {}
    for number, unit in given:
        name = "max_tokens" if unit == TOKENS else "max_cost"
        if name in fields:
            raise click.BadParameter("one of tokens and one of money is enough", context, parameter)
        fields[name] = int(number) if unit == TOKENS else (number, unit.upper())
    return fields


budget_option = click.option(
    "--budget", type=_Budget(), multiple=True, callback=_fields, help="Of its tree: '5 USD'."
)


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
