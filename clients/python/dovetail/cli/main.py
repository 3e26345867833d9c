"""The root of the command line."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import click

from dovetail.cli.commands.agents import agent
from dovetail.cli.commands.completion import completion
from dovetail.cli.commands.config import config
from dovetail.cli.commands.graph import graph
from dovetail.cli.commands.messages import acknowledge, inbox, message, send, thread
from dovetail.cli.commands.tasks import report, task
from dovetail.cli.commands.teams import team
from dovetail.cli.commands.tokens import token
from dovetail.cli.commands.work import COMMANDS as WORK
from dovetail.cli.demo.command import demo
from dovetail.cli.options.config_file import read_config
from dovetail.cli.options.settings import with_settings
from dovetail.cli.output.exit_codes import CommandError
from dovetail.cli.output.printing import output_fault
from dovetail.cli.servers.doctor import doctor
from dovetail.cli.servers.serve import serve
from dovetail.cli.servers.status import status
from dovetail.cli.servers.tls import tls
from dovetail.cli.servers.up import up
from dovetail.cli.worker.command import worker
from dovetail.settings import CONFIG


class _Root(click.Group):
    """The commands. An option of the root that is written after a command gets a hint."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run a command, and exit; a full disk is reported in one line, like all errors."""
        try:
            return super().main(*args, **extra)
        except OSError as error:
            fault = CommandError(output_fault(error))
            with suppress(OSError):  # Standard error may be on the same full disk.
                fault.show()
            sys.exit(fault.exit_code)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the named command."""
        try:
            return super().invoke(ctx)
        except click.NoSuchOption as error:
            if error.option_name != CONFIG.flag:
                raise
            message = f"{error.message} Write it before the command: dovetail {CONFIG.flag} FILE …"
            raise click.NoSuchOption(error.option_name, message, ctx=error.ctx) from error


@click.group(
    cls=_Root,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 failed, 2 wrong command line, 3 not found, 4 refused, 5 invalid, "
    "6 no answer, 7 nothing came.",
)
@click.version_option(package_name="dovetail", prog_name="dovetail")
@with_settings(CONFIG)
@click.pass_context
def main(context: click.Context, config: Path | None) -> None:
    """Messages and tasks for teams of LLM agents."""
    # A terminal that cannot show a character shows its code.
    cast(Any, sys.stdout).reconfigure(errors="backslashreplace")
    if config:  # Connections of this command read the same file.
        os.environ[CONFIG.variable] = str(config.absolute())
    context.obj = read_config(config)
    context.default_map = context.obj.defaults(context.command)


for command in (*WORK, graph):
    task.add_command(command)

for command in (
    *(up, demo, serve),
    *(send, inbox, acknowledge, message, thread, agent),
    *(task, worker, report),
    *(team, token),
    *(status, doctor, config, tls, completion),
):
    main.add_command(command)
