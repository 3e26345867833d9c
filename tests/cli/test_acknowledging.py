"""`--acknowledge` of the commands that change tasks: in the same commit, or not at all."""

from __future__ import annotations

import click
import pytest

from cli.pool import create
from cli.shell import Shell
from dovetail.cli.options.values import SEQUENCES


def unacknowledged(shell: Shell) -> int:
    (agent,) = shell.json("agent", "show", "bob")
    return int(agent.get("unacknowledged_count", 0))


def test_each_change_acknowledges_the_messages_that_caused_it(shell: Shell) -> None:
    create(shell, *"abcd", assignee_id="bob")
    bob = shell.within(DOVETAIL_AGENT="bob")
    assert unacknowledged(shell) == 4
    bob.says("task", "start", "t1", "--acknowledge", "1")
    assert unacknowledged(shell) == 3
    bob.says("task", "complete", "t1", "done", "--acknowledge", "2,3", "--acknowledge", "4")
    assert unacknowledged(shell) == 0
    create(shell, *"ef", assignee_id="bob")
    bob.says("task", "fail", "t2", "no", "--ack", "5")
    bob.says("task", "create", "part", "--ack", "6")
    assert unacknowledged(shell) == 0


def test_an_answer_acknowledges_the_question_and_a_lease_its_task(shell: Shell) -> None:
    create(shell, "a", assignee_id="bob")
    shell.says("task", "start", "--as", "bob", "t1", "--lease", "1h", "--acknowledge", "1")
    (held,) = shell.json("task", "show", "t1")
    assert held["lease"]["duration"] == "3600s"
    assert unacknowledged(shell) == 0
    alice = shell.within(DOVETAIL_AGENT="alice")
    create(shell, "b")
    alice.says("task", "start", "t2")
    alice.says("task", "ask", "t2", "which?", "--to", "bob")
    shell.says("task", "answer", "--as", "bob", "t2", "this", "--acknowledge", "2")
    assert unacknowledged(shell) == 0


def test_a_change_that_is_refused_acknowledges_nothing(shell: Shell) -> None:
    create(shell, "a", assignee_id="bob")
    bob = shell.within(DOVETAIL_AGENT="bob")
    code, line = bob.fails("task", "start", "t1", "--acknowledge", "1,9")
    assert (code, "[CURSOR_IN_FUTURE]" in line) == (4, True)
    code, line = shell.fails("task", "start", "t1", "--acknowledge", "1")
    assert (code, "[CALLER_AGENT_REQUIRED]" in line) == (5, True)
    assert (unacknowledged(shell), shell.json("task", "show", "t1")[0].get("attempt", 0)) == (1, 0)


@pytest.mark.parametrize("text", ["", "0", "-1", "x", "1,", "1;2", "1 2", "1.5", "²", "1,,2"])
def test_what_is_no_sequence_is_refused_with_how_to_write_one(text: str) -> None:
    with pytest.raises(click.BadParameter, match="write 3 or 3,4,5"):
        SEQUENCES.convert(text, None, None)


def test_sequences_are_written_one_by_one_or_with_commas() -> None:
    assert [SEQUENCES.convert(text, None, None) for text in ("7", "3,4, 5")] == [(7,), (3, 4, 5)]
