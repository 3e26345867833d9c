"""The root of the command line."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import click
from click.core import ParameterSource

from dovetail.cli.lazy import FOLDED, LazyGroup, lazy_commands
from dovetail.cli.options.config_file import (
    ConfigFile,
    Defaults,
    prefer_profile,
    read_config,
    without_profile,
)
from dovetail.cli.options.formats import asks_for_json
from dovetail.cli.options.settings import with_settings
from dovetail.cli.output.exit_codes import MISUSED, CommandError, as_command_error, output_fault
from dovetail.settings import CONFIG, PROFILE

COMMANDS = lazy_commands(
    ("up", "servers.up:up", "Run both servers on this machine."),
    ("demo", "demo.command:demo", "Watch a small team of agents work."),
    ("serve", "servers.serve:serve", "Run one server."),
    ("send", "commands.messages:send", "Send TEXT to agents."),
    ("inbox", "commands.messages:inbox", "Show unacknowledged messages."),
    (
        "acknowledge",
        "commands.messages:acknowledge",
        "Acknowledge messages.",
    ),
    ("message", "commands.messages:message", "Show messages and their receipts."),
    (
        "thread",
        "commands.messages:thread",
        "Show a thread.",
    ),
    ("search", "commands.search:search", "Search messages, the newest first."),
    ("watch", "commands.watch:watch", "Wait for something to look at."),
    ("hook", "commands.hook:hook", "Run a hook of HOST."),
    ("agent", "commands.agents:agent", "Register and show agents."),
    ("group", "commands.groups:group", "Make and show groups of agents."),
    ("task", "commands.tasks:task", "Create, manage and work on tasks."),
    ("worker", "worker.command:worker", "Run COMMAND for each ready task."),
    ("mcp", "commands.mcp:mcp", "Serve tools to a model (MCP)."),
    ("web", "servers.web:web", "Serve the page for people."),
    ("attend", "worker.attend:attend", "Reply with COMMAND."),
    ("report", "commands.reporting:report", "Show totals, times and workload."),
    ("team", "commands.teams:team", "Create and list teams (admins)."),
    ("token", "commands.tokens:token", "Manage credentials (admins)."),
    (
        "status",
        "overview.status:status",
        "Show whether both services serve.",
    ),
    ("top", "overview.top:top", "Watch the team at work."),
    (
        "whoami",
        "overview.whoami:whoami",
        "Show your agent, team and servers.",
    ),
    (
        "questions",
        "overview.questions:questions",
        "Show open questions to you.",
    ),
    ("doctor", "servers.doctor:doctor", "Check the store, ports and servers."),
    ("backup", "servers.backups:backup", "Copy the store to a new FILE."),
    ("restore", "servers.backups:restore", "Make the store of a backup FILE."),
    ("export", "servers.moving:export", "Write all that a store holds to FILE, as lines of JSON."),
    ("import", "servers.moving:import_", "Read FILE, which `dovetail export` wrote, into a store."),
    ("store", "servers.moving:store", "Move a store to another database."),
    ("compact", "servers.compacting:compact", "Give free room of the store to the disk."),
    ("config", "commands.config:config", "Show settings and their sources."),
    ("setup", "setup.command:setup", "Configure a model's host."),
    ("tls", "servers.tls:tls", "Create certificates."),
    (
        "completion",
        "commands.completion:completion",
        "Print a script for shell completion.",
    ),
    (
        "help",
        "commands.help:help_",
        "Show help of a command or topic.",
    ),
    folded=(
        *("serve", "team", "token", "doctor", "backup", "restore", "export", "import", "store"),
        *("compact", "config", "tls", "completion", "hook", "setup"),
    ),
)

# The interpreter collects garbage once more before it ends. All that was loaded stays out of that:
# it would take longer than the whole call of most commands.
atexit.register(gc.freeze)


WORDS = "dovetail.words"
"""The whole command line, in the context of the root."""


class _Root(LazyGroup):
    """The commands. Every error ends as one line for people, or one object for programs."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Read the root's own options; help and a wrong command line end here."""
        words = list(args)
        with _errors_shown(None, words):
            context = super().make_context(info_name, args, parent, **extra)
        context.meta[WORDS] = words
        return context

    def invoke(self, ctx: click.Context) -> Any:
        """Run the named command."""
        with _errors_shown(ctx, ctx.meta[WORDS]):
            return super().invoke(ctx)


@contextmanager
def _errors_shown(context: click.Context | None, words: Sequence[str]) -> Generator[None]:
    """Raise an error of the block, whatever it is, as one that click shows as we show all."""
    try:
        yield
        return
    except click.exceptions.NoArgsIsHelpError:
        raise
    except click.ClickException as error:
        cause, shown = error, as_command_error(error, context)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        cause, shown = error, CommandError(output_fault(error))
    # Before a command has read its options, or where it has none for JSON, its words count.
    shown.as_json = asks_for_json(context, words if shown.exit_code == MISUSED else ())
    raise shown from cause


@click.group(
    cls=_Root,
    commands=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"Exit codes: dovetail help exit-codes\n\n{FOLDED['connection']}",
)
@click.version_option(package_name="dovetail", prog_name="dovetail")
@with_settings(CONFIG, PROFILE)
@click.pass_context
def main(context: click.Context, config: Path | None, profile: str | None) -> None:
    """Messages and tasks for teams of LLM agents."""
    # A terminal that cannot show a character shows its code.
    cast(Any, sys.stdout).reconfigure(errors="backslashreplace")
    if config:  # Connections of this command read the same file.
        os.environ[CONFIG.variable] = str(config.absolute())
    is_flag = context.get_parameter_source(PROFILE.key) is ParameterSource.COMMANDLINE
    given = (profile or "") if is_flag else ""
    if given:
        prefer_profile(given)
    context.obj = _settings(context, config, given)
    context.default_map = cast(Any, Defaults(context.obj, context.command))  # click only reads it


def _settings(context: click.Context, config: Path | None, profile: str) -> ConfigFile:
    """The file and the profile. `config` works with a wrong one too: it is the way out."""
    try:
        return read_config(config, profile)
    except CommandError as error:
        if context.invoked_subcommand != "config" or os.environ.get(PROFILE.variable):
            raise
        found = without_profile(config)
        error.show()
        return found
