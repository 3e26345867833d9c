"""Servers that are killed while many call: what was acknowledged is there, and is whole."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

import pytest

from dovetail.tasks.v1 import tasks_pb2 as pb
from support.audit import faults
from support.ledger import Caller, Ledger
from support.processes import ServerProcess
from support.servers import Servers, insist, serving
from support.soak import full_or_tenth

pytestmark = pytest.mark.soak

CALLERS = 64
KILLS = full_or_tenth(20)
WRITES_BEFORE = 300
WRITES_AFTER = 100


async def test_kill_nine_under_64_callers_loses_nothing_and_leaves_nothing_half_written(
    store_url: str, tmp_path: Path, report_figures: Callable[[str], None]
) -> None:
    ids = [f"agent-{number:02}" for number in range(CALLERS)]
    ledger, moments = Ledger(), random.Random(64)
    async with serving(store_url, tmp_path) as servers:
        await servers.register(*ids)
        callers = [
            Caller(agent_id, [other for other in ids if other != agent_id], servers, ledger)
            for agent_id in ids
        ]
        targets = cycle((servers.both, (servers.messaging,), (servers.tasks,)))
        for doomed in islice(targets, KILLS):
            await _kill_under_load(doomed, moments.uniform(0, 0.02), callers, ledger)
            assert faults(store_url) == []
            assert ledger.losses(store_url) == []
        await _check_on_the_wire(servers, callers, ledger)
    assert ledger.unknown, "no kill met a call"
    report_figures(
        f"{KILLS} kills, {ledger.writes:,} acknowledged writes by {CALLERS} callers,"
        f" {ledger.unknown:,} unknown outcomes repeated, {ledger.repeated:,} answers asked for"
        " twice; lost 0, half written 0, two results 0, gaps 0"
    )


async def _kill_under_load(
    doomed: tuple[ServerProcess, ...], moment: float, callers: list[Caller], ledger: Ledger
) -> None:
    """One round: all call; servers die and come back; all go on, and end what they began.

    They die some moment after an answer: just then, nobody's call would be in the air.
    """
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as working:
        for caller in callers:
            working.create_task(caller.work(stop))
        await ledger.reached(ledger.writes + WRITES_BEFORE)
        await asyncio.sleep(moment)
        for server in doomed:
            server.kill()
        for server in doomed:
            server.start(wait=False)
        for server in doomed:
            await asyncio.to_thread(server.wait_until_serving)
        await ledger.reached(ledger.writes + WRITES_AFTER)
        stop.set()


async def _check_on_the_wire(servers: Servers, callers: list[Caller], ledger: Ledger) -> None:
    """Every inbox reads without a gap; the report counts every task."""
    read = [await caller.read_on() for caller in callers]
    assert all(read)
    created = [task_id for verb, task_id in ledger.changed.values() if verb == "CREATE"]
    response = await insist(servers.tasks_stub.GetReport, pb.GetReportRequest(), "")
    assert response.report.total_tasks == len(set(created)) == len(created)
    assert response.report.completed_tasks == len(created)
