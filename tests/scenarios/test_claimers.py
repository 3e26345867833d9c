"""Claimers and servers that are killed while there is much to do: each task is done once."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration

from dovetail.tasks.v1 import tasks_pb2 as pb
from dovetail.types.v1 import types_pb2
from support.audit import faults, rows
from support.claimers import ClaimerProcess, Told, claiming, disagreements
from support.followers import follow
from support.servers import Servers, insist, serving
from support.soak import SOAK, full_or_tenth

pytestmark = [pytest.mark.soak, pytest.mark.timeout(0 if SOAK else 300)]

PROCESSES = 4
CLAIMERS = 32
TASKS = full_or_tenth(20_000) // (1 if SOAK else 4)
AT_ONCE = min(1_000, TASKS // 4)
KILLS = full_or_tenth(60)
LEASE_SECONDS = 2.0
CREATOR = "creator"
LOSSES = "SELECT verb, COUNT(*) FROM task_events GROUP BY verb"


async def test_of_32_claimers_one_completes_each_task_whoever_is_killed(
    store_url: str, tmp_path: Path, report_figures: Callable[[str], None]
) -> None:
    options = ("--shortest-lease-seconds", str(LEASE_SECONDS))
    async with serving(store_url, tmp_path, options) as servers:
        agent_ids = [f"claimer-{number:02}" for number in range(CLAIMERS)]
        await servers.register(CREATOR, *agent_ids)
        claimers = [
            ClaimerProcess(
                address=servers.tasks.address,
                lease_seconds=LEASE_SECONDS,
                agent_ids=agent_ids[number::PROCESSES],
                log=tmp_path / f"claimers-{number}.log",
            )
            for number in range(PROCESSES)
        ]
        with claiming(claimers):
            async with asyncio.TaskGroup() as going_on:
                minding = going_on.create_task(_mind(claimers))
                going_on.create_task(_create(servers, agent_ids))
                await going_on.create_task(_kill_until_done(servers, claimers))
                minding.cancel()
        told = Told.read(claimer.log for claimer in claimers)
        assert disagreements(store_url, told) == []
        assert faults(store_url) == []
        await _check_the_report(servers)
    verbs = Counter(dict(rows(store_url, LOSSES)))
    assert verbs["COMPLETE"] == TASKS
    assert verbs["EXPIRE_LEASE"], "no kill met a holder"
    report_figures(
        f"{TASKS:,} tasks, {CLAIMERS} claimers in {PROCESSES} processes, {KILLS} kills:"
        f" {verbs['CLAIM']:,} claims, {verbs['EXPIRE_LEASE']:,} leases lost,"
        f" {verbs['RELEASE'] + verbs['FAIL']:,} given back, {len(told.refused):,} refused;"
        " completed twice 0, two winners 0, stuck 0"
    )


async def _create(servers: Servers, agent_ids: list[str]) -> None:
    """Make tasks while others work: most for anybody, some for one of the claimers."""
    chance = random.Random(32)
    for first in range(0, TASKS, AT_ONCE):
        request = pb.BatchCreateTasksRequest(request_id=f"batch-{first}")
        for number in range(first, first + AT_ONCE):
            request.requests.add(
                task_id=f"task-{number}",
                title="work",
                priority=chance.randrange(3),
                assignee_id=chance.choice(agent_ids) if chance.random() < 0.2 else "",
                max_attempts=1_000,
                initial_backoff=Duration(nanos=1_000_000),
            )
        await insist(servers.tasks_stub.BatchCreateTasks, request, CREATOR)


async def _mind(claimers: list[ClaimerProcess]) -> None:
    """Fail as soon as a claimer ends that nobody killed: without it, all would wait for ever."""
    while True:
        for claimer in claimers:
            assert claimer.process is not None
            assert claimer.process.poll() in (None, -signal.SIGKILL)
        await asyncio.sleep(0.1)


async def _kill_until_done(servers: Servers, claimers: list[ClaimerProcess]) -> None:
    """Whenever some more tasks are done, kill a claimer or the server at some moment."""
    chance, done, kills = random.Random(9), 0, 0
    async for _ in _completions(servers):
        done += 1
        if kills < KILLS and done > (kills + 1) * TASKS // (KILLS + 2):
            kills += 1
            await asyncio.sleep(chance.uniform(0, 0.05))
            await _kill(servers, claimers, chance)
        if done == TASKS:
            return


async def _completions(servers: Servers) -> AsyncGenerator[str]:
    """The tasks that are done, as their creator is told: of each, once."""
    seen: set[str] = set()
    responses = follow(servers, CREATOR)
    async for response in responses:
        for delivery in response.deliveries:
            notice = delivery.message.notice
            if notice.verb == types_pb2.TASK_VERB_COMPLETE:
                assert notice.task_id not in seen
                seen.add(notice.task_id)
                yield notice.task_id


async def _kill(servers: Servers, claimers: list[ClaimerProcess], chance: random.Random) -> None:
    """kill -9, and start it again."""
    doomed = chance.choice([servers.tasks, *claimers])
    await asyncio.to_thread(doomed.kill)
    if isinstance(doomed, ClaimerProcess):
        doomed.start()
    else:
        doomed.start(wait=False)
        await asyncio.to_thread(doomed.wait_until_serving)


async def _check_the_report(servers: Servers) -> None:
    """The report counts every task once, as completed by somebody."""
    report = (await insist(servers.tasks_stub.GetReport, pb.GetReportRequest(), "")).report
    assert (report.total_tasks, report.completed_tasks) == (TASKS, TASKS)
    assert report.task_time.sample_count == report.queue_time.sample_count == TASKS
    assert sum(row.completed_tasks for row in report.assignees) == TASKS
    assert all(row.assignee_id for row in report.assignees)
