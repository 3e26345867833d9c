"""`dovetail task history`, and the history in the Python client."""

from __future__ import annotations

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from cli.shell import Shell
from dovetail.cli.commands.history import VERBS
from dovetail.cli.output.lists import EVENTS
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
    table = Table(*EVENTS.columns)
    table.add_row(*EVENTS.row(event))
    lines = [line.plain.rstrip() for line in table.lines(columns)]
    assert max(map(len, lines)) <= columns
    assert "request input" in lines[1]
    assert ("attempt" in lines[0], "time" in lines[0]) == (columns >= 80, columns >= 120)
