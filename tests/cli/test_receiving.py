"""`dovetail inbox --wait` and `dovetail thread`: for scripts, and for looking back."""

from __future__ import annotations

import dataclasses
import json
import subprocess

import pytest

from cli.shell import PROGRAM, Shell
from support.processes import free_port


def bodies(lines: list[dict]) -> list[str]:
    return [line["message"]["body"] for line in lines]


def test_what_is_there_is_printed_without_waiting(shell: Shell):
    for text in ("one", "two", "three"):
        shell.says("send", "--as", "alice", "bob", text)
    assert "alice → bob" in shell.says("inbox", "--as", "bob", "--wait", "0")
    words = ("inbox", "--as", "bob", "--wait", "50")
    assert bodies(shell.json(*words)) == ["one", "two", "three"]
    assert bodies(shell.json(*words, "--max", "1")) == ["one"]
    assert bodies(shell.json(*words, "--ack-through", "1")) == ["two", "three"]
    assert bodies(shell.json(*words, "--max", "1", "--ack")) == ["two"]
    assert bodies(shell.json("inbox", "bob", "--wait", "0")) == ["three"]


def test_what_comes_while_it_waits_is_printed(shell: Shell):
    shell.says("agent", "register", "--as", "carol")
    with subprocess.Popen(
        [*PROGRAM, "inbox", "--as", "carol", "--wait", "50", "--json"],
        stdout=subprocess.PIPE,
        text=True,
        env=shell.environment,
    ) as waiting:
        shell.says("send", "--as", "alice", "carol", "now")
        assert waiting.stdout is not None
        assert bodies(json.loads(waiting.stdout.read())) == ["now"]
    assert waiting.returncode == 0


def test_when_nothing_comes_the_exit_code_says_so(shell: Shell):
    assert shell.fails("inbox", "--as", "bob", "--wait", "0") == (
        7,
        "dovetail: nothing came in 0 s\n",
    )
    assert shell.fails("inbox", "--as", "bob", "--wait", "0.05", "--json")[0] == 7


def test_waiting_fails_as_other_commands_do(shell: Shell):
    code, line = shell.fails("inbox", "--as", "bob", "--wait", "0", "--ack-through", "9")
    assert (code, "[CURSOR_IN_FUTURE]" in line) == (4, True)
    assert shell.fails("inbox", "nobody", "--wait", "0")[0] == 3
    lost = dataclasses.replace(shell, messaging=f"127.0.0.1:{free_port()}")
    assert lost.fails("inbox", "--as", "bob", "--wait", "50")[0] == 6


@pytest.mark.parametrize(
    "words",
    [
        ("--wait", "51"),
        ("--wait", "1", "--follow"),
        ("--wait", "1", "--all"),
        ("--wait", "1", "--after", "1"),
        ("--ack-through", "1"),
    ],
)
def test_a_wrong_command_line_is_explained(shell: Shell, words: tuple[str, ...]):
    done = shell.run("inbox", "--as", "bob", *words)
    assert (done.exit_code, done.out) == (2, "")
    assert done.error.startswith("dovetail: ")


def test_a_thread_is_shown_in_order_with_what_became_of_it(shell: Shell):
    sent = shell.json("send", "--as", "alice", "bob", "question")[0]
    reply = ("send", "--as", "bob", "alice", "answer", "--reply-to", sent["message_id"])
    replied = shell.json(*reply)[0]
    shell.says("send", "--as", "alice", "bob", "elsewhere")
    shell.says("acknowledge", "--as", "bob", "1")
    printed = shell.says("thread", sent["thread_id"])
    parts = ("question", "to bob #1: acknowledged", "answer", "to alice #1: unacknowledged")
    positions = [printed.index(part) for part in parts]
    assert positions == sorted(positions)
    assert "elsewhere" not in printed
    assert "notice" not in printed
    assert bodies(shell.json("thread", replied["message_id"])) == ["question", "answer"]


def test_the_thread_of_a_task_is_found_by_the_task(shell: Shell):
    words = ("task", "create", "--as", "alice", "x", "--id", "build", "--assignee", "bob")
    shell.says(*words, "--thread", "talk")
    shell.says("send", "--as", "bob", "alice", "on it", "--thread", "talk")
    printed = shell.says("thread", "build")
    assert "notice alice → bob" in printed
    assert "Task build assigned to bob" in printed
    assert shell.says("thread", "talk") == printed
    kinds = [line["message"]["kind"] for line in shell.json("thread", "build")]
    assert kinds == ["notice", "message"]


def test_a_thread_without_messages_is_none_or_empty(shell: Shell):
    shell.says("task", "create", "x", "--id", "quiet")
    assert shell.says("thread", "quiet") == "no messages\n"
    assert shell.json("thread", "quiet") == []
    code, line = shell.fails("thread", "nothing")
    assert (code, "no thread, message or task 'nothing'" in line) == (3, True)
