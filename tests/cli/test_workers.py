"""`serve --workers` and `up --workers`: several processes that start, serve and end as one."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import grpc
import psutil
import pytest

from cli.shell import PROGRAM, Finished, Shell
from dovetail.messaging.v1 import messaging_pb2, messaging_pb2_grpc
from support.children import SECONDS, child
from support.pair import identity
from support.soak import only_in_soaks
from support.workers import pids_below

ANY = ("--listen", "127.0.0.1:0")
TWO = ("--workers", "2")


@dataclass(frozen=True, kw_only=True)
class Running:
    """A server of several workers: its supervisor, what it printed, and its log."""

    process: subprocess.Popen[str]
    said: str
    log: Path

    @property
    def workers(self) -> dict[int, psutil.Process]:
        return {n: psutil.Process(pid) for n, pid in pids_below(self.process.pid).items()}

    def events(self) -> list[tuple[str, int]]:
        """The log's lines: what happened, and to which worker."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line[0] == "{"]
        return [(line["event"], line.get("worker", 0)) for line in lines]


@contextmanager
def running(folder: Path, *words: str, **how: Any) -> Generator[Running]:
    """A server that has said that it serves; no process of it is left afterwards."""
    log = folder / "log"
    command = [*PROGRAM, "serve", *words, "--data-dir", str(folder), *ANY]
    found: dict[int, psutil.Process] = {}
    with (
        log.open("wb") as errors,
        child(command, stdout=subprocess.PIPE, stderr=errors, **how) as process,
    ):
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said, log.read_text()
        server = Running(process=process, said=said, log=log)
        found |= server.workers
        yield server
    _, alive = psutil.wait_procs(found.values(), timeout=SECONDS)
    assert alive == []


def ended(*words: str) -> Finished:
    """A server that is expected to end by itself."""
    done = subprocess.run(
        [*PROGRAM, "serve", *words], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    return Finished(exit_code=done.returncode, out=done.stdout, error=done.stderr)


@pytest.mark.parametrize("service", ["messaging", "tasks"])
def test_workers_say_once_that_they_serve_and_stop_one_after_another(service: str, tmp_path: Path):
    with running(tmp_path, service, *TWO) as server:
        address = server.said.split()[4].rstrip(",")
        store = f"sqlite:///{tmp_path}/dovetail.db"
        assert server.said == f"{service} is serving at {address}, store {store}, 2 workers\n"
        assert sorted(server.workers) == [1, 2]
        server.process.send_signal(signal.SIGTERM)
        out, _ = server.process.communicate(timeout=SECONDS)
    assert (server.process.returncode, out) == (0, "")
    events = server.events()
    assert events[:2] == [("serving", 1), ("serving", 2)]
    stops = [("stopping", 1), ("stopped", 1), ("stopping", 2), ("stopped", 2)]
    assert [each for each in events if each[0].startswith("stop")] == stops


@only_in_soaks
def test_workers_say_where_they_serve_as_json(tmp_path: Path):
    with running(tmp_path, "tasks", "--json", "--workers", "3") as server:
        said = json.loads(server.said)
        assert sorted(server.workers) == [1, 2, 3]
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(SECONDS) == 0
    assert said["address"].startswith("127.0.0.1:")
    assert (said["service"], said["workers"]) == ("tasks", 3)
    assert said["store"] == f"sqlite:///{tmp_path}/dovetail.db"


def test_one_worker_is_the_server_itself(tmp_path: Path):
    with running(tmp_path, "tasks", "--workers", "1") as server:
        assert psutil.Process(server.process.pid).children() == []
        assert server.said.endswith("dovetail.db\n")
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(SECONDS) == 0
    assert server.events() == [("serving", 0), ("stopping", 0), ("stopped", 0)]
    assert '"worker"' not in server.log.read_text()


@only_in_soaks
@pytest.mark.parametrize(("first", "second"), [("2", "2"), ("2", "1"), ("1", "2")])
def test_a_second_server_gets_no_share_of_a_port(first: str, second: str, tmp_path: Path):
    with running(tmp_path, "tasks", "--json", "--workers", first) as server:
        address = json.loads(server.said)["address"]
        other = ("--workers", second, "--data-dir", str(tmp_path), "--listen", address)
        done = ended("messaging", *other)
        assert (done.exit_code, done.out) == (1, "")
        start = f"dovetail: messaging cannot start: cannot listen on {address}: the address is in"
        assert done.error.startswith(start)
        assert done.error.count("\n") == 1
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(SECONDS) == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--listen", "unix:/tmp/x.sock", "--workers", "2"), "--workers needs an address that"),
        (("--workers", "0"), "0 is not in the range 1<=x<=64"),
        (("--workers", "1.5"), "'1.5' is not a valid integer"),
    ],
)
def test_what_cannot_be_shared_is_a_wrong_command_line(words: tuple[str, ...], says: str):
    done = ended("tasks", *words)
    assert (done.exit_code, done.out) == (2, "")
    assert says in done.error


def test_why_workers_cannot_start_is_said_once(tmp_path: Path):
    done = ended("tasks", *TWO, *ANY, "--store", f"sqlite:///{tmp_path}")
    assert (done.exit_code, done.out, done.error.count("\n")) == (1, "", 1)
    assert done.error.startswith("dovetail: tasks cannot start: ")
    assert "it is a folder" in done.error


@only_in_soaks
def test_a_worker_that_stands_still_is_killed_in_the_end(tmp_path: Path):
    with running(tmp_path, "tasks", *TWO, "--drain-seconds", "0.2") as server:
        server.workers[1].suspend()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(SECONDS) == 0
    assert ("a worker did not stop in time and was killed", 1) in server.events()
    assert server.events()[-1] == ("stopped", 2)


