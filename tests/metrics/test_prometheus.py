"""A real Prometheus, where one is installed: it scrapes both servers, and finds what we ask."""

from __future__ import annotations

import asyncio
import http.client
import json
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from metrics.promql import ALERTS, alerts, shown
from support.children import child
from support.pair import Pair
from support.processes import free_port
from support.refusals import refusal
from support.teams import Team
from support.waiting import until

PROGRAM = shutil.which("prometheus")
pytestmark = pytest.mark.skipif(not PROGRAM, reason="prometheus is not installed")


@contextmanager
def prometheus(folder: Path, targets: list[str]) -> Generator[str]:
    """Prometheus over these targets, with our rules: where it listens."""
    address = f"127.0.0.1:{free_port()}"
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(ALERTS)],
        "scrape_configs": [{"job_name": "dovetail", "static_configs": [{"targets": targets}]}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    command = [str(PROGRAM), f"--config.file={folder}/prometheus.yml", "--log.level=error"]
    command += [f"--storage.tsdb.path={folder}/data", f"--web.listen-address={address}"]
    with child(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        yield address


def get(address: str, path: str) -> Any:
    """What its API says; None while it is not there."""
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())
    except (OSError, ValueError):
        return None
    finally:
        connection.close()


def plain(expression: str) -> str:
    """An expression of the dashboard without Grafana's variables."""
    return (
        expression.replace("$job", ".+")
        .replace("$instance", ".+")
        .replace("$__rate_interval", "1m")
    )


class Asked:
    """Prometheus, and a team that works so that there is something to see."""

    def __init__(self, address: str, team: Team) -> None:
        self._address = address
        self._alice = team.caller("alice")

    async def ask(self, path: str) -> Any:
        return await asyncio.to_thread(get, self._address, path)

    async def found(self, expression: str) -> Any:
        """What an expression finds now."""
        said = await self.ask(f"/api/v1/query?query={quote(plain(expression))}")
        assert said is None or said["status"] == "success", (expression, said)
        return said and said["data"]["result"]

    async def work(self) -> None:
        """Something of each kind that rates and quantiles are made of."""
        await self._alice.send("bob", body="hello")
        await self._alice.create(title="a task")
        for service in (self._alice.get("t999999"), self._alice.read("m999999")):
            await refusal(service)

    async def missing(self) -> list[str]:
        """The expressions of the dashboard that find nothing yet."""
        await self.work()
        return [each for each in shown() if not await self.found(each)]

    async def rules(self) -> Any:
        """The rules, once each was evaluated."""
        said = await self.ask("/api/v1/rules")
        rules = [rule for group in said["data"]["groups"] for rule in group["rules"]]
        return all(rule["health"] != "unknown" for rule in rules) and rules


async def test_prometheus_finds_what_the_dashboard_shows_and_takes_the_rules(
    measured_sqlite: Pair, tmp_path: Path
) -> None:
    team = Team.new(measured_sqlite)
    _, bob = await team.known("alice", "bob")
    both = [measured_sqlite.messaging_metrics, measured_sqlite.tasks_metrics]
    async with bob.inbox() as inbox:
        await inbox.backlog()
        with prometheus(tmp_path, both) as address:
            asked = Asked(address, team)
            await until(lambda: asked.found('sum(up{job="dovetail"}) == 2'))
            rules = await until(asked.rules)
            assert len(rules) == len(alerts())
            faults = [rule for rule in rules if rule["health"] != "ok"]
            assert faults == []
            await until(lambda: _finds_all(asked))


async def _finds_all(asked: Asked) -> bool:
    return not await asked.missing()
