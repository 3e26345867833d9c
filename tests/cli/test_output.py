"""Trouble of standard output, where what is printed is what the command is for."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from cli.pool import create
from cli.shell import PROGRAM, Shell
from support.children import SECONDS, child, prepared
from support.processes import free_port

# Those that wait, and those that are over at once; what each prints is what it is for.
PRINTING = [
    ("inbox", "--as", "bob", "--follow", "--ack"),
    ("inbox", "--as", "bob", "--wait", "1", "--ack", "--json"),
    ("task", "list", "--json"),
    ("task", "graph", "--watch", "--json"),
    ("task", "watch", "--after", "0"),
    ("demo", "--here", "--speed", "50", "--json"),
    ("config",),
]


@pytest.mark.parametrize("words", PRINTING, ids=" ".join)
def test_a_full_disk_is_one_line_and_loses_nothing(shell: Shell, words: tuple[str, ...]):
    shell.says("send", "--as", "alice", "bob", "x")
    create(shell, "x")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*PROGRAM, *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=shell.environment,
            timeout=60,
            check=False,
        )
    text = "standard output cannot be written: No space left on device"
    error = {"reason": "FAILED", "message": text, "exit_code": 1}
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    if "--json" in words:
        assert json.loads(done.stderr) == {"error": error}
    else:
        assert done.stderr == f"dovetail: {text}\n"
    assert len(shell.json("inbox", "--as", "bob")) == 1, "acknowledged, though it was not printed"


@pytest.mark.parametrize(
    "words",
    [
        ("inbox", "--as", "bob", "--follow"),
        ("task", "graph", "--watch"),
        ("task", "graph", "--watch", "--json"),
        ("task", "watch", "--after", "0", "--json"),
    ],
    ids=" ".join,
)
def test_what_waits_without_end_ends_with_its_reader(shell: Shell, words: tuple[str, ...]):
    shell.says("send", "--as", "alice", "bob", "x")
    create(shell, "x")
    with child(
        [*PROGRAM, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=shell.environment
    ) as waiting:
        assert waiting.stdout is not None
        assert waiting.stderr is not None
        assert waiting.stdout.readline()
        waiting.stdout.close()
        assert waiting.wait(SECONDS) == 1
        assert waiting.stderr.read() == ""


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_command_may_be_run_without_standard_streams(shell: Shell, closed: str):
    words = prepared(f"exec {closed}", [*PROGRAM, "send", "--as", "alice", "bob", "x"])
    with child(words, env=shell.environment) as sending:
        assert sending.wait(SECONDS) == 0
    assert len(shell.json("inbox", "--as", "bob")) == 1


@pytest.mark.parametrize("place", ["full disk", "reader that left"])
def test_servers_serve_though_nobody_reads_that_they_do(place: str, tmp_path: Path):
    messaging, tasks = (f"127.0.0.1:{free_port()}" for _ in range(2))
    command = [*PROGRAM, "up", "--data-dir", str(tmp_path)]
    command += ["--messaging-listen", messaging, "--tasks-listen", tasks]
    reading, writing = os.pipe()
    os.close(reading)
    with open("/dev/full", "w") as full, os.fdopen(writing, "w") as unread:
        out = full if place == "full disk" else unread
        with child(command, stdout=out, stderr=subprocess.PIPE) as up:
            shell = Shell(messaging=messaging, tasks=tasks, team="t")
            while shell.run("status").exit_code:
                assert up.poll() is None
            up.terminate()
            assert up.stderr is not None
            assert up.stderr.read() == ""
            assert up.wait(SECONDS) == 0
