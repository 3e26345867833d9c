"""A mistyped name does not become an agent by reading, and an empty answer does not hide it."""

from __future__ import annotations

import json

import pytest

from cli.shell import Shell

READS = [
    ("inbox", "--as", "bobb"),
    ("inbox", "--as", "bobb", "--wait", "50"),
    ("inbox", "--as", "bobb", "--follow"),
    ("inbox", "bobb"),
    ("agent", "show", "--as", "bobb"),
    ("agent", "show", "bobb"),
    ("message", "list", "--to", "bobb"),
    ("message", "list", "--from", "bobb"),
    ("task", "list", "--assignee", "bobb"),
    ("task", "list", "--assignee", "bob", "--creator", "bobb"),
    ("report", "--assignee", "bobb"),
    ("task", "history", "--actor", "bobb"),
]


@pytest.mark.parametrize("words", READS, ids=" ".join)
def test_a_read_of_an_unknown_name_says_so_with_names_that_are_like_it(
    shell: Shell, words: tuple[str, ...]
) -> None:
    code, line = shell.fails(*words)
    assert code == 3
    assert 'agent "bobb" is not known here' in line
    assert "Did you mean bob?" in line


def test_a_read_about_a_task_that_never_was_says_so(shell: Shell) -> None:
    for words in (("task", "history", "t9"), ("message", "list", "--task", "t9")):
        code, line = shell.fails(*words)
        assert (code, "[TASK_NOT_FOUND]" in line) == (3, True), line
    shell.says("task", "create", "x", "--id", "t9")
    shell.says("task", "delete", "t9")
    assert shell.says("message", "list", "--task", "t9") == "no messages\n"


def test_a_program_learns_the_names_that_are_like_it(shell: Shell) -> None:
    done = shell.run("inbox", "--as", "bobb", "--json")
    assert (done.exit_code, done.out) == (3, "")
    error = json.loads(done.error)["error"]
    assert (error["reason"], error["exit_code"]) == ("AGENT_NOT_FOUND", 3)
    assert json.loads(error["metadata"]["nearest_ids"]) == ["bob"]


def test_no_read_registers_and_registering_or_a_write_does(shell: Shell) -> None:
    for words in READS[:3]:
        shell.fails(*words)

    def known() -> list[str]:
        return [agent["agent_id"] for agent in shell.json("agent", "list")]

    assert known() == ["alice", "bob"]
    shell.says("agent", "register", "--as", "carol")
    shell.says("send", "--as", "dave", "carol", "hello")
    assert known() == ["alice", "bob", "carol", "dave"]
    assert shell.json("inbox", "--as", "dave") == []


def test_a_known_name_may_have_nothing(shell: Shell) -> None:
    assert shell.says("task", "list", "--assignee", "bob") == "no tasks\n"
    assert shell.says("message", "list", "--from", "bob", "--json") == "[]\n"
    assert json.loads(shell.says("report", "--creator", "bob", "--json"))["states"]
