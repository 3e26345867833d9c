"""Options of the commands that run a program again and again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from dovetail.cli.options.values import LENGTH

program_argument = click.argument("words", metavar="COMMAND [ARG]...", nargs=-1, required=True)
time_limit_option = click.option(
    "--time-limit", type=LENGTH, help="End a program that takes longer."
)
grace_option = click.option(
    "--grace",
    type=LENGTH,
    default="10s",
    show_default=True,
    help="How long they may take to end.",
)


def concurrency_option(what: str) -> Callable[[Any], Any]:
    """How many programs may run at once, each for one of these."""
    return click.option(
        "--concurrency",
        type=click.IntRange(1, 1_000),
        metavar="N",
        default=1,
        show_default=True,
        help=f"{what} at once.",
    )
