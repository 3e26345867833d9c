"""`dovetail help`: the options that the help of commands leaves out, and any command's help."""

from __future__ import annotations

from collections.abc import Iterator

import click

from dovetail.cli.lazy import loaded
from dovetail.cli.options.settings import options_of, topic_of
from dovetail.cli.output import exit_codes

TOPICS = {
    "connection": ("status", "Options of every command that calls servers"),
    "server": ("up", "Options of `dovetail up` and `dovetail serve`"),
}
"""The topics, each with a command that has all its options, and its title."""

ELSEWHERE = "Environment variables and a file may set them too, once for all: dovetail config"


@click.command("help")
@click.argument("words", metavar="[connection|server|exit-codes|COMMAND]...", nargs=-1)
@click.pass_context
def help_(context: click.Context, words: tuple[str, ...]) -> None:
    """Show help of a command or topic."""
    root = context.find_root()
    if words == ("exit-codes",):
        click.echo((exit_codes.__doc__ or "").strip())
        return
    if len(words) == 1 and words[0] in TOPICS:
        click.echo(_topic(root, words[0]))
        return
    for word in words:
        root = _below(root, word)
    click.echo(root.get_help())


def _topic(root: click.Context, topic: str) -> str:
    """The page of a topic."""
    name, title = TOPICS[topic]
    command = _below(root, name)
    formatter = root.make_formatter()
    with formatter.section(title):
        formatter.write_dl(list(_rows(command, topic)))
    formatter.write_paragraph()
    formatter.write_text(ELSEWHERE)
    return formatter.getvalue().rstrip()


def _rows(command: click.Context, topic: str) -> Iterator[tuple[str, str]]:
    """The options of the topic: those of the root, which go before a command, come first."""
    root = command.find_root()
    for option in (*options_of(root.command), *options_of(command.command)):
        row = option.full_record(command) if topic_of(option.setting) == topic else None
        if row:
            yield row


def _below(context: click.Context, word: str) -> click.Context:
    """The command of a group, as it would be called."""
    group = context.command
    command = group.commands.get(word) if isinstance(group, click.Group) else None
    if command is None:
        raise click.UsageError(f"{context.command_path} has no command {word!r}", context)
    return click.Context(loaded(command), parent=context, info_name=word)
