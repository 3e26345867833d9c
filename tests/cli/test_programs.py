"""Programs that a worker runs: what they print and leave, and what their end means."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cli.pool import PYTHON, create, ending, is_gone, task, work
from cli.shell import Shell


def test_a_json_object_is_a_result_for_programs(shell: Shell):
    result = ending(shell, """print('{"words": 3,\\n "of": ["a"]}')""")["result"]
    assert result == {"data": {"words": 3.0, "of": ["a"]}}


@pytest.mark.parametrize(
    "printed", ["[1, 2]", "1e400", "NaN", '{"n": NaN}', r'{"n": "\ud800"}', "{", "a \ufffd b"]
)
def test_anything_else_is_a_result_for_people(shell: Shell, printed: str):
    written = printed.replace("\ufffd", "\0").encode()
    found = ending(shell, f"sys.stdout.buffer.write({written!r})")
    assert found["result"]["summary"] == printed


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
    assert found["state"] == state.lower()
    assert found.get("failed_attempts", 0) == (1 if state == "PENDING" else 0)
    kept = "last_failure" if state == "PENDING" else "failure"
    assert says in found[kept]["message"]
    notice = shell.json("inbox", "--as", "alice")[-1]["message"]
    assert says in notice["body"]


def test_what_it_complains_of_is_passed_on_and_its_end_told(shell: Shell):
    program = "print('begin ' + 'x' * 9_000 + ' end', file=sys.stderr); sys.exit(66)"
    create(shell, "x")
    done = work(shell, *PYTHON, f"import sys; {program}")
    assert "t1: begin" in done.error
    message = task(shell)["failure"]["message"]
    assert message.startswith("exit code 66\nx")
    assert message.endswith("x end")
    assert task(shell)["failure"]["data"] == {"exit_code": 66.0}


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
    assert (found["state"], found["result"]["summary"]) == ("completed", "ok")


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


def test_what_passes_on_the_output_of_a_program_may_finish(shell: Shell):
    create(shell, "x")
    assert work(shell, "bash", "-c", "exec > >(cat); echo said").exit_code == 0
    assert task(shell)["result"]["summary"] == "said"


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
        assert (found["state"], found.get("assignee_id", "")) == ("pending", "")
        assert found.get("failed_attempts", 0) == 0
