"""`dovetail task history`, and the history in the Python client."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from cli.shell import Shell
from dovetail.cli.commands.history import VERBS
from dovetail.cli.output.lists import history
from dovetail.cli.output.tables import Table
from dovetail.client import TaskState, TaskVerb
from dovetail.client.blocking import connect
from dovetail.tasks.v1 import tasks_pb2 as pb
from dovetail.types.v1 import types_pb2


def worked(shell: Shell) -> None:
    """A task that changed hands, was updated and was cancelled."""
    shell.says("agent", "register", "ann")
    shell.says("agent", "register", "joe")
    shell.says("task", "create", "--as", "ann", "--id", "x", "old", "--assignee", "ann")
    shell.says("task", "assign", "--as", "ann", "x", "joe")
    shell.says("task", "update", "--as", "ann", "x", "--title", "new", "--priority", "2")
    shell.says("task", "cancel", "--as", "ann", "x", "not needed")


def test_the_history_of_a_task_says_who_did_what_and_what_changed(shell: Shell) -> None:
    worked(shell)
    rows = [line.split("\t") for line in shell.says("task", "history", "x").splitlines()]
    assert rows[0] == ["task", "change", "by", "state", "what", "attempt", "time"]
    assert [row[:5] for row in rows[1:]] == [
        ["x", "create", "ann", "pending", ""],
        ["x", "assign", "ann", "pending", "assignee ann → joe"],
        ["x", "update", "ann", "pending", 'title "old" → "new"; priority 0 → 2'],
        ["x", "cancel", "ann", "cancelled", "not needed"],
    ]
    found = shell.json("task", "history", "x", "--verb", "update", "--newest")
    assert [event["changes"][0] for event in found] == [
        {"field": "title", "old_value": "old", "new_value": "new"}
    ]
    brief = shell.says("task", "history", "--actor", "ann", "--brief").splitlines()
    assert (brief[0], brief[-1]) == ("x 1 create ann", "x 4 cancel ann: not needed")
    assert shell.json("task", "history", "--actor", "joe") == []
    with connect("joe", team_id=shell.team, messaging=shell.messaging, tasks=shell.tasks) as joe:
        events = list(joe.tasks.events(task_id="x", verbs=["update", TaskVerb.CANCEL]))
    assert [(event.verb, event.to_state, event.generation) for event in events] == [
        ("update", TaskState.PENDING, 3),
        ("cancel", TaskState.CANCELLED, 4),
    ]
    assert [(each.field, each.old_value, each.new_value) for each in events[0].changes] == [
        ("title", "old", "new"),
        ("priority", 0, 2),
    ]


def talked(shell: Shell) -> None:
    """A task about which something was said before, between and after its events."""
    servers: dict[str, Any] = {
        "team_id": shell.team,
        "messaging": shell.messaging,
        "tasks": shell.tasks,
    }
    with connect("ann", **servers) as ann, connect("joe", **servers) as joe:
        joe.register()
        ann.tasks.create("A task", task_id="x", assignee_id="joe")
        ann.send("joe", "Please hurry.", task_id="x", subject="Soon")
        joe.tasks.start("x")
        joe.tasks.ask("x", "Which\ncolour?")
        ann.tasks.answer("x", "Blue")
        joe.send("ann", "About another thing")
        joe.send("ann", "Thanks", task_id="x")


TALK = [
    ["create", "ann", "pending", ""],
    ["message", "ann", "", "to joe: Soon: Please hurry."],
    ["start", "joe", "in progress", ""],
    ["request input", "joe", "input required", ""],
    ["question", "joe", "", "to ann: Which colour?"],
    ["provide input", "ann", "in progress", ""],
    ["answer", "ann", "", "to joe: Blue"],
    ["message", "joe", "", "to ann: Thanks"],
]


def rows(text: str) -> list[list[str]]:
    return [line.split("\t")[1:5] for line in text.splitlines()[1:]]


def test_talk_and_work_are_shown_in_order_of_time(shell: Shell) -> None:
    talked(shell)
    assert rows(shell.says("task", "history", "x")) == TALK
    work = [row for row in TALK if row[0] not in ("message", "question", "answer")]
    assert rows(shell.says("task", "history", "x", "--no-talk")) == work
    assert rows(shell.says("task", "history", "x", "--actor", "joe")) == work[1:3]
    brief = shell.says("task", "history", "x", "--brief").splitlines()
    assert brief[1] == "ann > joe m2: Soon: Please hurry."
    assert brief[4] == "joe > ann request_input x: Which colour?"
    found = shell.json("task", "history", "x")
    assert [each.get("event_number", each.get("body")) for each in found] == [
        *(1, "Please hurry.", 2, 3, "Which\ncolour?", 4, "Blue", "Thanks"),
    ]
    assert shell.json("task", "history", "x", "--fields", "verb,body")[4:6] == [
        {"body": "Which\ncolour?"},
        {"verb": "provide_input"},
    ]


@pytest.mark.parametrize("order", [[], ["--newest"]], ids=["oldest", "newest"])
def test_talk_and_work_go_on_page_by_page(shell: Shell, order: list[str]) -> None:
    talked(shell)
    whole = TALK[::-1] if order else TALK
    words, found = ["task", "history", "x", *order, "--limit", "3"], list[list[str]]()
    for count in (3, 3, 2):
        done = shell.run(*words)
        assert done.exit_code == 0, done
        found += rows(done.out)
        assert len(rows(done.out)) == count
        words = ["task", "history", "x", *order, "--limit", "3"]
        if count == 3:
            words += ["--page-token", done.error.partition("--page-token ")[2].partition(",")[0]]
        else:
            assert done.error == ""
    assert found == whole


def test_a_task_that_never_was_has_no_history(shell: Shell) -> None:
    done = shell.run("task", "history", "nothing")
    assert (done.exit_code, done.out) == (3, "")
    assert "no task 'nothing'" in done.error


def test_the_verbs_of_its_option_are_those_that_events_have() -> None:
    names = [name.removeprefix("TASK_VERB_").lower() for name in list(types_pb2.TaskVerb.keys())]
    only_of_notices = "retry"
    assert ["unspecified", *VERBS] == [name for name in names if name != only_of_notices]


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_the_history_fits_the_terminal(columns: int) -> None:
    event = pb.TaskEvent(
        task_id="t1",
        verb=types_pb2.TASK_VERB_REQUEST_INPUT,
        actor_id="joe",
        to_state=pb.TASK_STATE_INPUT_REQUIRED,
        reason="long " * 50,
        attempt=3,
        create_time=Timestamp(seconds=1_800_000_000),
    )
    table = Table(*history(0).columns)
    table.add_row(*history(0).row(event))
    lines = [line.plain.rstrip() for line in table.lines(columns)]
    assert max(map(len, lines)) <= columns
    assert "request input" in lines[1]
    assert ("attempt" in lines[0], "time" in lines[0]) == (columns >= 80, columns >= 120)
