"""`dovetail demo`: a team at work."""

from __future__ import annotations

import dataclasses
import json
import os
import pty
import signal
import subprocess
import tempfile

import pytest

from cli.shell import PROGRAM, Shell
from support.children import child
from support.processes import free_port

HAPPENINGS = ("create", "arrive", "start", "send", "assign", "fail", "reopen", "complete")


def test_a_team_works_and_the_report_is_on_the_screen():
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [*PROGRAM, "demo", "--speed", "0"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=os.environ | {"TMPDIR": folder, "XDG_DATA_HOME": f"{folder}/home"},
        )
        assert os.listdir(folder) == []
    assert (done.returncode, done.stderr) == (0, "")
    planner = (
        "Starting both services on a temporary store, for half a minute",
        "Compare checksums",
        "reopens load-test",
        "All done",
        "The report:",
        "6 tasks   0 pending   0 in progress   0 input required   6 completed",
        "█",
    )
    positions = [done.stdout.index(part) for part in planner]
    assert positions == sorted(positions)
    # Others may say what follows from a step before its agent says that it is done.
    for part in ("Killed at 2 GB", "Task load-test failed"):
        assert part in done.stdout
    assert {f"completes {name}" in done.stdout for name in ("load-test", "review", "notes")} == {
        True
    }
    assert "reassigns resume: coder-ada ⇒ coder-ben" in done.stdout


def test_on_running_servers_all_of_it_is_there_afterwards(shell: Shell):
    before = shell.says("task", "list")
    done = shell.says("demo", "--here", "--speed", "0")
    team = done.rpartition("--team ")[2].split()[0]
    assert team.startswith("demo-")
    tasks = shell.json("task", "list", "--team", team)
    assert {task["state"] for task in tasks} == {"completed"}
    assert {task["task_id"]: task["assignee_id"] for task in tasks}["resume"] == "coder-ben"
    agents = shell.json("agent", "list", "--team", team)
    assert [agent.get("unacknowledged_count", 0) for agent in agents] == [0] * 5
    thread = shell.says("thread", "--team", team, "load-test")
    parts = ("load-test failed", "Compare checksums", "I will try that", "load-test completed")
    positions = [thread.index(part) for part in parts]
    assert positions == sorted(positions)
    assert shell.says("task", "list") == before


def test_a_program_gets_each_event_and_the_report(shell: Shell):
    *events, report = shell.json("demo", "--speed", "0", "--messaging", shell.messaging)
    assert {event["event"] for event in events} == set(HAPPENINGS)
    assert {event["agent_id"] for event in events} == {
        *("planner", "coder-ada", "coder-ben", "reviewer", "writer")
    }
    failed = next(event for event in events if event["event"] == "fail")
    assert (failed["agent_id"], failed["task_id"]) == ("coder-ben", "load-test")
    assert (report["total_tasks"], report["completed_tasks"]) == (6, 6)


def test_a_terminal_has_a_board_below_the_lines(shell: Shell):
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*PROGRAM, "demo", "--here", "--speed", "0"],
        stdout=theirs,
        env=shell.environment | {"TERM": "xterm", "COLUMNS": "100", "LINES": "40"},
    ) as process:
        os.close(theirs)
        printed = b""
        while chunk := _read(ours):
            printed += chunk
    os.close(ours)
    assert process.returncode == 0
    assert printed.count(b"\x1b[2K") > 10  # the board is drawn again and again, and taken down
    assert b"\x1b[?25" not in printed  # The cursor stays: a job may be stopped meanwhile.
    assert "The report:" in printed.decode()


def test_a_signal_ends_it_and_leaves_nothing():
    with tempfile.TemporaryDirectory() as folder:
        with child(
            [*PROGRAM, "demo", "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"TMPDIR": folder},
        ) as process:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["event"]  # it is under way
            process.send_signal(signal.SIGINT)
            _, error = process.communicate(timeout=60)
        assert os.listdir(folder) == []
    assert (process.returncode, error) == (130, "")


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_a_reader_that_leaves_ends_it_without_a_word(shell: Shell, words: tuple[str, ...]):
    with child(
        [*PROGRAM, "demo", "--here", "--speed", "20", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=shell.environment,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


def test_servers_that_are_not_there_are_named(shell: Shell):
    lost = dataclasses.replace(shell, messaging=f"127.0.0.1:{free_port()}")
    code, line = lost.fails("demo", "--here", "--speed", "0")
    assert (code, f"no answer from {lost.messaging}" in line) == (6, True)
    lost = dataclasses.replace(shell, tasks=f"127.0.0.1:{free_port()}")
    done = lost.run("demo", "--here", "--speed", "0")
    assert done.exit_code == 6
    assert f"no answer from {lost.tasks}" in done.error
    assert "Traceback" not in done.error
    assert shell.run("demo", "--speed", "-1").exit_code == 2


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # so a terminal says that its other end is closed
        return b""
