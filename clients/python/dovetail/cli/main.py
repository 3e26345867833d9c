"""The root of the command line."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import click

from dovetail.cli.lazy import LazyGroup, lazy_commands
from dovetail.cli.options.config_file import Defaults, read_config
from dovetail.cli.options.settings import with_settings
from dovetail.cli.output.exit_codes import CommandError, output_fault
from dovetail.settings import CONFIG

COMMANDS = lazy_commands(
    ("up", "servers.up:up", "Run both servers on this machine, until Ctrl-C or SIGTERM."),
    ("demo", "demo.command:demo", "Watch a small team of agents work."),
    ("serve", "servers.serve:serve", "Run one server: `messaging` or `tasks`."),
    ("send", "commands.messages:send", "Send TEXT to one or more agents."),
    ("inbox", "commands.messages:inbox", "Show the unacknowledged messages of an inbox."),
    (
        "acknowledge",
        "commands.messages:acknowledge",
        "Acknowledge messages in the inbox of --as, by their sequence.",
    ),
    ("message", "commands.messages:message", "Show messages and their receipts."),
    (
        "thread",
        "commands.messages:thread",
        "Show the messages of a thread, or of a message's or task's thread, in order.",
    ),
    ("agent", "commands.agents:agent", "Register and show agents."),
    ("task", "commands.tasks:task", "Create, manage and work on tasks."),
    (
        "worker",
        "worker.command:worker",
        "Run COMMAND for each ready task, and end the task as COMMAND ends.",
    ),
    (
        "report",
        "commands.tasks:report",
        "Show totals, times and workload over all tasks, or those chosen.",
    ),
    ("team", "commands.teams:team", "Create and list teams, with an admin's token."),
    (
        "token",
        "commands.tokens:token",
        "Create, list, rotate and revoke credentials, with an admin's token.",
    ),
    (
        "status",
        "servers.status:status",
        "Show whether both services serve, and the team's totals.",
    ),
    (
        "doctor",
        "servers.doctor:doctor",
        "Check the store, its disk, the ports, and the connections to the servers.",
    ),
    (
        "config",
        "commands.config:config",
        "Show every setting and its source: flag, environment, file or default.",
    ),
    ("tls", "servers.tls:tls", "Create certificates."),
    (
        "completion",
        "commands.completion:completion",
        "Print the script that lets a shell complete `dovetail` commands.",
    ),
)

# The interpreter collects garbage once more before it ends. All that was loaded stays out of that:
# it would take longer than the whole call of most commands.
atexit.register(gc.freeze)


class _Root(LazyGroup):
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
    commands=COMMANDS,
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
    context.default_map = cast(Any, Defaults(context.obj, context.command))  # click only reads it
