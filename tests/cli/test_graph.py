"""`dovetail task graph`: what waits for what, drawn."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import threading

import grpc
import pytest

from cli.shell import PROGRAM, Shell
from dovetail.tasks.v1 import tasks_pb2 as pb
from dovetail.tasks.v1 import tasks_pb2_grpc
from support.pair import identity


def make(shell: Shell, *tasks: pb.CreateTaskRequest) -> None:
    """Make tasks in one call."""
    with grpc.insecure_channel(shell.tasks) as channel:
        stub = tasks_pb2_grpc.TaskServiceStub(channel)
        stub.BatchCreateTasks(
            pb.BatchCreateTasksRequest(requests=tasks), metadata=identity("alice", shell.team)
        )


def task(task_id: str, *depends_on: str) -> pb.CreateTaskRequest:
    return pb.CreateTaskRequest(task_id=task_id, title=f"Do {task_id}", depends_on=depends_on)


def complete(shell: Shell, *task_ids: str) -> None:
    for task_id in task_ids:
        shell.says("task", "start", "--as", "bob", task_id)
        shell.says("task", "complete", "--as", "bob", task_id)


@pytest.fixture
def diamond(shell: Shell) -> Shell:
    """A plan, two tasks after it, and one after both; and one that has to do with nothing."""
    make(
        shell,
        *(task("plan"), task("build", "plan"), task("docs", "plan"), task("ship", "build", "docs")),
        task("alone"),
    )
    return shell


def test_each_task_stands_once_below_what_it_waits_for(diamond: Shell):
    complete(diamond, "plan")
    held = diamond.json("task", "start", "--as", "bob", "build", "--lease", "60s")[0]
    progress = ("--percent", "40", "--lease-token", held["lease_token"])
    diamond.says("task", "heartbeat", "--as", "bob", "build", *progress)
    bar, _, *tree = diamond.says("task", "graph").splitlines()
    assert (
        bar == "█" * 8 + "▒" * 8 + "░" * 24 + "  5 tasks   3 pending   1 in progress   1 completed"
    )
    assert tree == [
        "✔ plan  Do plan",
        "├── ▶ build 40 % bob  Do build",
        "│   └── · ship  Do ship  (waits for docs too)",
        "└── ○ docs  Do docs",
        "○ alone  Do alone",
    ]


def test_a_named_task_is_drawn_with_all_before_and_after_it(diamond: Shell):
    def drawn(*task_ids: str) -> set[str]:
        return {each["task_id"] for each in diamond.json("task", "graph", *task_ids)}

    assert drawn("build") == {"plan", "build", "ship"}
    assert drawn("alone", "docs") == {"plan", "docs", "ship", "alone"}
    assert drawn() == {"plan", "build", "docs", "ship", "alone"}
    code, line = diamond.fails("task", "graph", "none")
    assert (code, "[TASK_NOT_FOUND]" in line) == (3, True)


def test_programs_get_the_layer_of_each_task(diamond: Shell):
    complete(diamond, "plan")
    tasks = {each["task_id"]: each for each in diamond.json("task", "graph")}
    layers = {task_id: each["layer"] for task_id, each in tasks.items()}
    assert layers == {"plan": 1, "alone": 1, "build": 2, "docs": 2, "ship": 3}
    ready = {task_id for task_id, each in tasks.items() if each.get("is_ready")}
    assert ready == {"alone", "build", "docs"}
    assert tasks["ship"]["depends_on"] == ["build", "docs"]


def test_graphviz_gets_every_task_and_every_arrow(diamond: Shell):
    make(diamond, pb.CreateTaskRequest(task_id='a"\\b', title="Odd\x07", parent_task_id="alone"))
    printed = diamond.says("task", "graph", "--dot")
    assert printed.startswith("digraph tasks {\n")
    arrows = {line.strip() for line in printed.splitlines() if " -> " in line}
    assert arrows == {
        *('"plan" -> "build";', '"plan" -> "docs";', '"build" -> "ship";', '"docs" -> "ship";'),
        r'"a\"\\b" -> "alone" [style=dotted, arrowhead=none];',
    }
    assert r'label="a\"\\b\nOdd\\u0007"' in printed
    assert diamond.run("task", "graph", "--dot", "--watch").exit_code == 2


def test_many_tasks_are_drawn_by_layers_and_what_is_done_is_one_line(shell: Shell):
    first = [task(f"a{number}") for number in range(3)]
    second = [task(f"b{number}", "a0", "a1", "a2") for number in range(20)]
    third = [task(f"c{number}", f"b{number}") for number in range(20)]
    make(shell, *first, *second, *third, task("end", *(each.task_id for each in third)))
    complete(shell, "a0", "a1", "a2", "b0", "b1")
    shell.says("task", "start", "--as", "bob", "b2")
    shell.says("task", "fail", "--as", "bob", "b3", "No")
    bar, _, *layers = shell.says("task", "graph").splitlines()
    assert bar.endswith("44 tasks   37 pending   1 in progress   5 completed   1 failed")
    assert [line.split() for line in layers] == [
        ["layer", "1", "█" * 20, "3", "of", "3"],
        ["layer", "2", "██x▒" + "░" * 16, "2", "of", "20", "✘", "b3", "▶", "b2", "bob"],
        ["layer", "3", "░" * 20, "0", "of", "20"],
        ["layer", "4", "░" * 20, "0", "of", "1"],
    ]


def test_watching_tells_what_changes_until_all_has_ended(diamond: Shell):
    words = [*PROGRAM, "task", "graph", "--watch", "plan", "--json"]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, text=True, env=diamond.environment
    ) as watching:
        assert watching.stdout is not None
        first = [json.loads(watching.stdout.readline())["task_id"] for _ in range(4)]
        assert sorted(first) == ["build", "docs", "plan", "ship"]
        complete(diamond, "plan", "build", "docs", "ship")
        changes = [json.loads(line) for line in watching.stdout]
        assert watching.wait(60) == 0
    completed = [each["task_id"] for each in changes if each["state"] == "completed"]
    assert sorted(completed) == ["build", "docs", "plan", "ship"]


def test_in_a_pipe_watching_is_a_line_for_each_change(shell: Shell):
    make(shell, task("only"))
    with subprocess.Popen(
        [*PROGRAM, "task", "graph", "--watch"],
        stdout=subprocess.PIPE,
        text=True,
        env=shell.environment,
    ) as watching:
        assert watching.stdout is not None
        drawn = [watching.stdout.readline() for _ in range(3)]
        assert drawn[2] == "○ only  Do only\n"
        complete(shell, "only")
        assert watching.stdout.read().splitlines()[-1] == "✔ only  completed"


def test_a_terminal_is_drawn_on_again_and_again(shell: Shell):
    make(shell, task("only"))
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*PROGRAM, "task", "graph", "--watch"],
        stdout=theirs,
        env={**shell.environment, "TERM": "xterm", "COLUMNS": "100"},
    ) as watching:
        os.close(theirs)
        shown = bytearray()
        reading = threading.Thread(target=_read_all, args=(ours, shown))
        reading.start()
        complete(shell, "only")
        assert watching.wait(60) == 0
        reading.join(60)
    os.close(ours)
    assert "✔" in shown.decode()
    assert "1 completed" in shown.decode().replace("\x1b[32m", "").replace("\x1b[0m", "")


def test_there_may_be_nothing_to_draw(shell: Shell):
    assert shell.says("task", "graph") == "no tasks\n"
    assert shell.json("task", "graph", "--watch") == []


def _read_all(source: int, into: bytearray) -> None:
    """What a terminal shows, to its end: Linux then answers an error."""
    try:
        while chunk := os.read(source, 4096):
            into += chunk
    except OSError:
        return
