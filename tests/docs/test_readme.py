"""What the README shows works as it stands there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from support.processes import ServerProcess

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def shell_commands() -> list[list[str]]:
    lines = [line for block in blocks("console") for line in block.splitlines()]
    return [shlex.split(line) for line in lines if line.startswith("dovetail ")]


@pytest.fixture
def environment(tmp_path: Path) -> Generator[dict[str, str]]:
    store = f"sqlite:///{tmp_path}/store.db"
    with (
        ServerProcess("messaging", store, tmp_path / "messaging.log") as messaging,
        ServerProcess("tasks", store, tmp_path / "tasks.log") as tasks,
    ):
        yield {
            **os.environ,
            "DOVETAIL_MESSAGING": messaging.address,
            "DOVETAIL_TASKS": tasks.address,
        }


def test_the_shell_commands_run_one_after_the_other(environment: dict[str, str]) -> None:
    commands = shell_commands()
    assert len(commands) >= 9
    for command in commands:
        line = [sys.executable, "-m", "dovetail.cli", *command[1:]]
        done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
    assert "1 completed" in done.stdout


def test_the_python_example_runs(environment: dict[str, str], tmp_path: Path) -> None:
    (example,) = blocks("python")
    messaging, tasks = environment["DOVETAIL_MESSAGING"], environment["DOVETAIL_TASKS"]
    for name in ("alice", "bob"):
        example = example.replace(
            f'connect("{name}")', f'connect("{name}", messaging="{messaging}", tasks="{tasks}")'
        )
    script = tmp_path / "example.py"
    script.write_text(example)
    done = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    first, second, report = done.stdout.splitlines()
    assert first == "alice Can you look at the parser?"
    assert second == "alice Task t1 assigned to bob: Fix the parser"
    assert report.startswith("1 0:00:0")


def test_every_make_target_that_the_docs_name_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        named = set(re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(), re.MULTILINE))
        assert named <= targets, page.name
