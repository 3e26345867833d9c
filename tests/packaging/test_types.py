"""Who installed Dovetail sees real types."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections import defaultdict
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
FILES = ("consumer.py", "revealed.py", "wrong.py")


Said = dict[str, list[tuple[int, str]]]
"""What a checker says of each file: line, text."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of somebody's own, with programs that use Dovetail."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copy(CONSUMER, folder)
    (folder / "revealed.py").write_text(REVEALED)
    (folder / "wrong.py").write_text(WRONG)
    (folder / "pyrightconfig.json").write_text(json.dumps({"typeCheckingMode": "strict"}))
    return folder


@pytest.fixture(scope="module")
def pyright(installed: Environment, project: Path) -> Said:
    """What pyright says. It runs once: most of its time goes into the libraries."""
    line = [sys.executable, "-m", "pyright", "--outputjson"]
    line += ["--pythonpath", str(installed.python), *FILES]
    done = subprocess.run(line, cwd=project, capture_output=True, text=True, check=False)
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] == len(FILES)
    said: Said = defaultdict(list)
    for each in report["generalDiagnostics"]:
        at = each["range"]["start"]["line"] + 1
        said[Path(each["file"]).name].append((at, each["message"]))
    return said


@pytest.fixture(scope="module")
def mypy(installed: Environment, project: Path) -> Said:
    """What mypy says."""
    line = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--no-pretty"]
    line += ["--python-executable", str(installed.python), *FILES]
    done = subprocess.run(line, cwd=project, capture_output=True, text=True, check=False)
    assert not done.stderr
    said: Said = defaultdict(list)
    for file, at, text in re.findall(r"^([^:]+):(\d+): (.*)$", done.stdout, re.MULTILINE):
        said[file].append((int(at), text))
    return said


def test_both_are_content_with_a_program_that_is_right(pyright: Said, mypy: Said) -> None:
    assert (pyright["consumer.py"], mypy["consumer.py"]) == ([], [])


def test_both_find_what_is_wrong(pyright: Said, mypy: Said) -> None:
    for said in (pyright, mypy):
        assert sorted({line for line, _ in said["wrong.py"]}) == WRONG_LINES


def test_the_blocking_face_shows_the_client_s_own_signatures(pyright: Said) -> None:
    said = [text for _, text in pyright["revealed.py"]]
    connect, send, ask, receive, messages, inbox, complete = (
        re.findall(r'"\((.*)\) -> (.*)"$', text)[0] for text in said
    )
    assert "messaging: str | Iterable[str] | None = None" in connect[0]
    assert connect[1] == "Agent"
    assert send[0].startswith('to: str | Iterable[str] = (), body: str = "", *, groups:')
    assert send[1] == "SendResult"
    assert ask[0].endswith("**content: **MessageContent")
    assert ask[1] == "ReceivedMessage"
    assert "wait: float = 0" in receive[0]
    assert receive[1] == "list[ReceivedMessage]"
    assert messages[1] == "Iterator[MessageRecord]"
    assert inbox[1] == "Inbox"
    assert complete[0].startswith('task_id: str, summary: str = "", *, data: Mapping[str, Any]')
    assert complete[1] == "Task"
