"""`dovetail task attempts`, and what a program of a worker learns of the attempt before."""

from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from cli.pool import PYTHON, task, tasks, work
from cli.shell import Shell
from dovetail.cli.output.lists import ATTEMPTS
from dovetail.cli.output.tables import Table
from dovetail.tasks.v1 import tasks_pb2 as pb
from support.pair import identity


def made(shell: Shell) -> None:
    create = pb.CreateTaskRequest(task_id="x", title="T", initial_backoff=Duration())
    with tasks(shell) as stub:
        stub.CreateTask(create, metadata=identity("ann", shell.team))


def tried(shell: Shell) -> str:
    """A task that failed, was taken away from bob, and was completed: bob's old token."""
    made(shell)
    ann, bob = identity("ann", shell.team), identity("bob", shell.team)
    failure = pb.TaskFailure(message="no luck", retryable=True)
    with tasks(shell) as stub:
        (first,) = stub.ClaimTask(pb.ClaimTaskRequest(), metadata=bob).tasks
        token = first.lease_token
        fail = pb.FailTaskRequest(task_id="x", failure=failure, lease_token=token)
        stub.FailTask(fail, metadata=bob)
        (second,) = stub.ClaimTask(pb.ClaimTaskRequest(), metadata=bob).tasks
        stub.UnassignTask(pb.UnassignTaskRequest(task_id="x", force=True), metadata=ann)
        stub.StartTask(pb.StartTaskRequest(task_id="x"), metadata=ann)
        stub.CompleteTask(pb.CompleteTaskRequest(task_id="x"), metadata=ann)
    return second.lease_token


def test_the_attempts_of_a_task_say_who_held_it_and_how_that_ended(shell: Shell) -> None:
    token = tried(shell)
    late = ("--as", "bob", "--lease-token", token, "x", "my work")
    refused = shell.run("task", "complete", *late)
    assert (refused.exit_code, "LEASE_LOST" in refused.error) == (4, True)
    assert "is kept as a late result of its attempt" in refused.error
    rows = [line.split("\t") for line in shell.says("task", "attempts", "x").splitlines()]
    assert rows[0] == ["attempt", "holder", "end", "what", "used", "lasted", "started"]
    assert [row[:4] for row in rows[1:]] == [
        ["1", "bob", "failed", "no luck"],
        ["2", "bob", "taken away", "late result: my work"],
        ["3", "ann", "completed", ""],
    ]
    brief = shell.says("task", "attempts", "x", "--newest", "--brief").splitlines()
    assert brief == [
        "#3 completed ann",
        "#2 taken_away bob: late: my work",
        "#1 failed bob: no luck",
    ]
    found = shell.json("task", "attempts", "x")
    assert found[0]["failure"] == {"message": "no luck", "retryable": True}
    assert found[1]["late_result"]["result"] == {"summary": "my work"}
    assert (found[2]["end"], found[2]["attempt"]) == ("completed", 3)
    history = shell.says("task", "history", "x", "--verb", "keep_late_result")
    assert "x\tkeep late result\tbob\tcompleted\tmy work\t2" in history


def test_a_task_that_was_never_started_has_no_attempts_and_none_has_none(shell: Shell) -> None:
    made(shell)
    assert shell.json("task", "attempts", "x") == []
    done = shell.run("task", "attempts", "nothing")
    assert (done.exit_code, done.out) == (3, "")
    assert "no task 'nothing'" in done.error


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_the_attempts_fit_the_terminal(columns: int) -> None:
    attempt = pb.TaskAttempt(
        attempt=3,
        holder_id="a worker with a long name",
        end=pb.ATTEMPT_END_LEASE_LOST,
        failure=pb.TaskFailure(message="long " * 50),
        start_time=Timestamp(seconds=1_800_000_000),
        end_time=Timestamp(seconds=1_800_000_090),
    )
    table = Table(*ATTEMPTS.columns)
    table.add_row(*ATTEMPTS.row(attempt))
    lines = [line.plain.rstrip() for line in table.lines(columns)]
    assert max(map(len, lines)) <= columns
    assert "lease lost" in lines[1]
    assert ("1 min 30 s" in lines[1], "started" in lines[0]) == (columns >= 80, columns >= 100)


def test_the_program_of_the_next_attempt_reads_why_the_last_one_failed(shell: Shell) -> None:
    made(shell)
    program = (
        "import json, os, sys\n"
        "failure = json.load(sys.stdin).get('last_failure', {})\n"
        "told = os.environ['DOVETAIL_TASK_LAST_FAILURE']\n"
        "assert told == failure.get('message', ''), told\n"
        "sys.exit('the line is busy') if not told else print(failure['data']['exit_code'], told)"
    )
    done = work(shell, *PYTHON, program, options=("--until-idle", "1s"))
    assert done.exit_code == 0, done.error
    summary = task(shell, "x")["result"]["summary"]
    assert summary.startswith("1 exit code 1\nthe line is busy")
