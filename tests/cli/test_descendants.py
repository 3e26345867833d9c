"""What a program starts in turn ends with it, wherever it went; nobody else's does."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import psutil

from cli.pool import create, is_gone, task, work
from cli.shell import PROGRAM, Shell
from support.children import SECONDS, child


def wait_for(path: Path, process: subprocess.Popen[str]) -> int:
    """The number in a file, once a program has written it."""
    while not (path.exists() and path.read_text().endswith("\n")):
        assert process.poll() is None
    return int(path.read_text())


LEAVES = (
    "setsid sleep 100",
    "env -i setsid sleep 100",
    "setsid sh -c 'setsid sleep 100 & wait'",
    "set -m; sleep 100",
    """setsid sh -c 'trap "" TERM; while :; do sleep 100; done'""",
)
"""In a session or a group of its own, without our environment, deaf to SIGTERM."""


def test_what_left_the_group_of_a_program_ends_with_it(shell: Shell, tmp_path: Path):
    create(shell, "x")
    # Orphans by the time the program ends: their parents have ended before.
    left = "".join(f"({each} & echo $! >> {tmp_path}/pids)\n" for each in LEAVES)
    done = work(shell, "bash", "-c", f"{left} echo done")
    assert (done.exit_code, "✔ t1  completed" in done.out) == (0, True)
    pids = [int(line) for line in (tmp_path / "pids").read_text().splitlines()]
    assert [is_gone(pid) for pid in pids] == [True] * len(LEAVES)


def test_it_ends_at_the_time_limit_too(shell: Shell, tmp_path: Path):
    file = tmp_path / "pid"
    create(shell, "x")
    program = f"setsid sleep 100 & echo $! > {file}; sleep 100"
    done = work(shell, "sh", "-c", program, options=("--once", "--time-limit", "1s"))
    assert "it took longer than 1 s" in done.out
    assert is_gone(int(file.read_text()))


def test_the_end_of_one_task_leaves_the_programs_of_the_others_alone(shell: Shell, tmp_path: Path):
    create(shell, "x", "x")
    os.mkfifo(tmp_path / "t1.go")
    os.mkfifo(tmp_path / "t2.go")
    own = f"{tmp_path}/$DOVETAIL_TASK_ID"
    program = f"(setsid sleep 100 & echo $! > {own}.pid); read line < {own}.go"
    words = (*PROGRAM, "worker", "--as", "bob", "--concurrency", "2", "--max-tasks", "2")
    with child(
        [*words, "--", "sh", "-c", program], stdout=subprocess.PIPE, env=shell.environment
    ) as worker:
        first, second = (wait_for(tmp_path / f"{name}.pid", worker) for name in ("t1", "t2"))
        (tmp_path / "t1.go").write_text("\n")
        assert worker.stdout is not None
        assert any("t1  completed" in line for line in worker.stdout)
        assert is_gone(first)
        assert not is_gone(second)
        (tmp_path / "t2.go").write_text("\n")
        assert worker.wait(SECONDS) == 0
        assert is_gone(second)
    assert task(shell, "t2")["state"] == "completed"


def test_a_worker_reaps_whom_it_inherits(shell: Shell, tmp_path: Path):
    """As process 1 of a container does: else the dead pile up for as long as it runs."""
    create(shell, "x")
    file, go = tmp_path / "pid", tmp_path / "go"
    os.mkfifo(go)
    program = f"(setsid sleep 0.1 & echo $! > {file}); read line < {go}"
    words = (*PROGRAM, "worker", "--as", "bob", "--once", "--", "sh", "-c", program)
    with child(words, env=shell.environment) as worker:
        orphan = wait_for(file, worker)
        while psutil.pid_exists(orphan):  # A zombie exists, until it is reaped.
            assert worker.poll() is None
        go.write_text("\n")
        assert worker.wait(SECONDS) == 0
