"""Trouble of a worker's own output costs lines of it, and no work."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from cli.pool import PYTHON, create, task, work
from cli.shell import PROGRAM, Shell
from support.children import SECONDS, child, prepared

Streams = Callable[[], dict[str, Any]]
MORE_THAN_A_PIPE = "for i in 1 2 3 4 5 6 7 8; do head -c 9000 /dev/zero | tr '\\0' x >&2; done"


def reader_that_left() -> dict[str, Any]:
    reading, writing = os.pipe()
    os.close(reading)
    return {"stdout": writing, "stderr": writing}


def full_pipe(*, blocks: bool) -> dict[str, Any]:
    """A pipe that nobody empties. Its reading end stays open until this process ends."""
    _, writing = os.pipe()
    os.set_blocking(writing, False)
    while True:
        try:
            os.write(writing, b"x" * 4096)
        except BlockingIOError:
            break
    os.set_blocking(writing, blocks)
    return {"stdout": writing, "stderr": writing}


def full_disk() -> dict[str, Any]:
    full = os.open("/dev/full", os.O_WRONLY)
    return {"stdout": full, "stderr": full}


def closed() -> dict[str, Any]:
    return {"words": ">&- 2>&-"}


@pytest.mark.parametrize(
    ("streams", "words"),
    [
        (reader_that_left, ()),
        (reader_that_left, ("--json",)),
        (full_disk, ()),
        (closed, ()),
        (lambda: full_pipe(blocks=True), ()),
        (lambda: full_pipe(blocks=False), ("--json",)),
    ],
)
def test_its_trouble_is_not_that_of_the_tasks(
    shell: Shell, streams: Streams, words: tuple[str, ...]
):
    create(shell, "x", "x")
    program = ("sh", "-c", f"{MORE_THAN_A_PIPE}; echo said")
    command = [*PROGRAM, "worker", "--as", "bob", "--max-tasks", "2", *words, "--", *program]
    opened = streams()
    command = prepared(f"exec {opened.pop('words', '')}", command)
    try:
        with child(command, env=shell.environment, **opened) as worker:
            assert worker.wait(SECONDS) == 0
    finally:
        for each in {each for each in opened.values() if isinstance(each, int)}:
            os.close(each)
    for task_id in ("t1", "t2"):
        found = task(shell, task_id)
        assert (found["state"], found["result"]["summary"]) == ("completed", "said")
        assert found.get("failed_attempts", 0) == 0


def test_it_says_that_its_output_is_gone(shell: Shell):
    create(shell, "x", "x", "x")
    command = [*PROGRAM, "worker", "--as", "bob", "--max-tasks", "3", "--", "true"]
    with child(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=shell.environment
    ) as worker:
        assert worker.stdout is not None
        worker.stdout.close()
        assert worker.stderr is not None
        said = worker.stderr.read()
        assert worker.wait(SECONDS) == 0
    assert (
        said.count("standard output cannot be written (Broken pipe): the work goes on without it")
        == 1
    )


BACKGROUND = """
import fcntl, os, sys, termios
os.setsid()
terminal = os.open(sys.argv[1], os.O_RDWR)
fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
modes = termios.tcgetattr(terminal)
modes[3] |= termios.TOSTOP
termios.tcsetattr(terminal, termios.TCSANOW, modes)
pid = os.fork()
if not pid:
    os.setpgid(0, 0)
    for stream in (0, 1, 2):
        os.dup2(terminal, stream)
    os.execv(sys.argv[2], sys.argv[2:])
status = os.waitpid(pid, os.WUNTRACED)[1]
if os.WIFSTOPPED(status):
    os.kill(pid, 9)
    sys.exit(f"it was stopped by signal {os.WSTOPSIG(status)}")
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_a_terminal_that_belongs_to_others_does_not_stop_it(shell: Shell):
    """`stty tostop`: whoever writes to the terminal from the background is stopped."""
    create(shell, "x")
    ours, theirs = pty.openpty()
    command = [*PROGRAM, "worker", "--as", "bob", "--once", "--", "sh", "-c", "echo err >&2"]
    try:
        with child(
            [*PYTHON, BACKGROUND, os.ttyname(theirs), *command], env=shell.environment
        ) as launcher:
            assert launcher.wait(SECONDS) == 0
        assert b"completed" in os.read(ours, 65_536)
    finally:
        os.close(theirs)
        os.close(ours)
    assert task(shell)["state"] == "completed"


def test_what_comes_in_pieces_is_passed_on_in_whole_lines(shell: Shell):
    create(shell, "x")
    pieces = [b"begin \xe2", b"\x82", b"\xac mid", b"dle\nsecond line\r\n", b"no end"]
    write = "[(os.write(2, piece), time.sleep(0.02)) for piece in pieces]"
    done = work(shell, *PYTHON, f"import os, time; pieces = {pieces!r}; {write}")
    assert done.error.splitlines() == [
        "t1: begin \N{EURO SIGN} middle",
        "t1: second line",
        "t1: no end",
    ]


@pytest.mark.parametrize("line", [5_000_000, 70])
def test_a_flood_is_cut_and_says_how_much_was_left_out(shell: Shell, line: int):
    create(shell, "x")
    text = f"('x' * {line} + '\\n') * {20_000_000 // line} + 'the end'"
    done = work(shell, *PYTHON, f"import sys; sys.stderr.write({text}); sys.exit(66)")
    assert len(done.error) < 2_000_000
    left_out = [
        int(part.split()[-1].replace(",", "")) for part in done.error.split(" bytes left out")[:-1]
    ]
    passed = done.error.count("x")
    assert sum(left_out) + passed > 19_000_000
    message = task(shell)["failure"]["message"]
    assert message.startswith("exit code 66\nxx")
    assert message.endswith("x\nthe end")
    assert len(message) < 4_100