def test_no_worker_outlives_a_supervisor_that_is_killed(tmp_path: Path):
    with running(tmp_path, "tasks", *TWO) as server:
        server.process.kill()
        assert server.process.wait(SECONDS) == -signal.SIGKILL
    stops = {each for each in server.events() if each[0] == "stopped"}
    assert stops == {("stopped", 1), ("stopped", 2)}


@only_in_soaks
def test_workers_end_with_the_parent_of_their_supervisor(tmp_path: Path):
    with running(tmp_path, "tasks", *TWO, "--until-stdin-closes", stdin=subprocess.PIPE) as server:
        assert server.process.stdin is not None
        server.process.stdin.close()
        assert server.process.wait(SECONDS) == 0


@only_in_soaks
def test_when_no_worker_can_be_started_again_the_server_fails_and_says_why(tmp_path: Path):
    with running(tmp_path, "tasks", *TWO) as server:
        (tmp_path / "dovetail.db").rename(tmp_path / "moved.db")
        (tmp_path / "dovetail.db").mkdir()
        for worker in server.workers.values():
            worker.kill()
        assert server.process.wait(SECONDS) == 1
    log = server.log.read_text()
    assert ("a worker ended and is started again", 1) in server.events()
    assert '"why": "signal 9"' in log
    assert "dovetail: tasks cannot start: " in log
    assert "dovetail: tasks ended: all its workers have ended" in log.splitlines()[-1]


def test_up_runs_workers_of_both_services_and_leaves_none(tmp_path: Path):
    ports = ("--messaging-listen", "127.0.0.1:0", "--tasks-listen", "127.0.0.1:0")
    command = [*PROGRAM, "up", "--json", "--data-dir", str(tmp_path), *ports, *TWO]
    with child(command, stdout=subprocess.PIPE) as up:
        assert up.stdout is not None
        said = json.loads(up.stdout.readline())
        every = psutil.Process(up.pid).children(recursive=True)
        shell = Shell(messaging=said["messaging"], tasks=said["tasks"], team="t")
        assert shell.says("task", "list") == "no tasks\n"
        assert [each["health"] for each in shell.json("status")[0]["servers"]] == ["serving"] * 2
        up.terminate()
        assert up.wait(SECONDS) == 0
    assert len(every) == 6
    assert psutil.wait_procs(every, timeout=SECONDS)[1] == []
    for service in ("messaging", "tasks"):
        assert (tmp_path / f"{service}.log").read_text().count('"event": "stopped"') == 2


@contextmanager
def waiting_call(server: Running, folder: Path) -> Generator[tuple[grpc.Future, int]]:
    """A call that waits for the store: the file of the writer's place, which keeps it waiting."""
    place = os.open(folder / "dovetail.db-writer", os.O_RDWR)
    address = json.loads(server.said)["address"]
    with closing_descriptor(place), grpc.insecure_channel(address) as channel:
        stub = messaging_pb2_grpc.MessagingServiceStub(channel)
        agent = messaging_pb2.RegisterAgentRequest(agent_id="bob")
        stub.RegisterAgent(agent, metadata=identity("bob"))
        fcntl.flock(place, fcntl.LOCK_EX)
        message = messaging_pb2.SendMessageRequest(recipient_ids=["bob"], body="hello")
        call = cast(Any, stub.SendMessage).future(message, metadata=identity("bob"))
        # On the same connection, so the call has begun before this returns.
        stub.GetAgent(messaging_pb2.GetAgentRequest(agent_id="bob"), metadata=identity("bob"))
        yield call, place


@contextmanager
def closing_descriptor(number: int) -> Generator[None]:
    try:
        yield
    finally:
        os.close(number)


def until(server: Running, event: str) -> None:
    """Wait until its log has a line."""
    while event not in [name for name, _ in server.events()]:
        assert server.process.poll() is None, server.log.read_text()
        time.sleep(0.01)


def until_taken(pid: int, number: signal.Signals) -> None:
    """Wait until a process has taken a signal that was sent to it."""
    while True:
        status = Path(f"/proc/{pid}/status").read_text()
        (pending,) = (line for line in status.splitlines() if line.startswith("ShdPnd"))
        if not int(pending.split()[1], 16) >> (number - 1) & 1:
            return
        time.sleep(0.01)


@only_in_soaks
def test_a_second_signal_ends_all_workers_at_once(tmp_path: Path):
    with (
        running(tmp_path, "messaging", "--json", *TWO, "--drain-seconds", "600") as server,
        waiting_call(server, tmp_path),
    ):
        server.process.send_signal(signal.SIGTERM)
        until(server, "stopping")
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(SECONDS) == 1
    assert ("stopped", 2) not in server.events()


@only_in_soaks
def test_a_second_signal_cuts_nothing_off_where_a_parent_decides(tmp_path: Path):
    """A service manager that signals all processes lets a worker hear it twice."""
    options = ("--json", "--until-stdin-closes", "--drain-seconds", "60")
    with (
        running(tmp_path, "messaging", *options, stdin=subprocess.PIPE) as server,
        waiting_call(server, tmp_path) as (call, place),
    ):
        server.process.send_signal(signal.SIGTERM)
        until(server, "stopping")
        server.process.send_signal(signal.SIGTERM)
        until_taken(server.process.pid, signal.SIGTERM)
        fcntl.flock(place, fcntl.LOCK_UN)
        assert len(call.result(timeout=SECONDS).receipts) == 1
        assert server.process.wait(SECONDS) == 0
    assert server.events()[-1] == ("stopped", 0)
