"""Who installed Dovetail sees real types."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.environments import Environment

CONSUMER = Path(__file__).parent / "consumer.py"
WRONG = """
from dovetail.client import Agent
from dovetail.client.blocking import Agent as BlockingAgent

async def wrong(agent: Agent, waiting: BlockingAgent) -> None:
    (await agent.send("bob", "x")).no_such_field
    await agent.ask("bob", "x", subject=1)
    waiting.tasks.complete(1)
"""
REVEALED = """
from typing import reveal_type
from dovetail.client.blocking import Agent, connect

def reveal(agent: Agent) -> None:
    reveal_type(connect)
    reveal_type(agent.send)
    reveal_type(agent.ask)
    reveal_type(agent.receive)
    reveal_type(agent.messages)
    reveal_type(agent.inbox)
    reveal_type(agent.tasks.complete)
"""
WRONG_LINES = [6, 7, 8]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder of somebody's own, with programs that use Dovetail."""
    shutil.copy(CONSUMER, tmp_path)
    (tmp_path / "revealed.py").write_text(REVEALED)
    (tmp_path / "wrong.py").write_text(WRONG)
    (tmp_path / "pyrightconfig.json").write_text(json.dumps({"typeCheckingMode": "strict"}))
    return tmp_path


def pyright(file: str, environment: Environment, project: Path) -> list[tuple[int, str]]:
    """What pyright says: line, text."""
    line = [sys.executable, "-m", "pyright", "--outputjson"]
    line += ["--pythonpath", str(environment.python), file]
    done = subprocess.run(line, cwd=project, capture_output=True, text=True, check=False)
    said = json.loads(done.stdout)
    assert said["summary"]["filesAnalyzed"] == 1
    return [
        (each["range"]["start"]["line"] + 1, each["message"]) for each in said["generalDiagnostics"]
    ]


def mypy(file: str, environment: Environment, project: Path) -> list[tuple[int, str]]:
    """What mypy says: line, text."""
    line = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--no-pretty"]
    line += ["--python-executable", str(environment.python), file]
    done = subprocess.run(line, cwd=project, capture_output=True, text=True, check=False)
    assert not done.stderr
    said = re.findall(r"^[^:]+:(\d+): (.*)$", done.stdout, re.MULTILINE)
    return [(int(number), text) for number, text in said]


def test_pyright_is_content_with_a_program_that_is_right(
    installed: Environment, project: Path
) -> None:
    assert pyright("consumer.py", installed, project) == []


def test_mypy_is_content_with_a_program_that_is_right(
    installed: Environment, project: Path
) -> None:
    assert mypy("consumer.py", installed, project) == []


def test_both_find_what_is_wrong(installed: Environment, project: Path) -> None:
    by_pyright = {line for line, _ in pyright("wrong.py", installed, project)}
    by_mypy = {line for line, _ in mypy("wrong.py", installed, project)}
    assert sorted(by_pyright) == sorted(by_mypy) == WRONG_LINES


def test_the_blocking_face_shows_the_client_s_own_signatures(
    installed: Environment, project: Path
) -> None:
    said = [text for _, text in pyright("revealed.py", installed, project)]
    connect, send, ask, receive, messages, inbox, complete = (
        re.findall(r'"\((.*)\) -> (.*)"$', text)[0] for text in said
    )
    assert "messaging: str | Iterable[str] | None = None" in connect[0]
    assert connect[1] == "Agent"
    assert send[0].startswith('to: str | Iterable[str], body: str = "", *, subject: str = ""')
    assert send[1] == "SendResult"
    assert ask[0].endswith("**content: **MessageContent")
    assert ask[1] == "ReceivedMessage"
    assert "wait: float = 0" in receive[0]
    assert receive[1] == "list[ReceivedMessage]"
    assert messages[1] == "Iterator[MessageRecord]"
    assert inbox[1] == "Inbox"
    assert complete[0].startswith('task_id: str, summary: str = "", *, data: Mapping[str, Any]')
    assert complete[1] == "Task"
