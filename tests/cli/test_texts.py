"""Texts and JSON objects: on the command line, in a file, on standard input; and empty ones."""

from __future__ import annotations

import json
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import pytest

from cli.pool import create
from cli.shell import PROGRAM, Shell
from dovetail.cli.options.texts import (
    DESCRIPTION,
    NEW_DESCRIPTION,
    OBJECT,
    REASON,
    SAYING,
    TEXT_BYTES_MAX,
    TextType,
)


def read(kind: click.ParamType[Any], word: str) -> Any:
    """What a word of the command line stands for, for an option of a command."""
    return kind.convert(word, click.Option(["--it"]), click.Context(click.Command("x")))


def fault(kind: click.ParamType[Any], word: str) -> str:
    with pytest.raises(click.BadParameter) as refused:
        read(kind, word)
    assert refused.value.param is not None
    return refused.value.message


def test_texts_and_objects_come_from_the_line_or_from_a_file(tmp_path: Path) -> None:
    text, data = tmp_path / "a text.md", tmp_path / "data.json"
    text.write_bytes(b"\xef\xbb\xbfone\r\n@two \xe2\x82\xac\n")
    data.write_text('\n{"n": [1, "@x"]}\n')
    assert read(SAYING, f"@{text}") == "one\r\n@two €\n"
    assert read(SAYING, "plain @text -") == "plain @text -"
    assert read(SAYING, "@@alice: hello") == "@alice: hello"
    assert read(SAYING, "@@@") == "@@"
    assert read(OBJECT, f"@{data}") == read(OBJECT, '{"n": [1, "@x"]}') == {"n": [1, "@x"]}


def test_a_file_that_is_none_is_named_with_how_to_write_the_sign_itself(tmp_path: Path) -> None:
    for word, why in (
        ("@alice hello", "No such file or directory"),
        ("@", "No such file or directory"),
        (f"@{tmp_path}", "Is a directory"),
    ):
        text = fault(SAYING, word)
        assert text.startswith(f"{word!r} cannot be read: {why}")
        assert f"for a text that begins with @ write @{word}" in text
    assert "cannot be read" in fault(OBJECT, "@nowhere.json")


def test_a_file_is_read_up_to_what_can_be_sent(tmp_path: Path) -> None:
    file = tmp_path / "long.txt"
    file.write_bytes(b"x" * TEXT_BYTES_MAX)
    assert len(read(SAYING, f"@{file}")) == TEXT_BYTES_MAX
    file.write_bytes(b"x" * (TEXT_BYTES_MAX + 1))
    assert "has more than 64 KiB" in fault(SAYING, f"@{file}")
    assert "has more than 16 KiB" in fault(REASON, "@/dev/zero")
    assert "has more than 4,096 KiB" in fault(OBJECT, "@/dev/zero")


def test_what_is_no_text_and_no_object_is_named(tmp_path: Path) -> None:
    file = tmp_path / "wrong"
    file.write_bytes(b"abc\xff")
    assert f"'@{file}' is not UTF-8 at byte 4" in fault(SAYING, f"@{file}")
    file.write_text("{")
    assert f"'@{file}' is not JSON: " in fault(OBJECT, f"@{file}")
    file.write_text('{"a":' * 100_000)
    assert "nested too deeply" in fault(OBJECT, f"@{file}")
    assert "is not a JSON object" in fault(OBJECT, "[1]")
    assert len(fault(OBJECT, "x" * 100_000)) < 300


@pytest.mark.parametrize("text", ["", " ", "\n\t"])
def test_what_says_nothing_is_no_question_no_failure_and_no_description(text: str) -> None:
    assert fault(SAYING, text) == "is empty: say something, or leave it out"
    assert fault(DESCRIPTION, text) == "is empty: say something, or leave it out"
    assert read(NEW_DESCRIPTION, text) == read(REASON, text) == text


def test_every_text_of_a_command_is_of_a_kind_that_can_be_read() -> None:
    from dovetail.cli.commands import messages, tasks, work

    names = {
        messages.send: {"body"},
        tasks.create: {"description"},
        tasks.update: {"description"},
        tasks.cancel: {"reason"},
        tasks.reopen: {"reason"},
        work.heartbeat: {"note"},
        work.release: {"reason"},
        work.ask: {"question"},
        work.answer: {"text"},
        work.complete: {"summary"},
        work.fail: {"message"},
    }
    for command, texts in names.items():
        assert {each.name for each in command.params if isinstance(each.type, TextType)} == texts


def test_standard_input_is_one_text_of_a_command(shell: Shell) -> None:
    alice = shell.within(DOVETAIL_AGENT="alice")
    alice.says("send", "bob", "data below", "--data", "-", typed='{"n": 1}')
    (delivery,) = shell.json("inbox", "--as", "bob")
    assert delivery["message"]["data"] == {"n": 1}
    twice = alice.run("send", "bob", "-", "--data", "-", typed="{}")
    assert (twice.exit_code, twice.out) == (2, "")
    assert "'TEXT': standard input was read for '--data' already" in twice.error
    assert "name it: @FILE" in twice.error
    alice.says("task", "create", "x", "--description", "-", typed="first\nthen\n")
    assert shell.json("task", "show", "t1")[0]["description"] == "first\nthen\n"
    assert alice.run("task", "create", "x", "--description", "-", typed="").exit_code == 2


def test_an_empty_text_is_refused_unless_it_is_confirmed_or_has_data(shell: Shell) -> None:
    alice = shell.within(DOVETAIL_AGENT="alice")
    create(shell, "a")
    alice.says("task", "start", "t1")
    for words in (
        ("send", "bob", ""),
        ("send", "bob", "\n"),
        ("task", "complete", "t1", ""),
    ):
        refused = alice.run(*words)
        assert (refused.exit_code, refused.out) == (2, "")
        assert "is empty: say something, or confirm it with --allow-empty" in refused.error
    refused = alice.run("task", "fail", "t1", "")
    assert (refused.exit_code, "is empty: say something" in refused.error) == (2, True)
    error = json.loads(alice.run("send", "bob", "", "--json").error)["error"]
    assert (error["exit_code"], "'TEXT': is empty" in error["message"]) == (2, True)
    error = json.loads(alice.run("send", "bob", "@nowhere", "--json").error)["error"]
    assert "'@nowhere' cannot be read: No such file" in error["message"]
    assert shell.json("inbox", "--as", "bob") == []
    alice.says("send", "--allow-empty", "bob", "")
    alice.says("send", "bob", "", "--data", "{}")
    assert len(shell.json("inbox", "--as", "bob")) == 2
    alice.says("task", "complete", "t1")


def test_an_interrupt_ends_the_wait_for_standard_input(shell: Shell) -> None:
    with subprocess.Popen(
        [*PROGRAM, "send", "--as", "alice", "bob", "-"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=shell.environment,
    ) as waiting:
        assert waiting.stdin is not None
        waiting.stdin.write(b"x" * 200_000)  # More than a pipe holds: it reads.
        waiting.stdin.flush()
        while waiting.poll() is None:  # The first may come just before it waits.
            waiting.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                waiting.wait(5)
        assert waiting.returncode == 130
        assert waiting.stderr is not None
        assert waiting.stderr.read() == b""
    assert shell.json("inbox", "--as", "bob") == []
