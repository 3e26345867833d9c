"""What a mistyped command line is told: the command, the option or the word that was meant."""

from __future__ import annotations

import os

import click
import pytest

from dovetail.cli import typos
from dovetail.cli.lazy import loaded
from dovetail.cli.main import main
from dovetail.cli.options.values import Word
from dovetail.cli.output.exit_codes import MISUSED, CommandError


def mistake(*words: str) -> str:
    """What is said of a wrong command line."""
    with pytest.raises(CommandError) as raised, main.make_context("dovetail", [*words]) as context:
        main.invoke(context)
    assert raised.value.exit_code == MISUSED
    return raised.value.line


@pytest.fixture(autouse=True)
def without_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOVETAIL_CONFIG", os.devnull)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("task", "get", "t9"), "No such command 'get'. Did you mean dovetail task show?"),
        (("task", "done", "t9"), "No such command 'done'. Did you mean dovetail task complete?"),
        (("task", "ls"), "No such command 'ls'. Did you mean dovetail task list?"),
        (("task", "creat"), "No such command 'creat'. Did you mean dovetail task create?"),
        (("token", "rm"), "No such command 'rm'. Did you mean dovetail token revoke?"),
        (("agent", "add"), "No such command 'add'. Did you mean dovetail agent register?"),
        (("message", "get"), "No such command 'get'. Did you mean dovetail message show?"),
        (("get", "t9"), "No such command 'get'. Did you mean dovetail task show?"),
        (("ls",), "No such command 'ls'. Did you mean dovetail task list?"),
        (("ibnox",), "No such command 'ibnox'. Did you mean dovetail inbox?"),
        (("zzzzz",), "No such command 'zzzzz'. See: dovetail --help"),
        (("--json", "inbox"), "Write it after the command: dovetail COMMAND --json …"),
        (("inbox", "--config", "x"), "Write it before the command: dovetail --config FILE …"),
        (("task", "list", "--where", "x"), "Did you mean --state or --assignee or --label?"),
        (("task", "list", "--status", "x"), "Did you mean --state?"),
        (("task", "list", "--assigned-to", "x"), "Did you mean --assignee?"),
        (("task", "list", "--asignee", "x"), "Did you mean --assignee?"),
        (("task", "start", "--agent", "x", "t1"), "Did you mean --as?"),
        (("task", "show", "--id", "t1"), "TASK is an argument: dovetail task show TASK"),
        (("task", "assign", "t1", "--assignee", "x"), "AGENT is an argument: dovetail task assign"),
        (("task", "create", "--title", "x"), "TITLE is an argument: dovetail task create TITLE"),
        (("send", "--to", "bob", "x"), "TO is an argument: dovetail send TO TEXT"),
        (("inbox", "--zzzzz"), "No such option '--zzzzz'. See: dovetail inbox --help"),
        (("up", "--listen", "x"), "Did you mean --messaging-listen and --tasks-listen?"),
        (("serve", "tasks", "--port", "1"), "Did you mean --listen?"),
        (("task", "complete", "t1", "all", "done"), "Put a text of several words in quotes"),
        (("task", "list", "--state", "done"), "cancelled. Did you mean completed?"),
        (("task", "list", "--state", "complet"), "cancelled. Did you mean completed?"),
        (("task", "list", "--state", "zzzzz"), "'zzzzz' is not one of pending, in_progress, inp"),
        (("send", "bob", "x", "--importance", "urgent"), "normal, high. Did you mean high?"),
        (("serve", "task"), "'task' is not one of messaging, tasks. Did you mean tasks?"),
    ],
)
def test_what_was_meant_is_proposed(words: tuple[str, ...], says: str):
    said = mistake(*words)
    assert says in said
    assert said.count("?") <= 1


def test_a_word_may_have_capitals_and_dashes():
    state = Word(("pending", "in_progress"))
    found = [state.convert(word, None, None) for word in ("In-Progress", "PENDING")]
    assert found == ["in_progress", "pending"]


def test_every_command_that_is_proposed_exists():
    groups = [each for each in map(loaded, main.commands.values()) if isinstance(each, click.Group)]
    below = {name for group in groups for name in group.commands}
    assert {word for meant in typos.SUBCOMMANDS.values() for word in meant} <= below
    for words in typos.ROOT.values():
        command: click.Command = main
        for word in (word for word in words.split() if not word.startswith("--")):
            assert isinstance(command, click.Group)
            command = loaded(command.commands[word])
