"""Holders and servers that stand still, and clocks that jump: who loses a lease, and who does not.

A second lease, which nobody keeps, is the hourglass of these tests: when it is lost, the server has
seen a whole length of time go by.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dovetail.client import Agent, TaskState, claims, connect
from dovetail.client.reconnecting import PAUSE_SECONDS_MAX
from dovetail.messaging.v1 import messaging_pb2 as talk
from dovetail.tasks.v1 import tasks_pb2 as pb
from dovetail.types.v1 import types_pb2
from support import holder
from support.audit import faults, rows
from support.clocks import faked
from support.followers import receive
from support.servers import Servers, serving
from support.waiting import until

LEASE = timedelta(seconds=2)
STANDSTILL_SECONDS = 4.0
"""Longer than a lease, and than the gap after which a server counts anew."""

OPTIONS = ("--shortest-lease-seconds", str(LEASE.total_seconds()))
LOST = "SELECT task_id, create_time FROM task_events WHERE verb = 'EXPIRE_LEASE' ORDER BY number"
SCARCELY_KEPT = "SELECT 1 FROM tasks WHERE lease_count < 3"


async def test_a_holder_that_was_stopped_is_refused_every_verb_and_its_block_ends(
    store_url: str, tmp_path: Path
) -> None:
    count = len(holder.VERBS) + 1
    async with (
        serving(store_url, tmp_path, OPTIONS) as servers,
        _agent(servers, "boss") as boss,
        _agent(servers, "other") as other,
    ):
        await boss.tasks.create_many(pb.CreateTaskRequest(title="work") for _ in range(count))
        with _holding(servers) as process:
            assert await asyncio.to_thread(_line, process) == "holding"
            await _until_kept(store_url)
            process.send_signal(signal.SIGSTOP)
            await receive(servers, "boss", lambda found: _losses(found) == count)
            taken = await other.tasks.claim(max_tasks=count)
            process.send_signal(signal.SIGCONT)
            outcomes = await asyncio.to_thread(_outcomes, process)
        for each in taken:
            await other.tasks.complete(each.task.task_id, lease_token=each.lease_token)
    assert sorted(what for what, _, _ in outcomes) == sorted((*holder.VERBS, holder.BLOCK))
    for _, reason, metadata in outcomes:
        assert reason == "LEASE_LOST"
        assert metadata["state"] == "IN_PROGRESS"
        assert (metadata["last_verb"], metadata["last_actor_id"]) == ("CLAIM", "other")
    assert faults(store_url) == []


@pytest.mark.parametrize("days", [3, -3])
async def test_a_clock_that_is_moved_by_days_and_back_loses_no_lease(
    sqlite_url: str, tmp_path: Path, days: int
) -> None:
    clock = tmp_path / "clock"
    clock.write_text("+0\n")
    async with (
        serving(sqlite_url, tmp_path, OPTIONS, faked(clock)) as servers,
        _agent(servers, "boss") as boss,
        _agent(servers, "holder") as agent,
    ):
        await boss.tasks.create("kept", task_id="kept")
        async with agent.claim(lease_duration=LEASE) as task:
            for offset in (days, 0):
                clock.write_text(f"{offset:+}d\n")
                await _run_an_hourglass(servers, boss)
                difference = await _clock_of(servers) - datetime.now(UTC)
                assert timedelta(days=offset - 1) < difference < timedelta(days=offset + 1)
        assert (await boss.tasks.get(task.task_id)).state == TaskState.COMPLETED
    assert "kept" not in dict(rows(sqlite_url, LOST))
    assert faults(sqlite_url) == []


async def test_a_server_that_stood_still_takes_no_lease_from_those_who_could_not_reach_it(
    store_url: str, tmp_path: Path
) -> None:
    async with (
        serving(store_url, tmp_path, OPTIONS) as servers,
        _agent(servers, "boss") as boss,
        _agent(servers, "holder") as agent,
    ):
        await boss.tasks.create("kept", task_id="kept")
        async with agent.claim(lease_duration=LEASE) as task:
            servers.tasks.signal(signal.SIGSTOP)
            await asyncio.sleep(STANDSTILL_SECONDS)
            servers.tasks.signal(signal.SIGCONT)
            await _run_an_hourglass(servers, boss)
        assert (await boss.tasks.get(task.task_id)).state == TaskState.COMPLETED
    assert "kept" not in dict(rows(store_url, LOST))


async def test_after_both_servers_were_down_holders_have_one_whole_lease_more(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The holder's pauses are at their longest, as late in an outage."""
    monkeypatch.setattr(claims, "pauses", lambda: itertools.repeat(PAUSE_SECONDS_MAX))
    async with (
        serving(store_url, tmp_path, OPTIONS) as servers,
        _agent(servers, "boss") as boss,
        _agent(servers, "holder") as agent,
        _agent(servers, "gone") as gone,
    ):
        await boss.tasks.create("kept", task_id="kept")
        async with agent.claim(lease_duration=LEASE) as task:
            await boss.tasks.create("left", task_id="left")
            await gone.tasks.claim(lease_duration=LEASE)
            for server in servers.both:
                server.kill()
            await asyncio.sleep(STANDSTILL_SECONDS)
            begin = time.time()
            for server in servers.both:
                server.start(wait=False)
            await receive(servers, "boss", lambda found: _losses(found) > 0)
        assert (await boss.tasks.get(task.task_id)).state == TaskState.COMPLETED
    ((task_id, micros),) = rows(store_url, LOST)
    assert task_id == "left"
    assert micros / 1_000_000 - begin >= LEASE.total_seconds()


