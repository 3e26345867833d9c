"""Parents, links, threads and the order of changes, as a shell has them."""

from __future__ import annotations

import re

import pytest

from cli.shell import Shell


@pytest.fixture
def three(shell: Shell) -> Shell:
    """Tasks a, b and c, of which c links to a and is of the thread of b."""
    shell.says("task", "create", "first", "--id", "a")
    shell.says("task", "create", "second", "--id", "b")
    shell.says("task", "create", "third", "--id", "c", "--link", "relates_to:a", "--thread", "b")
    return shell


def ids(shell: Shell, *words: str) -> list[str]:
    return [task["task_id"] for task in shell.json("task", "list", *words)]


def test_links_are_shown_from_both_ends_replaced_and_taken_back(three: Shell):
    assert "links to     relates_to  ○ a  pending  first" in three.says("task", "show", "c")
    assert "linked from  relates_to  ○ c  pending  third" in three.says("task", "show", "a")
    three.says("task", "update", "c", "--link", "blocks:b", "--link", "relates_to:b")
    (task,) = three.json("task", "show", "c")
    assert task["links"] == [
        {"kind": "blocks", "task_id": "b"},
        {"kind": "relates_to", "task_id": "b"},
    ]
    assert 'links [{"kind":"relates_to","task_id":"a"}] → [{"kind":"blocks"' in three.says(
        "task", "history", "c"
    )
    three.says("task", "update", "c", "--link", "")
    assert "links to" not in three.says("task", "show", "c")


@pytest.mark.parametrize("word", ["a", ":a", "relates_to:"])
def test_a_link_is_a_kind_and_a_task(three: Shell, word: str):
    code, line = three.fails("task", "update", "c", "--link", word)
    assert (code, "is not KIND:TASK, such as relates_to:t3" in line) == (2, True)


def test_a_wrong_link_is_told_by_its_option(three: Shell):
    code, line = three.fails("task", "update", "c", "--link", "relates to:a")
    assert (code, "--link" in line) == (5, True), line
    code, line = three.fails("task", "create", "x", "--link", "relates_to:none")
    assert (code, "[TASK_NOT_FOUND]" in line) == (3, True), line


def test_a_task_is_moved_below_another_and_out_again(three: Shell):
    three.says("task", "update", "c", "--parent", "b")
    three.says("task", "update", "b", "--parent", "a")
    assert "part of      b  pending  second" in three.says("task", "show", "c")
    code, line = three.fails("task", "update", "a", "--parent", "c")
    assert (code, "a -> c -> b -> a [PARENT_CYCLE]. Choose another --parent" in line) == (5, True)
    three.says("task", "update", "c", "--parent", "")
    assert "part of" not in three.says("task", "show", "c")


def test_tasks_are_listed_by_thread_and_by_their_last_change(three: Shell):
    assert ids(three, "--thread", "b") == ["b", "c"]
    three.says("task", "update", "a", "--priority", "1")
    assert ids(three, "--order", "updated") == ["b", "c", "a"]
    assert ids(three, "--order", "updated", "--newest") == ["a", "c", "b"]
    since = three.json("task", "show", "c")[0]["update_time"]
    assert ids(three, "--updated-since", since) == ["a", "c"]
    assert three.says("task", "list", "--updated-since", "2200-01-01") == "no tasks\n"


def test_links_are_drawn(three: Shell):
    tree = three.says("task", "graph")
    assert "○ c  third  (relates_to a)\n" in tree
    dot = three.says("task", "graph", "--dot")
    assert re.search(r'"c" -> "a" \[style=dashed, .*label="relates_to"\];', dot)
    assert three.json("task", "graph", "c")[0]["links"] == [{"kind": "relates_to", "task_id": "a"}]
