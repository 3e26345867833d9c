"""Signals: what was ignored at the start stays so, and a stop of a whole service fails no task."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from cli.pool import PYTHON, create, task
from cli.shell import PROGRAM, Shell
from support.children import SECONDS, child, prepared

ANY_PORTS = ("--messaging-listen", "127.0.0.1:0", "--tasks-listen", "127.0.0.1:0")
WAITS = "import sys, time; print('begun', file=sys.stderr, flush=True); time.sleep(100)"


def ignoring(command: Sequence[str], *numbers: signal.Signals) -> list[str]:
    """A command that begins with these signals ignored."""
    names = " ".join(number.name.removeprefix("SIG") for number in numbers)
    return prepared(f"trap '' {names}", command)


def is_ignored(pid: int, number: signal.Signals) -> bool:
    """Whether a process ignores a signal, as the system has it."""
    (line,) = (
        line
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("SigIgn")
    )
    return bool(int(line.split()[1], 16) >> (number - 1) & 1)


def test_up_serves_on_through_signals_that_were_ignored(tmp_path: Path):
    numbers = (signal.SIGHUP, signal.SIGINT)
    command = [*PROGRAM, "up", "--json", "--data-dir", str(tmp_path), *ANY_PORTS]
    with child(ignoring(command, *numbers), stdout=subprocess.PIPE) as up:
        assert up.stdout is not None
        said = json.loads(up.stdout.readline())
        for number in numbers:
            up.send_signal(number)
        shell = Shell(messaging=said["messaging"], tasks=said["tasks"], team="t")
        assert shell.says("task", "list") == "no tasks\n"
        pids = [up.pid, *(each.pid for each in psutil.Process(up.pid).children())]
        assert all(is_ignored(pid, number) for pid in pids for number in numbers)
        up.terminate()
        assert up.wait(SECONDS) == 0


def test_serve_serves_on_through_a_signal_that_was_ignored(tmp_path: Path):
    command = [*PROGRAM, "serve", "tasks", "--listen", "127.0.0.1:0", "--data-dir", str(tmp_path)]
    with child(
        ignoring(command, signal.SIGINT),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as serve:
        assert serve.stdout is not None
        assert "is serving" in serve.stdout.readline()
        assert is_ignored(serve.pid, signal.SIGINT)
        serve.terminate()
        assert serve.wait(SECONDS) == 0


def test_up_stops_its_servers_where_whoever_started_it_ignores_sigterm(tmp_path: Path):
    command = [*PROGRAM, "up", "--json", "--data-dir", str(tmp_path), *ANY_PORTS]
    with child(ignoring(command, signal.SIGTERM), stdout=subprocess.PIPE) as up:
        assert up.stdout is not None
        assert json.loads(up.stdout.readline())
        up.send_signal(signal.SIGINT)
        assert up.wait(SECONDS) == 0
    for service in ("messaging", "tasks"):
        assert '"event": "stopped"' in (tmp_path / f"{service}.log").read_text()


def test_a_worker_works_on_through_a_signal_that_was_ignored(shell: Shell, tmp_path: Path):
    create(shell, "x", "x")
    go = tmp_path / "go"
    os.mkfifo(go)
    program = ("sh", "-c", f"echo begun >&2; read line < {go}; echo done")
    command = [*PROGRAM, "worker", "--as", "bob", "--max-tasks", "2", "--grace", "1s", *program]
    with child(
        ignoring(command, signal.SIGHUP, signal.SIGINT),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env=shell.environment,
    ) as worker:
        assert worker.stderr is not None
        for _ in range(2):
            assert "begun" in worker.stderr.readline()
            worker.send_signal(signal.SIGHUP)
            worker.send_signal(signal.SIGINT)
            go.write_text("\n")
        assert worker.wait(SECONDS) == 0
    assert [task(shell, each)["state"] for each in ("t1", "t2")] == ["completed"] * 2


ENDS_BADLY = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))"


@pytest.mark.parametrize(
    ("order", "program"),
    [
        (1, WAITS),
        (-1, WAITS),  # The program's end is seen before the worker is signalled itself.
        (1, f"import signal, sys; {ENDS_BADLY}; {WAITS}"),
    ],
)
def test_a_stop_of_worker_and_program_at_once_gives_the_task_back(
    shell: Shell, order: int, program: str
):
    """As a service manager stops all processes of a service."""
    create(shell, "x", max_attempts=1)
    command = [*PROGRAM, "worker", "--as", "bob", "--", *PYTHON, program]
    with child(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=shell.environment
    ) as worker:
        assert worker.stderr is not None
        assert "begun" in worker.stderr.readline()
        (running,) = psutil.Process(worker.pid).children()
        for pid in (worker.pid, running.pid)[::order]:
            os.kill(pid, signal.SIGTERM)
        out, _ = worker.communicate(timeout=SECONDS)
    assert (worker.returncode, "released after" in out) == (0, True)
    found = task(shell)
    assert (found["state"], found.get("failed_attempts", 0)) == ("pending", 0)


def test_a_program_that_says_that_the_task_cannot_be_done_is_believed_in_a_stop_too(shell: Shell):
    create(shell, "x")
    program = f"import signal, sys; {ENDS_BADLY.replace('3', '65')}; {WAITS}"
    command = [*PROGRAM, "worker", "--as", "bob", "--", *PYTHON, program]
    with child(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=shell.environment
    ) as worker:
        assert worker.stderr is not None
        assert "begun" in worker.stderr.readline()
        (running,) = psutil.Process(worker.pid).children()
        for pid in (worker.pid, running.pid):
            os.kill(pid, signal.SIGTERM)
        assert worker.wait(SECONDS) == 0
    assert task(shell)["state"] == "failed"
