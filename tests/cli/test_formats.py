"""What a command prints for a reader that pays by the word: chosen fields, a line each, errors."""

from __future__ import annotations

import json
from typing import Any

import click
import pytest

from cli.shell import Shell
from dovetail.cli.lazy import subcommands
from dovetail.cli.main import main
from dovetail.cli.options.kinds import KINDS, VARIANTS, kind_of, read_fields
from dovetail.cli.output.brief import line
from dovetail.cli.output.chosen import pick, preview, shorten, tree_of
from dovetail.cli.output.exit_codes import REASONS
from dovetail.messaging.v1 import messaging_pb2
from dovetail.tasks.v1 import tasks_pb2
from dovetail.types.v1 import types_pb2


def failed(shell: Shell, *words: str) -> tuple[int, dict[str, Any]]:
    """The exit code and the error of a command that fails, having printed one object for it."""
    code, text = shell.fails(*words)
    (error,) = json.loads(text).values()
    assert error["exit_code"] == code
    return code, error


def test_errors_are_objects_where_a_program_reads(shell: Shell):
    code, error = failed(shell, "send", "--as", "alice", "nobody", "x", "--json")
    assert (code, error["reason"]) == (3, "AGENT_NOT_FOUND")
    assert "nobody" in error["message"]
    assert error["hint"].startswith("See all agents: dovetail agent list")
    assert json.loads(error["metadata"]["agent_ids"]) == ["nobody"]
    code, error = failed(shell, "task", "show", "x" * 600, "--fields", "task_id")
    assert (code, error["reason"]) == (5, "INVALID_FIELDS")
    (violation,) = error["violations"]
    assert (violation["field"], "128" in violation["description"]) == ("task_id", True)
    code, error = failed(shell, "inbox", "--as", "alice", "--wait", "0", "--json")
    assert (code, error) == (
        7,
        {"reason": "NOTHING_CAME", "message": "nothing came in 0 s", "exit_code": 7},
    )


@pytest.mark.parametrize(
    "words",
    [
        ("send", "--json", "--as", "alice", "bob"),
        ("task", "list", "--fields=task_id", "--nonsense"),
        ("task", "list", "--state", "nonsense", "--json"),
        ("nonsense", "--json"),
        ("inbox", "--json", "--ack-through", "3", "--as", "bob"),
        ("--config", "/nonsense", "status", "--json"),
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_one_object_or_one_line(shell: Shell, words: tuple[str, ...]):
    code, error = failed(shell, *words)
    assert (code, error["reason"]) == (2, REASONS[2])
    plain = [word for word in words if not word.startswith(("--json", "--fields"))]
    code, text = shell.fails(*plain)
    assert (code, text.startswith("dovetail: ")) == (2, True)


def test_words_of_another_program_ask_for_no_json(shell: Shell):
    code, text = shell.fails("worker", "--as", "bob", "/nonsense", "--json")
    assert (code, text) == (2, "dovetail: there is no program '/nonsense'\n")


def test_fields_are_chosen_and_their_names_checked_before_anything_is_done(shell: Shell):
    words = ("send", "--as", "alice", "bob", "x")
    code, error = failed(shell, *words, "--fields", "message_id,nonsense")
    names = ", ".join(messaging_pb2.SendMessageResponse.DESCRIPTOR.fields_by_name)
    assert (code, error["message"]) == (
        2,
        f"--fields: there is no nonsense. There are: {names}",
    )
    assert shell.json("inbox", "--as", "bob") == []
    assert shell.says(*words, "--fields", "message_id") == '{"message_id":"m1"}\n'
    printed = shell.says("inbox", "--as", "bob", "--fields", "receipt.sequence,message.body")
    assert printed == '[\n{"receipt":{"sequence":1},"message":{"body":"x"}}\n]\n'


def test_in_brief_each_item_is_a_line(shell: Shell):
    def brief(*words: str) -> str:
        return shell.says(*words, "--brief")

    assert brief("send", "--as", "alice", "bob", "Look\nat it") == "m1 sent\n"
    create = ("task", "create", "--as", "alice", "Do it", "--assignee", "bob")
    assert brief(*create) == "t1 pending\n"
    assert brief("inbox", "--as", "bob") == (
        "#1 alice m1: Look at it\n#2 alice assign t1: Task t1 assigned to bob: Do it\n"
    )
    assert brief("task", "list") == "t1 pending bob: Do it\n"
    assert brief("task", "start", "--as", "bob", "t1") == "t1 in_progress\n"
    assert brief("acknowledge", "--as", "bob", "--through", "1") == "1 acknowledged, 1 left\n"
    assert brief("agent", "list") == "alice\nbob 1 unread\n"
    assert brief("report") == "1 tasks, 1 in_progress\n"
    brief("send", "--as", "alice", "bob", "See there", "--subject", "Builds", "--data", '{"n": 1}')
    brief("task", "ask", "--as", "bob", "t1", "Which?", "--to", "alice")
    brief("task", "answer", "--as", "alice", "t1", "Both")
    brief("task", "complete", "--as", "bob", "t1", "Three differ")
    assert brief("inbox", "--as", "bob") == (
        "#2 alice assign t1: Task t1 assigned to bob: Do it\n"
        "#3 alice m3: Builds: See there +data\n#4 alice provide_input t1: Both\n"
    )
    assert brief("inbox", "--as", "alice") == (
        "#1 bob request_input t1: Which?\n#2 bob complete t1: Three differ\n"
    )
    assert brief("task", "list", "--state", "failed") == ""
    assert shell.fails("task", "list", "--brief", "--json")[0] == 2


def test_what_each_command_prints_is_known():
    known = {f"{name} {option}" for name, (_, option) in VARIANTS.items()}
    assert {*printing_commands(main)} | known == set(KINDS)
    for kind in KINDS.values():
        with pytest.raises(click.UsageError, match=r"there is no nonsense\. There are: [a-z]"):
            read_fields(kind, "nonsense")


def printing_commands(group: click.Group, before: str = "") -> list[str]:
    """The commands that have --fields, by their words."""
    found: list[str] = []
    for name, command in subcommands(group):
        if isinstance(command, click.Group):
            found += printing_commands(command, f"{before}{name} ")
        if any("--fields" in option.opts for option in command.params):
            found.append(f"{before}{name}")
    return found


def test_a_command_that_is_not_in_the_table_prints_any_field():
    assert read_fields(kind_of(click.Context(click.Command("new"))), "a.b") == {"a": {"b": {}}}


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("message.bodi", "message has: message_id, sender_id"),
        ("message.body.x", "message.body has no fields"),
        ("message.create_time.x", "message.create_time has no fields"),
        ("", "names no field"),
    ],
)
def test_a_path_to_nothing_is_told_where_it_ends(path: str, says: str):
    with pytest.raises(click.UsageError, match=says):
        read_fields(KINDS["inbox"], path)


