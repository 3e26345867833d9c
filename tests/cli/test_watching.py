"""`dovetail task watch`: events as they happen, and where to go on."""

from __future__ import annotations

import json
import signal
import subprocess

from cli.shell import PROGRAM, Shell
from dovetail.client.blocking import Agent, connect
from support.children import SECONDS, child


def agent(shell: Shell, agent_id: str) -> Agent:
    """An agent in the shell's team."""
    return connect(agent_id, team_id=shell.team, messaging=shell.messaging, tasks=shell.tasks)


def test_what_happens_is_printed_until_it_is_interrupted(shell: Shell) -> None:
    command = [*PROGRAM, "task", "watch", "--after", "0", "--json"]
    with (
        agent(shell, "ann") as ann,
        child(command, stdout=subprocess.PIPE, env=shell.environment) as watching,
    ):
        ann.tasks.create("A task", task_id="x")
        assert watching.stdout is not None
        first = json.loads(watching.stdout.readline())
        ann.tasks.cancel("x", "not needed")
        second = json.loads(watching.stdout.readline())
        watching.send_signal(signal.SIGINT)
        assert watching.stdout.read() == ""
        assert watching.wait(SECONDS) == 130
    assert [(each["event_number"], each["verb"]) for each in (first, second)] == [
        (1, "create"),
        (2, "cancel"),
    ]
    rest = shell.json("task", "watch", "--after", "1", "--limit", "1")
    assert rest == [second]


def test_without_a_number_it_begins_with_what_happens_next(shell: Shell) -> None:
    command = [*PROGRAM, "task", "watch", "--verb", "reopen", "--limit", "1"]
    with (
        agent(shell, "ann") as ann,
        child(command, stdout=subprocess.PIPE, env=shell.environment) as watching,
    ):
        ann.tasks.create("A task", task_id="x")
        while watching.poll() is None:  # It says nothing that tells when it has begun.
            ann.tasks.cancel("x")
            ann.tasks.reopen("x", "again")
        assert watching.stdout is not None
        line = watching.stdout.read()
        assert watching.wait(SECONDS) == 0
    assert line.startswith("#")
    assert line.endswith("  x  reopen by ann: pending; again\n")


def test_lines_for_people_and_in_brief(shell: Shell) -> None:
    with agent(shell, "ann") as ann:
        ann.tasks.create("A task", task_id="x", assignee_id="ann")
        ann.tasks.create("Another", task_id="y")
        ann.tasks.update("y", priority=2)
    line = shell.says("task", "watch", "y", "--after", "2", "--limit", "1")
    assert line.startswith("#3  20")
    assert line.endswith("  y  update by ann: pending; priority 0 → 2\n")
    brief = shell.says("task", "watch", "--after", "0", "--limit", "3", "--brief")
    assert brief == "x 1 create ann\ny 1 create ann\ny 2 update ann: priority\n"


def test_what_cannot_be_watched_is_one_line(shell: Shell) -> None:
    code, line = shell.fails("task", "watch", "nothing")
    assert (code, "no task 'nothing'" in line) == (3, True)
    code, line = shell.fails("task", "watch", "--after", "7")
    assert (code, "0 to 0 are legal [CURSOR_IN_FUTURE]" in line) == (4, True)
    away = shell.within(DOVETAIL_TASKS="127.0.0.1:1", DOVETAIL_PATIENCE="0")
    code, line = away.fails("task", "watch")
    assert (code, "no answer from 127.0.0.1:1" in line) == (6, True)
