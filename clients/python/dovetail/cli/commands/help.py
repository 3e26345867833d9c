"""`dovetail help`: the options that the help of commands leaves out, and any command's help."""

from __future__ import annotations

from collections.abc import Iterator

import click

from dovetail.cli.lazy import folded_commands, loaded
from dovetail.cli.options.folded import folded_options
from dovetail.cli.output import exit_codes

ELSEWHERE = "Environment variables and a file may set them too, once for all: dovetail config"

TOPICS = {
    "connection": ("status", "Options of every command that calls servers", ELSEWHERE),
    "server": ("up", "Options of `dovetail up` and `dovetail serve`", ELSEWHERE),
    "sending": ("send", "More options of `dovetail send`", ""),
}
"""The topics, each with a command that has all its options, its title, and its last line."""

OPERATING = "operating"
"""The topic of the commands that the list of all only names."""

COLUMNS = 80


@click.command("help")
@click.argument("words", metavar="[TOPIC|COMMAND]...", nargs=-1)
@click.pass_context
def help_(context: click.Context, words: tuple[str, ...]) -> None:
    """Show help of a command or topic.

    Topics: connection, server, sending, operating, exit-codes.
    """
    root = context.find_root()
    topic = words[0] if len(words) == 1 else ""
    if topic in PAGES:
        click.echo(PAGES[topic](root))
        return
    if topic in TOPICS:
        click.echo(_options(root, topic))
        return
    for word in words:
        root = _below(root, word)
    click.echo(root.get_help())


def _exit_codes(_: click.Context) -> str:
    """What the exit codes mean."""
    return (exit_codes.__doc__ or "").strip()


def _operating(root: click.Context) -> str:
    """The commands for those who run servers."""
    formatter = root.make_formatter()
    group = root.command
    assert isinstance(group, click.Group)
    with formatter.section("Commands for operators"):
        formatter.write_dl(
            [(str(each.name), each.get_short_help_str(COLUMNS)) for each in folded_commands(group)]
        )
    return formatter.getvalue().rstrip()


PAGES = {"exit-codes": _exit_codes, OPERATING: _operating}
"""Topics that are no lists of options."""


def _options(root: click.Context, topic: str) -> str:
    """The page of a topic that has options."""
    name, title, last = TOPICS[topic]
    command = _below(root, name)
    formatter = root.make_formatter()
    with formatter.section(title):
        formatter.write_dl(list(_rows(command, topic)))
    if last:
        formatter.write_paragraph()
        formatter.write_text(last)
    return formatter.getvalue().rstrip()


def _rows(command: click.Context, topic: str) -> Iterator[tuple[str, str]]:
    """The options of the topic: those of the root, which go before a command, come first."""
    root = command.find_root()
    for option in (*folded_options(root.command), *folded_options(command.command)):
        row = option.full_record(command) if option.page == topic else None
        if row:
            yield row


def _below(context: click.Context, word: str) -> click.Context:
    """The command of a group, as it would be called."""
    group = context.command
    command = group.commands.get(word) if isinstance(group, click.Group) else None
    if command is None:
        raise click.UsageError(f"{context.command_path} has no command {word!r}", context)
    return click.Context(loaded(command), parent=context, info_name=word)
