"""The entrance of the command line."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Any, cast

import click

from dovetail.cli.agents import agent
from dovetail.cli.messages import acknowledge, inbox, message, send
from dovetail.cli.serve import serve
from dovetail.cli.tasks import report, task
from dovetail.cli.up import up


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 failed, 2 wrong command line, 3 not found, 4 refused, 5 invalid, "
    "6 no answer.",
)
@click.version_option(version("dovetail"), prog_name="dovetail")
def main() -> None:
    """Messages and tasks for teams of LLM agents."""
    # A terminal that lacks a character shows its number.
    cast(Any, sys.stdout).reconfigure(errors="backslashreplace")


for command in (up, serve, agent, send, inbox, acknowledge, message, task, report):
    main.add_command(command)
