"""What the page for an agent with a shell tells a model is short, and is what the commands are."""

from __future__ import annotations

import re

import click

from docs.pages import DOCS, examples
from dovetail.cli.lazy import subcommands
from dovetail.cli.main import main
from dovetail.cli.output import exit_codes
from support.wordcount import count_tokens

PAGE = DOCS / "how-to" / "shell.md"
TOKENS_MAX = 250
COMMAND = re.compile(r"`dovetail ([^`]+)`")


def instructions() -> str:
    (block,) = examples(PAGE, "text")
    return block.text


def test_the_instructions_for_a_model_have_at_most_250_tokens() -> None:
    assert count_tokens(instructions()) <= TOKENS_MAX


def test_the_commands_in_the_instructions_exist_with_their_options() -> None:
    given = COMMAND.findall(instructions())
    assert len(given) > 6
    for line in given:
        words: list[str] = line.split()
        command: click.Command = main
        while isinstance(command, click.Group):
            command = dict(subcommands(command))[words.pop(0)]
        known = {name for option in command.params for name in option.opts}
        assert {word for word in (*words, "--brief") if word.startswith("--")} <= known, line


def test_the_page_says_what_to_do_after_each_exit_code() -> None:
    told = re.findall(r"^\| (\d+) \|", PAGE.read_text(), re.MULTILINE)
    assert exit_codes.__doc__
    assert told == re.findall(r"^(\d+) ", exit_codes.__doc__, re.MULTILINE)
