"""What a command loads: help, completion and mistakes next to nothing, a call what it needs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import click
import pytest

from cli.shell import Shell
from dovetail.admin.v1 import admin_pb2
from dovetail.cli.commands import messages, tasks, tokens
from dovetail.cli.lazy import LazyCommand, loaded
from dovetail.cli.main import main
from dovetail.messaging.v1 import messaging_pb2
from dovetail.tasks.v1 import tasks_pb2

LIST_MODULES = """
import atexit, sys
atexit.register(lambda: print(*sys.modules, file=sys.stderr))
from dovetail.cli.main import main
main(prog_name="dovetail")
"""
FOR_CALLS = {"grpc", "google", "asyncio", "ssl", "dovetail.client", "dovetail.tasks"}
FOR_JSON_OF_PROTOBUF = {"google.protobuf.json_format"}
FOR_DRAWINGS = {"rich", "dovetail.cli.output.screen"}
FOR_SERVERS = {"dovetail.server", "structlog", "peewee"}

WITHOUT_A_CALL = [
    ["--help"],
    ["inbox", "--help"],
    ["task", "--help"],
    ["task", "create", "--help"],
    ["task", "graph", "--help"],
    ["status", "--help"],
    ["doctor", "--help"],
    ["top", "--help"],
    ["questions", "--help"],
    ["whoami", "--help"],
    ["worker", "--help"],
    ["mcp", "--help"],
    ["demo", "--help"],
    ["watch", "--help"],
    ["hook", "--help"],
    ["up", "--help"],
    ["serve", "--help"],
    ["token", "--help"],
    ["config", "--json"],
    ["config", "--template"],
    ["completion", "bash"],
    ["nonsense"],
    ["inbox", "--nonsense"],
    ["task", "list", "--state", "nonsense"],
    ["send", "bob"],
]


def loaded_modules(words: Sequence[str], **variables: str) -> set[str]:
    """The modules that a command has loaded by its end, and the packages that they are in."""
    command = [sys.executable, "-c", LIST_MODULES, *words]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | variables, timeout=60, check=False
    )
    modules = done.stderr.splitlines()[-1].split()
    parts = [module.split(".") for module in modules]
    return {".".join(each[:end]) for each in parts for end in range(1, len(each) + 1)}


@pytest.mark.parametrize("words", WITHOUT_A_CALL, ids=" ".join)
def test_what_makes_no_call_loads_nothing_for_calls(words: list[str]):
    assert not loaded_modules(words) & (FOR_CALLS | FOR_DRAWINGS | FOR_SERVERS)


@pytest.mark.parametrize("words", ["dovetail ta", "dovetail task create --", "dovetail inbox -"])
def test_completion_loads_nothing_for_calls(words: str):
    asked = {"_DOVETAIL_COMPLETE": "zsh_complete", "COMP_WORDS": words}
    modules = loaded_modules([], **asked, COMP_CWORD=str(words.count(" ")))
    assert not modules & (FOR_CALLS | FOR_DRAWINGS | FOR_SERVERS)


def test_help_loads_no_command():
    assert not loaded_modules(["--help"]) & {"dovetail.cli.commands", "dovetail.cli.servers"}


def test_a_command_loads_no_other_ones(shell: Shell):
    modules = loaded_modules(["inbox", "--as", "alice", "--json"], **shell.environment)
    assert "dovetail.cli.commands.messages" in modules
    others = {"tasks", "work", "graph", "drawing", "tokens", "config"}
    assert not modules & {f"dovetail.cli.commands.{other}" for other in others}
    assert not modules & {"dovetail.cli.servers", "dovetail.cli.worker", "dovetail.cli.demo"}


@pytest.mark.parametrize(
    "words",
    [
        ["inbox", "--as", "alice", "--json"],
        ["inbox", "--as", "alice"],
        ["send", "--as", "alice", "bob", "hello"],
        ["task", "create", "a title", "--json"],
        ["task", "create", "a title"],
        ["task", "list", "--json"],
        ["task", "list"],
        ["task", "show", "t1", "--json"],
        ["agent", "list"],
        ["questions", "--all"],
        ["top", "--json"],
        ["status", "--json"],
    ],
    ids=" ".join,
)
def test_json_and_text_in_a_pipe_load_nothing_that_draws(shell: Shell, words: list[str]):
    modules = loaded_modules(words, **shell.environment)
    assert "grpc" in modules
    assert not modules & (FOR_DRAWINGS | FOR_SERVERS | FOR_JSON_OF_PROTOBUF)


def lazy_commands(group: click.Group) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        yield name, command
        below = loaded(command)
        if isinstance(below, click.Group):
            yield from lazy_commands(below)


@pytest.mark.parametrize("columns", [20, 45, 60, 200])
def test_help_says_of_a_command_what_the_command_says(columns: int):
    found = [each for each in lazy_commands(main) if isinstance(each[1], LazyCommand)]
    assert len(found) > len(main.commands)
    for name, command in found:
        itself = loaded(command)
        assert itself.name == name
        assert not itself.hidden
        said = command.get_short_help_str(columns)
        assert said == itself.get_short_help_str(columns), name


@pytest.mark.parametrize(
    ("choices", "enum", "prefix"),
    [
        (messages.IMPORTANCES, messaging_pb2.Importance, "IMPORTANCE_"),
        (tasks.STATES, tasks_pb2.TaskState, "TASK_STATE_"),
        (tokens.ROLES, admin_pb2.Role, "ROLE_"),
    ],
)
def test_the_choices_of_an_option_are_those_of_the_contract(
    choices: Sequence[str], enum: Any, prefix: str
):
    names = [f"{prefix}{choice.upper().replace('-', '_')}" for choice in choices]
    assert [f"{prefix}UNSPECIFIED", *names] == enum.keys()
