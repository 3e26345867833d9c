"""What help costs a reader that pays by the word, and where to read what it leaves out."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from cli.shell import Shell
from dovetail.cli.lazy import loaded, subcommands
from dovetail.cli.main import main
from dovetail.cli.options.settings import CALLING, SERVING, SettingOption
from support.wordcount import count_tokens

TOKENS_MAX = 300
COLUMNS = 80


def contexts(context: click.Context) -> Iterator[click.Context]:
    """A command and all below it, each as it would be called."""
    yield context
    if isinstance(context.command, click.Group):
        for name, command in subcommands(context.command):
            yield from contexts(
                click.Context(command, parent=context, info_name=name, terminal_width=COLUMNS)
            )


COMMANDS = list(
    contexts(
        click.Context(main, info_name="dovetail", terminal_width=COLUMNS, **main.context_settings)
    )
)


@pytest.mark.parametrize("context", COMMANDS, ids=lambda context: context.command_path)
def test_the_help_of_a_command_is_short(context: click.Context):
    said = context.get_help()
    assert count_tokens(said) <= TOKENS_MAX, (count_tokens(said), said)


def test_options_of_the_connection_are_one_line_of_help_and_a_page(shell: Shell):
    create = shell.says("task", "create", "--help")
    assert create.endswith("\n  Connection options: dovetail help connection\n")
    assert "--as" in create
    page = shell.says("help", "connection")
    for setting in CALLING:
        assert (setting.flag in create) == (setting.name == "agent")
        assert setting.flag in page
        assert setting.variable in "".join(page.split())
    assert "--config" in page
    page = shell.says("help", "server")
    up = shell.says("help", "up")
    assert up.endswith("\n  Server options: dovetail help server\n")
    for setting in SERVING:
        assert setting.flag in page
        assert setting.variable in "".join(page.split())


def test_what_few_messages_need_is_a_page(shell: Shell):
    send, page = shell.says("send", "--help"), shell.says("help", "sending")
    assert "  More options: dovetail help sending\n" in send
    for option in ("--request-id", "--expire", "--ack-deadline", "--if-task-etag", "--cause"):
        assert option in page
        assert option not in send


def test_what_operators_call_is_named_and_has_a_page(shell: Shell):
    root, page = shell.says("--help"), shell.says("help", "operating")
    assert "For operators (dovetail help operating):" in root
    for name in ("backup", "restore", "doctor", "token", "tls"):
        assert f" {name}" in root
        assert f"\n  {name} " in page
    assert not {"send", "inbox", "task"} & {line.split()[0] for line in page.splitlines()[1:]}


def test_help_shows_the_help_of_any_command(shell: Shell):
    assert shell.says("help") == shell.says("--help")
    assert shell.says("help", "task", "create") == shell.says("task", "create", "--help")
    assert "7    nothing came within the given time" in shell.says("help", "exit-codes")
    for words, group in ((("task", "nonsense"), "dovetail task"), (("send", "x"), "dovetail send")):
        code, line = shell.fails("help", *words)
        assert (code, f"{group} has no command '{words[-1]}'" in line) == (2, True)


def test_what_help_leaves_out_is_completed_and_parsed():
    for context in COMMANDS:
        folded = [
            option
            for option in context.command.params
            if isinstance(option, SettingOption) and option.topic
        ]
        if folded:
            assert "dovetail help " in str(context.command.epilog)
            proposed = {item.value for item in context.command.shell_complete(context, "--")}
            assert {flag for option in folded for flag in option.opts} <= proposed


def test_the_help_of_a_group_is_not_that_of_its_commands():
    task = loaded(main.commands["task"])
    assert "Connection options" not in task.get_help(click.Context(task, info_name="task"))
