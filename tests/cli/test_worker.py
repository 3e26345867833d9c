"""`dovetail worker`: any program works on tasks."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from cli.pool import PYTHON, create, ending, task, tasks, work
from cli.shell import PROGRAM, Shell
from dovetail.tasks.v1 import tasks_pb2 as pb
from support.children import child
from support.guarded import guarded_pair
from support.pair import identity

WAITS = "print('begun', file=sys.stderr, flush=True); import time; time.sleep(100)"


@contextmanager
def working(shell: Shell, *words: str) -> Generator[subprocess.Popen[str]]:
    """A worker, whose events are lines of JSON."""
    with child(
        [*PROGRAM, "worker", "--as", "bob", "--json", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=shell.environment,
    ) as worker:
        yield worker


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
    assert (found["state"], found["result"]["summary"]) == ("completed", "3 words")
    assert found.get("assignee_id", "") == "bob"
    assert "Task t1 completed" in shell.says("inbox", "--as", "alice")


def test_a_program_knows_what_it_works_on_and_reaches_the_servers(shell: Shell):
    names = "ID", "TITLE", "ATTEMPT"
    variables = [*(f"DOVETAIL_TASK_{name}" for name in names), "DOVETAIL_AGENT", "DOVETAIL_TEAM"]
    program = f"print(*(os.environ[name] for name in {variables!r}), sep='|')"
    assert ending(shell, program)["result"]["summary"] == f"t1|Do it|1|bob|{shell.team}"
    create(shell, "x")
    words = ("task", "heartbeat", "t2", "--percent", "70", "--note", "nearly")
    assert work(shell, *PROGRAM, *words).exit_code == 0
    assert task(shell, "t2")["progress"] == {"percent": 70, "note": "nearly"}


@pytest.mark.parametrize("told", ["by variables", "by flags", "by a file"])
def test_connect_in_a_program_needs_no_arguments(shell: Shell, tmp_path: Path, told: str):
    create(shell, "x")
    nowhere = {"DOVETAIL_MESSAGING": "127.0.0.1:1", "DOVETAIL_TASKS": "127.0.0.1:1"}
    servers = {"messaging": shell.messaging, "tasks": shell.tasks, "team": shell.team}
    before, options, variables = (), (), shell.environment
    if told == "by flags":
        options = tuple(f"--{name}={value}" for name, value in servers.items())
        variables |= {**nowhere, "DOVETAIL_TEAM": "another"}
    elif told == "by a file":
        file = tmp_path / "config.toml"
        file.write_text("[client]\n" + "".join(f"{k} = {v!r}\n" for k, v in servers.items()))
        before = ("--config", str(file))
        for name in (*nowhere, "DOVETAIL_TEAM"):
            del variables[name]
    program = (
        "from dovetail.client.blocking import connect\n"
        "with connect() as me: print(me.agent_id, [task.title for task in me.tasks.list()])"
    )
    words = ("worker", "--as", "bob", "--once", *options, "--", *PYTHON, program)
    done = subprocess.run([*PROGRAM, *before, *words], env=variables, timeout=60, check=False)
    assert done.returncode == 0
    assert task(shell)["result"]["summary"] == "bob ['x']"


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


def test_a_program_that_takes_too_long_is_ended_and_its_task_tried_again(shell: Shell):
    create(shell, "x")
    done = work(shell, *PYTHON, f"import sys; {WAITS}", options=("--once", "--time-limit", "1s"))
    assert "retried after" in done.out
    why = "it took longer than 1 s, and was ended"
    assert why in done.out
    failure = task(shell)["last_failure"]
    assert failure["message"] == f"{why}\nbegun"
    assert failure["data"] == {"time_limit_seconds": 1.0}
    (notice,) = shell.json("inbox", "--as", "alice")
    assert f"{why}\nbegun" in notice["message"]["body"]


def test_a_program_says_how_far_it_is(shell: Shell):
    create(shell, "x")
    said = "'1 %\\n' * 9_000 + '50 % half of it\\n'"
    write = f"open(os.environ['DOVETAIL_PROGRESS'], 'w').write({said})"
    with working(shell, *PYTHON, f"import os, sys; {write}; {WAITS}") as worker:
        begun(worker)
        watching = [*PROGRAM, "task", "graph", "--watch", "--json"]
        with child(watching, stdout=subprocess.PIPE, env=shell.environment) as graph:
            assert graph.stdout is not None
            assert any(json.loads(line).get("percent") == 50 for line in graph.stdout)
        assert task(shell)["progress"]["note"] == "half of it"


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
    assert (task(shell)["state"], task(shell, "t2")["state"]) == (*("completed", "pending"),)


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
    assert (found["state"], found.get("assignee_id", "")) == ("pending", "")
    assert found.get("failed_attempts", 0) == 0


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
    assert (code, "there is no program 'no-such-program'" in line) == (2, True)
    assert shell.run("worker", "--as", "bob", "--once").exit_code == 2
    code, line = shell.fails("worker", "--once", "--", "true")
    assert (code, "[CALLER_AGENT_REQUIRED]" in line) == (5, True)
    assert "attempt" not in task(shell)


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
            pb.BatchCreateTasksRequest(requests=drafts), metadata=identity("", shell.team)
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
