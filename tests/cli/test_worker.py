"""`dovetail worker`: any program works on tasks."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from google.protobuf import duration_pb2

from cli.shell import PROGRAM, Finished, Shell
from dovetail.cli.output import fields
from dovetail.tasks.v1 import tasks_pb2 as pb
from dovetail.tasks.v1 import tasks_pb2_grpc
from support.guarded import guarded_pair
from support.pair import caller

PYTHON = (sys.executable, "-c")
WAITS = "print('begun', file=sys.stderr, flush=True); import time; time.sleep(100)"


def work(shell: Shell, *words: str, options: tuple[str, ...] = ("--once",)) -> Finished:
    """Run a worker to its end."""
    return shell.run("worker", "--as", "bob", *options, "--", *words)


@contextmanager
def tasks(shell: Shell) -> Generator[tasks_pb2_grpc.TaskServiceStub]:
    """The task service itself: a command for each look would take most of the time."""
    with grpc.insecure_channel(shell.tasks) as channel:
        yield tasks_pb2_grpc.TaskServiceStub(channel)


def create(shell: Shell, *titles: str, **more: Any) -> None:
    """Have alice make tasks, t1 and so on, whose second tries are far away."""
    backoff = duration_pb2.Duration(seconds=86_400)
    drafts = [pb.CreateTaskRequest(title=title, backoff=backoff, **more) for title in titles]
    with tasks(shell) as stub:
        request = pb.BatchCreateTasksRequest(tasks=drafts)
        stub.BatchCreateTasks(request, metadata=caller("alice", shell.team))


def task(shell: Shell, task_id: str = "t1") -> dict[str, Any]:
    with tasks(shell) as stub:
        request = pb.GetTaskRequest(task_id=task_id)
        return fields(stub.GetTask(request, metadata=caller("", shell.team)).task)


def ending(shell: Shell, program: str) -> dict[str, Any]:
    """A task after one attempt of a Python program at it."""
    create(shell, "Do it")
    assert work(shell, *PYTHON, f"import os, sys; {program}").exit_code == 0
    return task(shell)


@contextmanager
def working(shell: Shell, *words: str) -> Generator[subprocess.Popen[str]]:
    """A worker, whose events are lines of JSON."""
    with subprocess.Popen(
        [*PROGRAM, "worker", "--as", "bob", "--json", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=shell.environment,
    ) as worker:
        try:
            yield worker
        finally:
            if worker.poll() is None:
                worker.kill()


def is_gone(pid: int) -> bool:
    """Whether a process has ended; nobody may have asked for its exit code."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def begun(worker: subprocess.Popen[str]) -> psutil.Process:
    """The program that the worker runs, once it has begun its work."""
    assert worker.stderr is not None
    assert "begun" in worker.stderr.readline()
    (program,) = psutil.Process(worker.pid).children()
    return program


def events(worker: subprocess.Popen[str]) -> list[str]:
    """What a worker has told by the time it has ended well."""
    out, errors = worker.communicate(timeout=60)
    assert worker.returncode == 0, errors
    return [json.loads(line)["event"] for line in out.splitlines()]


def test_a_program_reads_the_task_and_what_it_prints_is_the_result(shell: Shell):
    made = ("--as", "alice", "Count the words", "--input", '{"text": "a b c"}')
    shell.says("task", "create", *made)
    program = "import json, sys; print(len(json.load(sys.stdin)['input']['text'].split()), 'words')"
    done = work(shell, *PYTHON, program)
    assert (done.exit_code, done.error) == (0, "")
    for part in ("▶ t1  claimed  Count the words", "✔ t1  completed after", "3 words"):
        assert part in done.out
    found = task(shell)
    assert (found["state"], found["result"]["summary"]) == ("TASK_STATE_COMPLETED", "3 words")
    assert found["assignee_id"] == "bob"
    assert "Task t1 completed" in shell.says("inbox", "--as", "alice")


def test_a_json_object_is_a_result_for_programs(shell: Shell):
    result = ending(shell, """print('{"words": 3,\\n "of": ["a"]}')""")["result"]
    assert result == {"summary": "", "data": {"words": 3.0, "of": ["a"]}}


@pytest.mark.parametrize(
    "printed", ["[1, 2]", "1e400", "NaN", '{"n": NaN}', r'{"n": "\ud800"}', "{", "a \ufffd b"]
)
def test_anything_else_is_a_result_for_people(shell: Shell, printed: str):
    written = printed.replace("\ufffd", "\0").encode()
    found = ending(shell, f"sys.stdout.buffer.write({written!r})")
    assert found["result"]["summary"] == printed


