"""`dovetail demo`: the command."""

from __future__ import annotations

import sys

import click
from click.core import ParameterSource

from dovetail.cli import late
from dovetail.cli.options.calling import Servers, failures_explained, server_options
from dovetail.cli.options.formats import json_option
from dovetail.cli.output.exit_codes import INTERRUPTED
from dovetail.cli.output.printing import Format, Output


@click.command()
@click.option("--here", is_flag=True, help="Use the running servers, in a new team.")
@server_options
@click.option(
    "--speed",
    type=click.FloatRange(0),
    default=1.0,
    show_default=True,
    help="2 is twice as fast, 0 has no pauses.",
)
@json_option
@click.pass_context
def demo(context: click.Context, servers: Servers, here: bool, speed: float, as_json: bool) -> None:
    """Watch a small team of agents work.

    A planner, two coders, a reviewer and a writer exchange messages and tasks for half a minute, on
    temporary servers and a temporary store. With --here, --messaging or --tasks they use running
    ones. With --json it prints an object per event, and the report.
    """
    named = {context.get_parameter_source(name) for name in ("messaging", "tasks")}
    here = here or ParameterSource.COMMANDLINE in named
    from dovetail.cli.demo import play  # Slow to load: not for --help.

    try:
        with failures_explained():
            late.asyncio.run(
                play.run(servers if here else None, speed, Output(Format(as_json=as_json)))
            )
    except late.asyncio.CancelledError:
        sys.exit(INTERRUPTED)
