"""The pages on Node and Go run as they stand, then with tokens, through kills of the servers."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import pytest

from docs.pages import DOCS, LANGUAGES, examples
from dovetail.client.blocking import connect, connect_admin
from support.processes import ServerProcess, process_pair
from support.stubs import run_commands, skip_without

pytestmark = pytest.mark.timeout(900)  # the first time, Go compiles gRPC

PROGRAMS = {
    "typescript": ("node.md", ["node", "node/dist/worker.js"], ["node", "node/dist/ask.js"]),
    "go": ("go.md", ["go/bin/worker"], ["go/bin/ask"]),
}
"""Of each language: its page, and how its two programs are started in the folder of a clone."""
TEAM = "red"


@pytest.mark.parametrize("language", PROGRAMS)
def test_the_programs_of_a_page_run_as_they_stand_and_with_tokens_through_a_kill(
    language: str, tmp_path: Path
) -> None:
    skip_without(LANGUAGES[f"console {language}"])
    page, worker, ask = PROGRAMS[language]
    blocks = examples(DOCS / "how-to" / page, f"console {language}")
    with process_pair(f"sqlite:///{tmp_path}/open.db", tmp_path) as servers:
        commands = "".join(block.text for block in blocks)
        printed = run_commands(commands, tmp_path, _addresses(servers))
    assert blocks[-1].output, "the page shows what its programs print"
    assert blocks[-1].prints(printed), printed

    admin = tmp_path / "admin.token"
    options = ("--credentials", "--admin-token-file", str(admin))
    with process_pair(f"sqlite:///{tmp_path}/guarded.db", tmp_path, options) as servers:
        tokens = _tokens(servers, admin, ("alice", "worker", "dan"))
        with ExitStack() as stack:

            def start(words: list[str], agent: str) -> IO[str]:
                environment = {**_addresses(servers), "DOVETAIL_TOKEN_FILE": str(tokens[agent])}
                return stack.enter_context(_started(words, tmp_path, environment))

            _ask_through_a_kill(servers, tokens["dan"], lambda: start(ask, "alice"), start, worker)


def _ask_through_a_kill(
    servers: tuple[ServerProcess, ServerProcess],
    token: Path,
    start_ask: Callable[[], IO[str]],
    start: Callable[[list[str], str], IO[str]],
    worker: list[str],
) -> None:
    """Its open stream gets, each once, what is sent before and after the servers are killed."""
    printed = start_ask()
    task = printed.readline().removeprefix("asked for ").strip()
    messaging, tasks = servers
    with connect(messaging=messaging.address, tasks=tasks.address, token_file=token) as dan:
        for body in ("before the kill", "after it"):
            dan.send("alice", body)
            assert printed.readline() == f"dan: {body}\n"
            for server in servers:
                server.kill()
                server.start(wait=False)
    start(worker, "worker")
    assert printed.readline() == f"worker: I have begun {task}\n"
    assert printed.readline() == f"worker: Task {task} completed: Count the words\n"
    assert printed.readline() == "6 words\n"
    assert printed.readline() == 'AGENT_NOT_FOUND, nearest: ["worker"]\n'
    assert printed.read() == ""


def _addresses(servers: tuple[ServerProcess, ServerProcess]) -> dict[str, str]:
    messaging, tasks = servers
    return {"DOVETAIL_MESSAGING": messaging.address, "DOVETAIL_TASKS": tasks.address}


def _tokens(
    servers: tuple[ServerProcess, ServerProcess], admin: Path, agents: tuple[str, ...]
) -> dict[str, Path]:
    """A file with a token for each agent of a new team."""
    files = {agent: admin.with_name(f"{agent}.token") for agent in agents}
    messaging, tasks = servers
    with connect_admin(
        messaging=messaging.address, tasks=tasks.address, token_file=admin
    ) as session:
        session.create_team(TEAM)
        for agent, file in files.items():
            _, token = session.create_token(team_id=TEAM, agent_id=agent)
            file.write_text(token + "\n")
            file.chmod(0o600)
    return files


@contextmanager
def _started(words: list[str], folder: Path, environment: dict[str, str]) -> Generator[IO[str]]:
    """A program that runs until the end of the block, or its own; what it prints."""
    program = subprocess.Popen(
        words,
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    try:
        yield program.stdout
    finally:
        program.kill()
        program.communicate(timeout=60)