def test_any_name_may_stand_below_free_content_and_in_a_map():
    tree = read_fields(KINDS["inbox"], "message.data.a.b, message.labels.x.y")
    assert tree == {"message": {"data": {"a": {"b": {}}}, "labels": {"x.y": {}}}}


def test_what_is_chosen_keeps_its_shape():
    item = {"a": 1, "b": [{"c": 2, "d": 3}, {"d": 4}], "e": {"f": {"g": 5}, "h": 6}}

    def chosen(*paths: str) -> Any:
        return pick(item, tree_of(path.split(".") for path in paths))

    assert chosen("e.h", "a", "x") == {"e": {"h": 6}, "a": 1}
    assert list(chosen("e.h", "a")) == ["e", "a"]
    assert chosen("b.c") == {"b": [{"c": 2}, {}]}
    assert chosen("e.f.g", "e.f", "e.f.g") == {"e": {"f": {"g": 5}}}
    assert chosen("e", "e.h") == {"e": item["e"]}


def test_long_texts_are_cut_and_what_is_missing_is_counted():
    item = {"message": {"body": "x" * 12, "subject": "y" * 10}, "list": [{"text": "z" * 11}]}
    assert shorten(item, 10) == {
        "message": {"body": "x" * 10, "body_left_out": 2, "subject": "y" * 10},
        "list": [{"text": "z" * 10, "text_left_out": 1}],
    }
    data = {"data": {"a": "x" * 20}}
    assert shorten(data, 28) == data
    assert shorten(data, 27) == {"data_left_out": 28}
    assert preview("x" * 3_130, 10, "dovetail message show m1") == (
        f"{'x' * 10}… 3,120 more characters: dovetail message show m1"
    )
    assert preview("x" * 10, 10, "") == preview("x" * 10, 0, "") == "x" * 10


@pytest.mark.parametrize(
    ("item", "says"),
    [
        (tasks_pb2.Task(task_id="t1", state=tasks_pb2.TASK_STATE_PENDING, title=""), "t1 pending"),
        (
            tasks_pb2.Task(task_id="t1", state=tasks_pb2.TASK_STATE_PENDING, title="x " * 60),
            f"t1 pending: {'x ' * 39}x…",
        ),
        (
            tasks_pb2.Task(task_id="t1\x1b[2J", state=tasks_pb2.TASK_STATE_COMPLETED, title="\x9b"),
            r"t1\u001b[2J completed: \u009b",
        ),
        (
            tasks_pb2.ClaimedTask(task=tasks_pb2.Task(task_id="t1", title="x"), lease_token="abc"),
            "t1 abc: x",
        ),
        (
            types_pb2.Receipt(
                recipient_id="bob", sequence=3, state=types_pb2.DELIVERY_STATE_ACKNOWLEDGED
            ),
            "bob #3 acknowledged",
        ),
        (
            messaging_pb2.Delivery(
                receipt=types_pb2.Receipt(sequence=3, state=types_pb2.DELIVERY_STATE_ACKNOWLEDGED),
                message=messaging_pb2.Message(message_id="m1", sender_id="a", body="x"),
            ),
            "#3 acknowledged a m1: x",
        ),
        (
            messaging_pb2.MessageRecord(
                message=messaging_pb2.Message(message_id="m1", recipient_ids=["b", "c"], body="x")
            ),
            "- > b, c m1: x",
        ),
        (
            tasks_pb2.HeartbeatTaskResponse(
                state=tasks_pb2.TASK_STATE_IN_PROGRESS, unacknowledged_count=2
            ),
            "in_progress 2 unread",
        ),
    ],
)
def test_the_line_of_an_item_is_short_and_cannot_control_a_terminal(item: Any, says: str):
    printed = line(item, False)
    assert printed == says
    assert printed.isprintable()


def test_a_question_names_who_is_asked():
    question = tasks_pb2.TaskQuestion(agent_id="alice", text="Which?")
    task = tasks_pb2.Task(
        task_id="t1", state=tasks_pb2.TASK_STATE_INPUT_REQUIRED, question=question
    )
    assert line(task, True) == "t1 input_required asks alice"


def test_a_server_reports_errors_as_lines_of_its_log_and_up_as_an_object(shell: Shell):
    words = ("--json", "--store", "/nonsense/store.db")
    code, text = shell.fails("serve", "tasks", *words)
    assert (code, text.startswith("dovetail: --store /nonsense/store.db")) == (2, True)
    code, error = failed(shell, "up", *words)
    assert (code, error["reason"]) == (2, "WRONG_COMMAND_LINE")
    assert error["message"].startswith("--store /nonsense/store.db")
