"""Groups of commands that are loaded when they are called.

Help and completion of a group need the name and one sentence of each of its commands. A table says
them, so that no other module is loaded; `tests/cli/test_imports.py` checks that they are right.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from importlib import import_module

import click

from dovetail.cli.typos import UnknownCommand

PACKAGE = "dovetail.cli."

FOLDED = {
    "sending": "More options: dovetail help sending",
    "connection": "Connection options: dovetail help connection",
    "server": "Server options: dovetail help server",
}
"""What help says of the options of a topic, in place of a row for each."""


OPERATORS = "For operators (dovetail help operating)"
"""What help says above the names of folded commands."""


class LazyCommand(click.Command):
    """A command that is not loaded yet: its place, `module:name` below this package, and help.

    A folded one is named at the end of the list of commands, and has its row on a page of its own.
    """

    def __init__(self, name: str, place: str, sentence: str, is_folded: bool = False) -> None:
        """Stand in for a command."""
        super().__init__(name, help=sentence)
        self._place = place
        self.is_folded = is_folded

    def load(self) -> click.Command:
        """Load the command itself."""
        module, _, name = self._place.partition(":")
        return getattr(import_module(PACKAGE + module), name)


class LazyGroup(click.Group):
    """A group in which a LazyCommand is replaced by its command once that is called."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is called, and load it."""
        if not (args[0].startswith("-") or ctx.resilient_parsing or args[0] in self.commands):
            raise UnknownCommand(args[0], ctx, self)
        name, command, rest = super().resolve_command(ctx, args)
        return name, loaded(command) if command else None, rest

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a row for each command, and name those that are folded."""
        del ctx
        folded = [each.name for each in folded_commands(self)]
        rows = [
            (name, each.get_short_help_str(formatter.width))
            for name, each in sorted(self.commands.items())
            if name not in folded and not each.hidden
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
        if folded:
            with formatter.section(OPERATORS):
                formatter.write_text(" ".join(map(str, folded)))


def loaded(command: click.Command) -> click.Command:
    """The command itself; its help ends with where to read of the options that are folded."""
    command = command.load() if isinstance(command, LazyCommand) else command
    topics = dict.fromkeys(filter(None, (getattr(each, "topic", "") for each in command.params)))
    if topics:
        command.epilog = "\n\n".join(FOLDED[each] for each in topics)
    return command


def subcommands(group: click.Group) -> Iterator[tuple[str, click.Command]]:
    """Load all commands of a group."""
    return ((name, loaded(command)) for name, command in group.commands.items())


def folded_commands(group: click.Group) -> list[LazyCommand]:
    """The commands of a group that its list only names."""
    found = (each for _, each in sorted(group.commands.items()))
    return [each for each in found if isinstance(each, LazyCommand) and each.is_folded]


def lazy_commands(
    *rows: tuple[str, str, str], folded: Collection[str] = ()
) -> dict[str, click.Command]:
    """The commands of a group from rows of name, place and first sentence."""
    return {row[0]: LazyCommand(*row, is_folded=row[0] in folded) for row in rows}
