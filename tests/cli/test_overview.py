"""What there is on one screen: `dovetail top`, `whoami` and `questions`."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import json
import os
import pty
import re
import sys
import termios
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from rich.cells import cell_len

from cli.pool import tasks
from cli.shell import PROGRAM, Shell
from dovetail.cli.output import lists
from dovetail.cli.output.screen import console
from dovetail.cli.output.tables import Table
from dovetail.cli.output.terminal import is_in_foreground
from dovetail.cli.overview.snapshot import AGENTS_MAX, TASKS_MAX, Snapshot, Work
from dovetail.cli.overview.watching import draw, look
from dovetail.client import connect
from dovetail.messaging.v1 import messaging_pb2 as talk
from dovetail.tasks.v1 import tasks_pb2 as work
from dovetail.types.v1.types_pb2 import InputOption
from support.children import SECONDS, child
from support.pair import identity
from support.processes import free_port

NOW = Timestamp(seconds=1_790_000_000)
MANY = Snapshot(
    time=datetime.now(UTC),
    agents=[
        talk.Agent(
            agent_id=f"予約-agent-{number:04}" * 3,
            display_name="Reads the figures of all regions",
            unacknowledged_count=number,
            last_seen_time=NOW,
        )
        for number in range(AGENTS_MAX)
    ],
    work=Work(
        report=work.Report(
            total_tasks=4_000,
            states=[
                work.StateCount(state=work.TASK_STATE_PENDING, count=3_000),
                work.StateCount(state=work.TASK_STATE_IN_PROGRESS, count=500),
                work.StateCount(state=work.TASK_STATE_COMPLETED, count=400),
                work.StateCount(state=work.TASK_STATE_FAILED, count=100),
            ],
        ),
        under_way=[
            work.Task(
                task_id=f"task-{number}",
                title="Read the figures of all regions 予約 \x1b[2J",
                state=work.TASK_STATE_IN_PROGRESS,
                assignee_id="a" * 60,
                start_time=NOW,
                progress=work.TaskProgress(percent=40),
                lease=work.Lease(duration=Duration(seconds=60), expire_time=NOW),
            )
            for number in range(TASKS_MAX)
        ],
        pending=[
            work.Task(task_id="waits", state=work.TASK_STATE_PENDING, waiting_for_count=1),
            work.Task(task_id="ready", state=work.TASK_STATE_PENDING, create_time=NOW),
        ],
        completed_in_hour=90,
    ),
)


def screen(seen: Snapshot, columns: int, rows: int) -> list[str]:
    drawing = console(io.StringIO())
    drawing.width = columns
    with drawing.capture() as printed:
        drawing.print(draw("big", seen, "", (columns, rows)))
    return [line.rstrip() for line in printed.get().splitlines()]


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("rows", [24, 50])
def test_a_look_fits_the_screen(columns: int, rows: int):
    lines = screen(MANY, columns, rows)
    assert len(lines) <= rows
    assert max(map(cell_len, lines)) <= columns
    text = " ".join(" ".join(lines).split())
    for part in (
        "team big",
        "1,000 or more, 499,500 unread messages: 予約-agent-0999",
        "4,000: 3,000 pending, 500 in progress, 400 completed, 100 failed",
        "the oldest is ready in the pool",
        "50 or more held: task-0, task-1",
        "90 completed in the last hour, 1.5 a minute",
        "task-0 in progress",
        "40 %",
        "more",
    ):
        assert part in text, part
    assert ("lease" in text.split("pace")[1]) is (columns >= 80)
    bar = next(line.strip() for line in lines if "█" in line)
    assert (bar.count("█"), bar.count("x"), bar.count("▒"), bar.count("░")) == (4, 1, 5, 30)


def test_agents_with_the_most_unread_messages_come_first():
    seen = dataclasses.replace(MANY, work=None)
    lines = screen(seen, 120, 24)
    unread = [int(line.split()[1]) for line in lines if line.startswith("予約")]
    assert unread == list(range(999, 999 - len(unread), -1))
    assert f"and {1_000 - len(unread)} more" in lines


def test_servers_that_are_away_are_told_and_the_next_look_goes_on():
    async def run() -> Snapshot:
        away = f"127.0.0.1:{free_port()}"
        async with connect("bob", messaging=away, tasks=away, timeout=5, patience=0) as agent:
            return await look(agent)

    seen = asyncio.run(run())
    assert (seen.agents, seen.work, len(seen.faults)) == (None, None, 2)
    lines = screen(seen, 80, 24)
    assert sum(line.startswith("! no answer from") for line in lines) == 2


def test_a_look_makes_five_calls():
    counts: dict[str, int] = {}

    class Counting:
        def __init__(self, prefix: str) -> None:
            self._prefix = prefix

        def _count(self, name: str) -> None:
            counts[self._prefix + name] = counts.get(self._prefix + name, 0) + 1

        async def agents(self, page_size: int) -> Any:
            for number in range(3 * page_size):
                if number % page_size == 0:
                    self._count("page of agents")
                yield SimpleNamespace(proto=talk.Agent(agent_id=str(number)))

        async def list(self, *, page_size: int, **_: Any) -> Any:
            for number in range(3 * page_size):
                if number % page_size == 0:
                    self._count("page of tasks")
                yield SimpleNamespace(proto=work.Task(task_id=str(number)))

        async def report(self, **_: Any) -> Any:
            self._count("report")
            return SimpleNamespace(proto=work.Report(), total_tasks=0)

    agent: Any = Counting("")
    agent.tasks = Counting("")
    asyncio.run(look(agent))
    assert counts == {"page of agents": 1, "page of tasks": 2, "report": 2}


def read_all(source: int, into: bytearray) -> None:
    """What a terminal shows, to its end: Linux then answers an error."""
    try:
        while chunk := os.read(source, 4096):
            into += chunk
    except OSError:
        return


def test_top_is_drawn_on_a_terminal_until_q(shell: Shell):
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    shown = bytearray()
    environment = {**shell.environment, "COLUMNS": "80", "LINES": "24"}
    command = [*PROGRAM, "top", "--every", "1s"]
    with child(command, stdin=theirs, stdout=theirs, env=environment) as top:
        reading = threading.Thread(target=read_all, args=(ours, shown), daemon=True)
        reading.start()
        shell.says("send", "--as", "alice", "bob", "hello")
        end = time.monotonic() + SECONDS
        while b"2, 1 unread message" not in shown and time.monotonic() < end:
            assert top.poll() is None
            time.sleep(0.05)
        os.write(ours, b"xq")
        assert top.wait(60) == 0
        assert termios.tcgetattr(theirs) == before
        os.close(theirs)
        reading.join(60)
    os.close(ours)
    assert shown.startswith(b"\x1b[?1049h")
    assert b"\x1b[?1049l" in shown
    assert b"every 1 s, q ends" in shown


def test_top_goes_on_while_a_server_is_away(shell: Shell):
    ours, theirs = pty.openpty()
    shown = bytearray()
    away = dataclasses.replace(shell, messaging=f"127.0.0.1:{free_port()}")
    environment = {**away.environment, "COLUMNS": "60", "LINES": "24"}
    command = [*PROGRAM, "top", "--every", "0.2s"]
    with child(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as top:
        reading = threading.Thread(target=read_all, args=(ours, shown), daemon=True)
        reading.start()
        end = time.monotonic() + SECONDS
        while shown.count(b"! no answer from") < 3 and time.monotonic() < end:
            assert top.poll() is None
            time.sleep(0.05)
        os.write(ours, b"q")
        assert top.wait(60) == 0
        os.close(theirs)
        reading.join(60)
    os.close(ours)
    assert b"tasks   0" in re.sub(rb"\x1b\[[0-9;]*m", b"", shown)


BACKGROUND = """
import os, subprocess, sys
os.open(os.ttyname(0), os.O_RDWR)  # The terminal of this session; its foreground is this process.
sys.exit(subprocess.run(sys.argv[1:], process_group=0).returncode)
"""


def test_in_the_background_top_prints_one_look_and_ends(shell: Shell):
    ours, theirs = pty.openpty()
    shown = bytearray()
    command = [sys.executable, "-c", BACKGROUND, *PROGRAM, "top"]
    environment = shell.environment
    with child(
        command, stdin=theirs, stdout=theirs, env=environment, start_new_session=True
    ) as job:
        reading = threading.Thread(target=read_all, args=(ours, shown), daemon=True)
        reading.start()
        os.close(theirs)
        assert job.wait(60) == 0
        reading.join(60)
    os.close(ours)
    assert b"2, 0 unread messages" in shown
    assert b"\x1b[?1049h" not in shown
    assert b"q ends" not in shown


def test_what_is_no_terminal_is_not_in_the_foreground():
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal, Path(os.devnull).open("w") as nothing:
        assert is_in_foreground(terminal)  # Of no shell: nobody else draws on it.
        assert not is_in_foreground(nothing)
    os.close(ours)


def test_a_program_and_a_pipe_get_one_look(shell: Shell):
    shell.says("task", "create", "--as", "alice", "x", "--assignee", "bob")
    printed = shell.says("top")
    assert "tasks   1: 1 pending" in printed
    assert "no task is under way" in printed
    assert "q ends" not in printed
    (facts,) = shell.json("top")
    assert (facts["total_tasks"], facts["states"]) == (1, {"pending": 1})
    assert [agent["agent_id"] for agent in facts["agents"]] == ["alice", "bob"]
    assert facts["oldest_ready_task"]["task_id"] == "t1"
    away = dataclasses.replace(
        shell, messaging=f"127.0.0.1:{free_port()}", tasks=f"127.0.0.1:{free_port()}"
    )
    code, line = away.fails("top", "--once")
    assert (code, "no answer from" in line) == (6, True)


def ask(shell: Shell, task_id: str, text: str) -> None:
    """Have bob ask alice about a task that she made."""
    with tasks(shell) as stub:
        alice, bob = (identity(name, shell.team) for name in ("alice", "bob"))
        stub.CreateTask(work.CreateTaskRequest(task_id=task_id, title="Build it"), metadata=alice)
        stub.StartTask(work.StartTaskRequest(task_id=task_id), metadata=bob)
        asking = work.RequestTaskInputRequest(task_id=task_id, text=text)
        stub.RequestTaskInput(asking, metadata=bob)


def test_the_questions_to_an_agent_come_with_how_to_answer(shell: Shell):
    assert "no questions wait" in shell.says("questions", "--as", "alice")
    ask(shell, "build", "Which of\nthe disks?")
    head, row, way = shell.says("questions", "--as", "alice").splitlines()
    names = ["task", "from", "question", "options", "default", "to", "title", "asked"]
    assert head.split("\t") == names
    cells = ["build", "bob", "Which of the disks?", "", "", "alice", "Build it"]
    assert row.split("\t")[:7] == cells
    assert way == "Answer it: dovetail task answer build TEXT"
    assert shell.json("questions", "--as", "bob") == []
    assert [each["task_id"] for each in shell.json("questions", "--all")] == ["build"]
    shell.says("task", "answer", "--as", "alice", "build", "The left one")
    assert shell.json("questions", "alice") == []
    code, line = shell.fails("questions", "nobody")
    assert (code, "[AGENT_NOT_FOUND]" in line) == (3, True)
    code, line = shell.fails("questions")
    assert (code, "whose questions?" in line) == (2, True)


def test_options_and_the_default_of_a_question_are_listed(shell: Shell):
    task = ("task", "create", "--as", "alice", "Build it", "--id", "build")
    shell.says(*task)
    shell.says("task", "start", "--as", "bob", "build")
    shell.says(
        *("task", "ask", "--as", "bob", "build", "Which disk?"),
        *("--option", "left=The old one", "--option", "right", "--within", "2h"),
        *("--default", "right"),
    )
    _, row, way = shell.says("questions", "--as", "alice").splitlines()
    cells = row.split("\t")
    assert cells[2:4] == ["Which disk?", "left, right"]
    assert re.fullmatch(r"in (1h|2h|119m|120m): right", cells[4])
    assert way == "Answer it: dovetail task answer build --option NAME"
    (found,) = shell.json("questions", "alice")
    assert found["question"]["options"] == [
        {"name": "left", "description": "The old one"},
        {"name": "right"},
    ]
    assert found["question"]["default_answer"] == "right"


@pytest.mark.parametrize(("room", "columns"), [(60, 4), (80, 6), (100, 7), (120, 8), (140, 9)])
def test_questions_fit_the_terminal(room: int, columns: int):
    asked = work.TaskQuestion(
        agent_id="alice" * 9,
        text="Which of the disks? " * 9,
        ask_time=NOW,
        options=[InputOption(name="left" * 9), InputOption(name="right" * 9)],
        deadline_time=NOW,
        default_answer="left" * 9,
    )
    item = work.Task(
        task_id="build",
        title="Build it",
        assignee_id="b" * 60,
        question=asked,
        state=work.TASK_STATE_INPUT_REQUIRED,
    )
    table = cast("Table", lists.QUESTIONS([item]))
    head, row = (line.plain for line in table.lines(room))
    assert len(head.split()) == columns
    assert cell_len(row) <= room
    assert "Which of the" in row


def test_whoami_says_who_calls_whom(shell: Shell):
    shell.says("send", "--as", "alice", "bob", "hello")
    narrow = shell.within(COLUMNS="60").says("whoami", "--as", "bob")
    assert max(map(len, narrow.splitlines())) <= 60
    printed = shell.says("whoami", "--as", "bob")
    rows = {line.split()[0]: line.split(maxsplit=1)[1] for line in printed.splitlines()}
    assert (rows["agent"], rows["team"], rows["unread"]) == ("bob", shell.team, "1")
    assert (rows["messaging"], rows["tasks"]) == (shell.messaging, shell.tasks)
    assert rows["role"].startswith("operator")
    (facts,) = shell.json("whoami", "--as", "bob")
    assert (facts["agent_id"], facts["unacknowledged"], facts["role"]) == ("bob", 1, "operator")
    assert "none: name one with --as" in shell.says("whoami")
    assert "not known in this team" in shell.says("whoami", "--as", "nobody")
    assert [agent["agent_id"] for agent in shell.json("agent", "list")] == ["alice", "bob"]
    away = dataclasses.replace(shell, messaging=f"127.0.0.1:{free_port()}")
    code, line = away.fails("whoami", "--as", "bob")
    assert (code, "no answer from" in line) == (6, True)


def test_whoami_tells_of_messages_to_the_same_name_in_the_default_team(shell: Shell):
    name = f"agent of {shell.team}"
    default = dataclasses.replace(shell, team="")
    default.says("agent", "register", name)
    assert "elsewhere" not in shell.says("whoami", "--as", name)
    for _ in range(2):
        default.says("send", "--as", name, name, "hello")
    assert "2 unread for this name in team default" in shell.says("whoami", "--as", name)
    assert json.loads(shell.says("whoami", "--as", name, "--json"))["elsewhere"] == {"default": 2}
    assert "elsewhere" not in default.says("whoami", "--as", name)