def test_a_program_knows_what_it_works_on_and_reaches_the_servers(shell: Shell):
    names = "ID", "TITLE", "ATTEMPT"
    variables = [*(f"DOVETAIL_TASK_{name}" for name in names), "DOVETAIL_AGENT", "DOVETAIL_TEAM"]
    program = f"print(*(os.environ[name] for name in {variables!r}), sep='|')"
    assert ending(shell, program)["result"]["summary"] == f"t1|Do it|1|bob|{shell.team}"
    create(shell, "x")
    words = ("task", "heartbeat", "t2", "--percent", "70", "--note", "nearly")
    assert work(shell, *PROGRAM, *words).exit_code == 0
    assert task(shell, "t2")["progress"] == {"percent": 70, "note": "nearly"}


async def test_a_program_has_the_token_of_its_worker(tmp_path: Path):
    async with guarded_pair(f"sqlite:///{tmp_path}/store.db", tmp_path) as guarded:
        made = pb.CreateTaskRequest(title="x")
        await guarded.pair.tasks.CreateTask(made, metadata=await guarded.agent("alice"))
        file = tmp_path / "token"
        file.touch(mode=0o600)
        file.write_text((await guarded.made("agent", "red", "bob")).token)
        servers = ("--messaging", guarded.pair.messaging_address)
        servers += ("--tasks", guarded.pair.tasks_address)
        words = ("worker", "--once", *servers, "--token-file", str(file), "--", *PROGRAM)
        worker = await asyncio.create_subprocess_exec(
            *PROGRAM, *words, "task", "heartbeat", "t1", "--percent", "70"
        )
        assert await worker.wait() == 0
        answer = await guarded.pair.tasks.GetTask(
            pb.GetTaskRequest(task_id="t1"), metadata=await guarded.agent("alice")
        )
        assert (answer.task.assignee_id, answer.task.progress.percent) == ("bob", 70)


@pytest.mark.parametrize(
    ("program", "state", "says"),
    [
        ("print('Why', file=sys.stderr); sys.exit(1)", "PENDING", "exit code 1\nWhy"),
        ("sys.exit(75)", "PENDING", "exit code 75"),
        ("sys.exit(127)", "PENDING", "exit code 127"),
        ("sys.exit(64)", "FAILED", "exit code 64"),
        ("sys.exit('Bad input') if 0 else os._exit(65)", "FAILED", "exit code 65"),
        ("sys.exit(78)", "FAILED", "exit code 78"),
        ("os.kill(os.getpid(), 9)", "PENDING", "killed by SIGKILL"),
        ("print('x' * 70_000)", "FAILED", "it printed too much"),
        ("print('{\"x\": \"' + 'x' * 300_000 + '\"}')", "FAILED", "it printed too much"),
        ("print('x' * 9_000_000)", "FAILED", "it printed more than 1,048,576 bytes"),
        ("print('{\"a\":' * 40 + '1' + '}' * 40)", "FAILED", "levels deep"),
        ("print('{\"a\": ' + '9' * 400 + '}')", "FAILED", "a number in its result is too large"),
        ("print('{\"a\": ' + '9' * 5_000 + '}')", "FAILED", "a number in its result is too large"),
        ("print('{\"a\": [-1e400]}')", "FAILED", "a number in its result is too large"),
    ],
)
def test_how_a_program_ends_is_how_the_attempt_ends(
    shell: Shell, program: str, state: str, says: str
):
    create(shell, "x")
    done = work(shell, *PYTHON, f"import os, sys; {program}")
    assert (done.exit_code, "Traceback" in done.error) == (0, False)
    assert ("retried after" if state == "PENDING" else "failed after") in done.out
    assert " ".join(says.split()) in done.out
    found = task(shell)
    assert found["state"] == f"TASK_STATE_{state}"
    assert found["failed_attempts"] == (1 if state == "PENDING" else 0)
    if state == "FAILED":
        assert says in found["failure"]["message"]


def test_what_it_complains_of_is_passed_on_and_its_end_told(shell: Shell):
    program = "print('begin ' + 'x' * 9_000 + ' end', file=sys.stderr); sys.exit(66)"
    create(shell, "x")
    done = work(shell, *PYTHON, f"import sys; {program}")
    assert "t1: begin" in done.error
    message = task(shell)["failure"]["message"]
    assert message.startswith("exit code 66\nx")
    assert message.endswith("x end")
    assert task(shell)["failure"]["data"] == {"exit_code": 66.0}


def test_a_program_that_takes_too_long_is_ended_and_its_task_tried_again(shell: Shell):
    create(shell, "x")
    done = work(shell, *PYTHON, f"import sys; {WAITS}", options=("--once", "--time-limit", "1s"))
    assert "retried after" in done.out
    assert "it took longer than 1 s" in done.out


