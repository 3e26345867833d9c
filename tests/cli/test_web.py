"""`dovetail web`, and the page beside the servers of `dovetail up`."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from cli.shell import PROGRAM, Shell
from support.children import SECONDS, child

ANY = "127.0.0.1:0"
PORTS = ("--messaging-listen", ANY, "--tasks-listen", ANY)


@contextmanager
def up(folder: Path, *words: str) -> Generator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A running `dovetail up --json`, and what it said."""
    command = [*PROGRAM, "up", "--json", "--data-dir", str(folder), *PORTS, *words]
    with child(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate(timeout=SECONDS)
        yield process, json.loads(line)


def fetched(url: str) -> str:
    """What stands at an address of this machine."""
    with urllib.request.urlopen(url, timeout=SECONDS) as answer:
        return answer.read().decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["term", "kill"])
def test_up_serves_the_page_for_as_long_as_it_runs(tmp_path: Path, number: int) -> None:
    with up(tmp_path, "--web-listen", ANY) as (process, facts):
        assert "<title>Dovetail" in fetched(facts["web"])
        assert json.loads(fetched(f"{facts['web']}config.json"))["credentials"] is False
        children = psutil.Process(process.pid).children()
        (page,) = [each for each in children if "web" in each.cmdline()]
        process.send_signal(number)
        process.wait(timeout=SECONDS)
        _, alive = psutil.wait_procs([page], timeout=SECONDS)
        assert alive == []


def test_up_without_a_page_says_why_and_serves(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        command = [*PROGRAM, "up", "--data-dir", str(tmp_path), *PORTS, "--web-listen", address]
        with child(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            said = ""
            while "Ctrl-C" not in said:
                line = process.stdout.readline()
                assert line, process.communicate(timeout=SECONDS)
                said += line
            assert process.poll() is None
    assert "no page: --web-listen" in said
    assert "Address already in use" in said


def test_the_page_alone_serves_until_a_signal(shell: Shell) -> None:
    command = [*PROGRAM, "web", "--json", "--web-listen", ANY, "--as", "joe"]
    with child(command, stdout=subprocess.PIPE, env=shell.environment) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["web"]
        config = json.loads(fetched(f"{url}config.json"))
        assert (config["agent_id"], config["team_id"]) == ("joe", shell.team)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=SECONDS) == 0


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1", "must be HOST:PORT"),
        ("127.0.0.1:99999", "must be HOST:PORT"),
        ("0.0.0.0:0", "the page has no TLS"),
        ("192.0.2.1:0", "the page has no TLS"),
    ],
)
def test_an_address_that_does_not_do_is_refused(shell: Shell, address: str, said: str) -> None:
    done = shell.run("web", "--web-listen", address)
    assert done.exit_code != 0
    assert said in done.error


def test_without_its_libraries_the_command_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "uvicorn.py").write_text("raise ImportError('not here')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "dovetail.cli", "web", "--web-listen", ANY],
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 2
    assert "pip install 'dovetail[web]'" in done.stderr
