"""Metrics of real processes: on which ports, with how many workers, and what is refused."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from cli.shell import PROGRAM
from dovetail.server.main import ConfigError, ServerConfig
from support.children import SECONDS, child
from support.healths import until_log
from support.processes import ServerProcess, free_port
from support.scraping import fetch, scrape

HOST = "127.0.0.1"


def neighbours(count: int) -> int:
    """A free port after which others are free."""
    while True:
        first = free_port()
        try:
            found = [first, *(_reserve(first + each) for each in range(1, count))]
        except OSError:
            continue
        return found[0]


def _reserve(port: int) -> int:
    with socket.socket() as probe:
        probe.bind((HOST, port))
    return port


async def test_up_gives_each_process_of_both_servers_a_port(tmp_path: Path) -> None:
    first = neighbours(4)
    words = ("--messaging-listen", f"{HOST}:0", "--tasks-listen", f"{HOST}:0", "--json")
    command = [*PROGRAM, "up", "--data-dir", str(tmp_path), *words, "--workers", "2"]
    command += ["--metrics-listen", f"{HOST}:{first}"]
    with child(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        said = ""
        while not said.endswith("}\n"):
            line = await asyncio.to_thread(process.stdout.readline)
            assert line
            said += line
        facts = json.loads(said)
        assert facts["messaging_metrics"] == f"{HOST}:{first}"
        assert facts["tasks_metrics"] == f"{HOST}:{first + 1}"
        found = [await scrape(f"{HOST}:{first + number}") for number in range(4)]
        are_tasks = [bool(each.of("dovetail_tasks")) for each in found]
        assert are_tasks == [False, True, False, True]
        have_deliveries = [bool(each.of("dovetail_deliveries_total")) for each in found]
        assert have_deliveries == [True, False, True, False]


async def test_each_worker_has_every_second_port(sqlite_url: str, tmp_path: Path) -> None:
    first = neighbours(3)
    server = ServerProcess("messaging", sqlite_url, tmp_path / "log")
    server.options = ("--workers", "2", "--metrics-listen", f"{HOST}:{first}")
    with server:
        await until_log(server, ", 2 workers")
        for port in (first, first + 2):
            said = await scrape(f"{HOST}:{port}")
            assert said.value("dovetail_store_up") == 1.0
        with pytest.raises(ConnectionRefusedError):
            fetch(f"{HOST}:{first + 1}")


async def test_without_the_option_nothing_listens(sqlite_url: str, tmp_path: Path) -> None:
    with ServerProcess("messaging", sqlite_url, tmp_path / "log"):
        assert '"metrics"' not in (tmp_path / "log").read_text()


def test_without_the_library_the_option_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['prometheus_client'] = None;"
        "from dovetail.cli.entry import main; main()"
    )
    words = ["serve", "tasks", "--data-dir", str(tmp_path), "--listen", f"{HOST}:0"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words, "--metrics-listen", f"{HOST}:0"],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode != 0
    assert "pip install 'dovetail[metrics]'" in done.stderr


@pytest.mark.parametrize("listen", ["9464", ":9464", "127.0.0.1:x", "127.0.0.1:99999", "unix:/m"])
def test_what_is_no_address_is_refused(listen: str) -> None:
    with pytest.raises(ConfigError, match=r"--metrics-listen .* is not HOST:PORT"):
        ServerConfig(service="tasks", store="s", listen=f"{HOST}:0", metrics_listen=listen)


def test_an_address_beyond_loopback_needs_insecure() -> None:
    def config(*, insecure: bool) -> ServerConfig:
        return ServerConfig(
            service="tasks",
            store="s",
            listen=f"{HOST}:0",
            metrics_listen="0.0.0.0:9464",
            insecure=insecure,
        )

    with pytest.raises(ConfigError, match="Say --insecure"):
        config(insecure=False)
    assert config(insecure=True).metrics_listen