@asynccontextmanager
async def _agent(servers: Servers, agent_id: str) -> AsyncGenerator[Agent]:
    """Somebody who is known."""
    messaging, tasks = servers.messaging.address, servers.tasks.address
    async with connect(agent_id, messaging=messaging, tasks=tasks) as agent:
        await agent.register()
        yield agent


@contextmanager
def _holding(servers: Servers) -> Generator[subprocess.Popen[str]]:
    """Run a holder in a process of its own; it must end well."""
    command = [sys.executable, holder.__file__, servers.messaging.address, servers.tasks.address]
    command += ["holder", str(LEASE.total_seconds())]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield process
            assert process.wait(30) == 0
        finally:
            process.kill()


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _outcomes(process: subprocess.Popen[str]) -> list[tuple[str, str, dict[str, str]]]:
    """Have a holder use every verb: how each ended, and its block."""
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    return [json.loads(_line(process)) for _ in (*holder.VERBS, holder.BLOCK)]


async def _until_kept(store_url: str) -> None:
    """Wait until every lease has been kept by heartbeats for a while."""
    await until(lambda: not rows(store_url, SCARCELY_KEPT))


def _losses(found: list[talk.Delivery]) -> int:
    """How many notices tell of a lost lease."""
    lost = types_pb2.TASK_VERB_EXPIRE_LEASE
    return sum(delivery.message.notice.verb == lost for delivery in found)


async def _run_an_hourglass(servers: Servers, boss: Agent) -> None:
    """Wait until the server has taken a lease that began now."""
    before = len(rows(servers.store_url, LOST))
    async with _agent(servers, "hourglass") as hourglass:
        task = await boss.tasks.create("an hourglass", max_attempts=1)
        await hourglass.tasks.claim(lease_duration=LEASE)
        await receive(servers, "boss", lambda found: _losses(found) > before)
        assert (await boss.tasks.get(task.task_id)).state == TaskState.FAILED


async def _clock_of(servers: Servers) -> datetime:
    """What time it was, by its own clock, when the server wrote that it took the last lease."""
    lost = len(rows(servers.store_url, LOST))

    def line() -> Any:  # It is written after the commit.
        found = [x for x in _log_of(servers) if x["event"] == "lease lost"]
        return found[-1] if len(found) >= lost else None

    return datetime.fromisoformat((await until(line))["timestamp"])


def _log_of(servers: Servers) -> list[dict[str, Any]]:
    lines = servers.tasks.log.read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line[0] == "{" and line.endswith("\n")]
