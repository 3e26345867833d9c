"""The entrance of the command line."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Any, cast

import click

from dovetail.cli.agents import agent
from dovetail.cli.completion import completion
from dovetail.cli.demo.command import demo
from dovetail.cli.doctor import doctor
from dovetail.cli.messages import acknowledge, inbox, message, send, thread
from dovetail.cli.serve import serve
from dovetail.cli.status import status
from dovetail.cli.tasks import report, task
from dovetail.cli.up import up


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 failed, 2 wrong command line, 3 not found, 4 refused, 5 invalid, "
    "6 no answer, 7 nothing came.",
)
@click.version_option(version("dovetail"), prog_name="dovetail")
def main() -> None:
    """Messages and tasks for teams of LLM agents."""
    # A terminal that lacks a character shows its number.
    cast(Any, sys.stdout).reconfigure(errors="backslashreplace")


for command in (
    *(up, demo, serve),
    *(send, inbox, acknowledge, message, thread, agent),
    *(task, report),
    *(status, doctor, completion),
):
    main.add_command(command)