def test_a_program_says_how_far_it_is(shell: Shell):
    create(shell, "x")
    said = "'1 %\\n' * 9_000 + '50 % half of it\\n'"
    write = f"open(os.environ['DOVETAIL_PROGRESS'], 'w').write({said})"
    with working(shell, *PYTHON, f"import os, sys; {write}; {WAITS}") as worker:
        begun(worker)
        watching = [*PROGRAM, "task", "graph", "--watch", "--json"]
        with subprocess.Popen(
            watching, stdout=subprocess.PIPE, text=True, env=shell.environment
        ) as graph:
            assert graph.stdout is not None
            assert any(json.loads(line)["percent"] == 50 for line in graph.stdout)
            graph.kill()
        assert task(shell)["progress"]["note"] == "half of it"


@pytest.mark.parametrize(
    "instead",
    [
        "pass",
        "os.mkdir(path)",
        "os.mkfifo(path); os.close(os.open(path, os.O_WRONLY))",  # Waits until somebody reads.
        "os.rmdir(os.path.dirname(path))",
    ],
)
def test_what_a_program_does_to_the_file_is_no_failure(shell: Shell, instead: str):
    found = ending(
        shell, f"path = os.environ['DOVETAIL_PROGRESS']; os.remove(path); {instead}; print('ok')"
    )
    assert (found["state"], found["result"]["summary"]) == ("TASK_STATE_COMPLETED", "ok")


def test_the_lease_outlives_its_length_and_a_lost_one_ends_the_program(shell: Shell):
    create(shell, "x")
    with working(shell, "--lease", "1s", "--once", *PYTHON, f"import sys; {WAITS}") as worker:
        program = begun(worker)
        first = task(shell)["lease"]["expire_time"]
        while task(shell)["lease"]["expire_time"] <= first:
            assert program.is_running()
        shell.says("task", "cancel", "--as", "alice", "t1")
        assert events(worker) == ["claimed", "lost"]
        assert psutil.wait_procs([program], timeout=60)[1] == []


def test_what_a_program_left_running_ends_with_it(shell: Shell, tmp_path: Path):
    file = tmp_path / "pid"
    nested = f"{sys.executable} -c 'import time; time.sleep(100)' & echo $! > {file}; exit 0"
    create(shell, "x")
    assert work(shell, "bash", "-c", f"exec 3>&1; ({nested}) > /dev/null 2>&1 3>&-").exit_code == 0
    assert is_gone(int(file.read_text()))


def test_the_end_of_a_program_is_not_that_of_who_holds_its_output(shell: Shell, tmp_path: Path):
    file = tmp_path / "pid"
    create(shell, "x")
    program = f"sleep 100 & echo $! > {file}; echo done"
    done = work(shell, "sh", "-c", program, options=("--once", "--time-limit", "30s"))
    assert "✔ t1  completed" in done.out
    assert task(shell)["result"]["summary"] == "done"
    assert is_gone(int(file.read_text()))


def test_who_leaves_the_group_of_a_program_holds_up_nothing(shell: Shell):
    nested = f"[{sys.executable!r}, '-c', 'import time; time.sleep(100)']"
    program = f"subprocess.Popen({nested}, start_new_session=True).pid"
    found = ending(shell, f"import subprocess; print({program}, flush=True); os._exit(0)")
    pid = int(found["result"]["summary"])
    assert not is_gone(pid)
    os.kill(pid, signal.SIGKILL)


def test_what_passes_on_the_output_of_a_program_may_finish(shell: Shell):
    create(shell, "x")
    assert work(shell, "bash", "-c", "exec > >(cat); echo said").exit_code == 0
    assert task(shell)["result"]["summary"] == "said"


def test_a_stopped_worker_lets_programs_finish(shell: Shell, tmp_path: Path):
    create(shell, "x", "x")
    go = tmp_path / "go"
    os.mkfifo(go)
    program = f"print('begun', file=sys.stderr, flush=True); open({str(go)!r}).read(); print('ok')"
    with working(shell, "--grace", "60s", *PYTHON, f"import sys; {program}") as worker:
        begun(worker)
        worker.send_signal(signal.SIGTERM)
        go.write_text("")
        assert events(worker) == ["claimed", "completed"]
    assert (task(shell)["state"], task(shell, "t2")["state"]) == (
        *("TASK_STATE_COMPLETED", "TASK_STATE_PENDING"),
    )


