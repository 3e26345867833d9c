"""Lists are cut at 50, and long texts at 1,000 characters, and both say how to go on."""

from __future__ import annotations

import json
from typing import Any

import grpc
import pytest

from cli.shell import Shell
from dovetail.messaging.v1 import messaging_pb2, messaging_pb2_grpc
from dovetail.tasks.v1 import tasks_pb2, tasks_pb2_grpc
from support.pair import identity

COUNT = 51
LONG = 4_120


@pytest.fixture
def full(shell: Shell) -> Shell:
    """A team with 51 agents, 51 tasks, and 51 messages to bob in a thread, the first a long one."""
    alice = identity("alice", shell.team)
    with grpc.insecure_channel(shell.messaging) as channel:
        talk = messaging_pb2_grpc.MessagingServiceStub(channel)
        for number in range(COUNT - 2):
            register = messaging_pb2.RegisterAgentRequest(agent_id=f"c{number:02}")
            talk.RegisterAgent(register, metadata=identity("", shell.team))
        first = messaging_pb2.SendMessageRequest(
            recipient_ids=["bob"], body="x" * LONG, thread_id="t"
        )
        first.data.update({"text": "y" * LONG})
        rest = [
            messaging_pb2.SendMessageRequest(recipient_ids=["bob"], body="x", thread_id="t")
            for _ in range(COUNT - 1)
        ]
        batch = messaging_pb2.BatchSendMessagesRequest(requests=[first, *rest])
        talk.BatchSendMessages(batch, metadata=alice)
    with grpc.insecure_channel(shell.tasks) as channel:
        drafts = [tasks_pb2.CreateTaskRequest(title=f"Task {number}") for number in range(COUNT)]
        tasks_pb2_grpc.TaskServiceStub(channel).BatchCreateTasks(
            tasks_pb2.BatchCreateTasksRequest(requests=drafts), metadata=alice
        )
    return shell


LISTS = [
    ("task", "list"),
    ("message", "list", "--as", "bob"),
    ("agent", "list"),
    ("thread", "m1", "--as", "bob"),
    ("inbox", "--as", "bob"),
]


def test_every_list_is_cut_and_says_how_to_go_on(full: Shell):
    for words in LISTS:
        first = full.run(*words, "--brief")
        assert first.exit_code == 0
        start, way = first.error.removesuffix(", or --limit 0 for all\n").rsplit(" ", 1)
        assert start.startswith("dovetail: 50 shown, there are more: ")
        option = start.rsplit(" ", 1)[1]
        assert option == ("--after" if words[0] == "inbox" else "--page-token")
        named = ("thread", "t", "--as", "bob") if words[0] == "thread" else words
        rest = full.says(*named, "--brief", option, way)
        everything = full.says(*words, "--brief", "--limit", "0")
        assert first.out + rest == everything
        assert (first.out.count("\n"), rest.count("\n")) == (50, 1)


def test_a_program_reads_how_to_go_on_from_standard_error(full: Shell):
    done = full.run("task", "list", "--fields", "task_id", "--limit", "2")
    assert [each["task_id"] for each in json.loads(done.out)] == ["t1", "t2"]
    more = json.loads(done.error)["more"]
    assert more["shown"] == 2
    words = ("task", "list", "--fields", "task_id", "--limit", "2", *more["next"].split())
    assert [each["task_id"] for each in json.loads(full.run(*words).out)] == ["t3", "t4"]
    exactly = full.run("task", "list", "--limit", str(COUNT), "--brief")
    assert (exactly.out.count("\n"), exactly.error) == (COUNT, "")
    waiting = full.run("inbox", "--as", "bob", "--wait", "0", "--brief")
    assert waiting.error.startswith("dovetail: 50 shown, there are more: --ack-through 50")
    code, line = full.fails("task", "list", "--page-token", "nonsense")
    assert (code, "page" in line) == (5, True)


def test_long_texts_are_cut_for_people_and_for_programs_that_ask_for_it(full: Shell):
    one = ("--as", "bob", "--limit", "1")
    for words in (("inbox", *one), ("message", "list", *one), ("thread", "t", *one)):
        printed = full.run(*words).out
        assert f"    {'x' * 1_000}… 3,120 more characters: dovetail message show m1\n" in printed
        assert f"… {LONG + 11 - 1_000:,} more characters: dovetail message show m1\n" in printed
        assert len(printed) < 2_500
    assert f"{'x' * LONG}\n" in full.says("message", "show", "m1", "--as", "bob")
    assert f"{'x' * LONG}\n" in full.run("inbox", *one, "--max-chars", "0").out

    def message(*words: str) -> dict[str, Any]:
        return json.loads(full.run("inbox", *one, "--json", *words).out)[0]["message"]

    assert len(message()["body"]) == LONG
    cut = message("--max-chars", "100")
    assert (cut["body"], cut["body_left_out"]) == ("x" * 100, LONG - 100)
    assert (cut["data_left_out"], "data" in cut) == (LONG + 11, False)
    assert cut["sender_id"] == "alice"


def test_what_is_followed_has_no_limit_unless_one_is_given(full: Shell):
    shown = full.says("inbox", "--as", "bob", "--follow", "--limit", str(COUNT), "--brief")
    assert shown.count("\n") == COUNT