@pytest.mark.parametrize(("grace", "signals"), [("1s", 1), ("1h", 2)])
def test_what_is_not_finished_in_time_or_at_a_second_signal_is_given_back(
    shell: Shell, grace: str, signals: int
):
    create(shell, "x")
    with working(shell, "--grace", grace, *PYTHON, f"import sys; {WAITS}") as worker:
        program = begun(worker)
        for number in (signal.SIGTERM, signal.SIGINT)[:signals]:
            worker.send_signal(number)
        assert events(worker) == ["claimed", "released"]
        assert psutil.wait_procs([program], timeout=60)[1] == []
    found = task(shell)
    assert (found["state"], found["assignee_id"]) == ("TASK_STATE_PENDING", "")
    assert found["failed_attempts"] == 0


def test_a_worker_ends_after_so_many_tasks_or_when_there_are_no_more(shell: Shell):
    create(shell, "x", "x", "x", labels={"odd": "0"})
    create(shell, "x", "x", labels={"odd": "1"})
    some = work(shell, "true", options=("--max-tasks", "2", "--concurrency", "4"))
    assert some.out.splitlines()[-1] == "2 completed"
    odd = work(shell, "true", options=("--until-idle", "1s", "--label", "odd=1"))
    rest = work(shell, "true", options=("--until-idle", "1s", "--concurrency", "4"))
    assert [each.out.splitlines()[-1] for each in (odd, rest)] == ["2 completed", "1 completed"]
    assert "nothing was done" in work(shell, "true", options=("--until-idle", "1s")).out


def test_a_command_that_cannot_be_is_refused_before_anything_is_claimed(shell: Shell):
    create(shell, "x")
    code, line = shell.fails("worker", "--as", "bob", "--once", "--", "no-such-program")
    assert (code, "no program 'no-such-program' can be found" in line) == (2, True)
    assert shell.run("worker", "--as", "bob", "--once").exit_code == 2
    code, line = shell.fails("worker", "--once", "--", "true")
    assert (code, "[CALLER_AGENT_REQUIRED]" in line) == (5, True)
    assert task(shell)["attempt"] == 0


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("#!/no/such/interpreter", "No such file or directory"),
        ("#!{not_executable}", "Permission denied"),
        ("\0", "Exec format error"),
    ],
)
def test_a_program_that_cannot_be_started_costs_no_attempt(
    shell: Shell, tmp_path: Path, content: str, why: str
):
    create(shell, "x", "x")
    (tmp_path / "data").touch(mode=0o644)
    program = tmp_path / "program"
    program.write_text(content.format(not_executable=tmp_path / "data"))
    program.chmod(0o755)
    done = work(shell, str(program), options=("--concurrency", "2"))
    assert (done.exit_code, "Traceback" in done.error) == (1, False)
    assert f"dovetail: '{program}' cannot be started: {why}" in done.error
    assert "t1  released after" in done.out
    for found in (task(shell), task(shell, "t2")):
        assert (found["state"], found["assignee_id"]) == ("TASK_STATE_PENDING", "")
        assert found["failed_attempts"] == 0


def test_workers_solve_a_graph_and_one_that_is_killed_costs_time_only(shell: Shell):
    layers, width = 6, 8
    drafts = [
        pb.CreateTaskRequest(
            task_id=f"{layer}-{number}",
            title="x",
            depends_on=[f"{layer - 1}-{each}" for each in range(width)] if layer else [],
        )
        for layer in range(layers)
        for number in range(width)
    ]
    with tasks(shell) as stub:
        stub.BatchCreateTasks(
            pb.BatchCreateTasksRequest(tasks=drafts), metadata=caller("", shell.team)
        )
    words = [*PROGRAM, "worker", "--lease", "1s", "--concurrency", "2", "--json"]
    program = (*PYTHON, "import os, time; time.sleep(0.05); print(os.environ['DOVETAIL_AGENT'])")
    workers = [
        subprocess.Popen(
            [*words, "--as", f"worker-{number}", "--", *program],
            stdout=subprocess.PIPE,
            text=True,
            env=shell.environment,
        )
        for number in range(3)
    ]
    try:
        unlucky, *others = workers
        assert unlucky.stdout is not None
        assert json.loads(unlucky.stdout.readline())["event"] == "claimed"
        unlucky.kill()
        watched = shell.says("task", "graph", "--watch")
        assert watched.splitlines()[-1].endswith("completed")
        for worker in others:
            worker.terminate()
            told = Counter(
                json.loads(line)["event"] for line in worker.communicate(timeout=60)[0].splitlines()
            )
            assert (worker.returncode, set(told)) == (0, {"claimed", "completed"})
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
            assert worker.stdout is not None
            worker.stdout.close()
    report = shell.json("report", "--state", "completed")[0]
    assert int(report["total_tasks"]) == layers * width
