"""The page of a large and busy team: how soon it is there, and what it takes of the browser."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from itertools import count
from typing import Any

import psutil
import pytest
from playwright.async_api import Browser, expect

from dovetail.client import Agent, connect
from dovetail.tasks.v1 import tasks_pb2 as t
from support.pair import Pair
from support.soak import SOAK
from support.web import Web
from web.visits import Visit, visiting

pytestmark = [pytest.mark.soak, pytest.mark.timeout(0 if SOAK else 120)]

AGENTS, TASKS = (1_000, 10_000) if SOAK else (100, 500)
SECONDS = 600.0 if SOAK else 6.0
EVENTS_A_SECOND = 10_000 / 60
BURST = 25
"""Events that come in one commit, as of agents that work in batches."""

BATCH = 500
WARM_SHARE = 0.2
"""Of the time, after which memory is compared with that at the end."""

GROWTH = 1.3 if SOAK else 3.0
ROWS_MAX = 400
"""Elements of rows that may exist at once, whatever the team has."""


async def test_the_page_of_a_busy_team_stays_small(
    browser: Browser, web: Web, team_pair: Pair, report_figures: Callable[[str], None]
) -> None:
    where: dict[str, Any] = {
        "team_id": "busy",
        "messaging": team_pair.messaging_address,
        "tasks": team_pair.tasks_address,
    }
    async with (
        connect("planner", **where) as planner,
        visiting(browser, f"http://127.0.0.1:{web.port}/") as visit,
    ):
        await _fill(planner, where)
        await visit.enter("olga", "busy")
        await expect(visit.part("agent-row").first).to_be_visible()
        paint = await _first_paint(visit)
        events = asyncio.create_task(_events(planner, SECONDS))
        await asyncio.sleep(SECONDS * WARM_SHARE)
        before, spent, began = await _heap(visit), _browser_seconds(), _now()
        made = await events
        share = (_browser_seconds() - spent) / (_now() - began)
        after = await _heap(visit)
        rows = await visit.page.evaluate(
            "document.querySelectorAll('[data-test=agent-row]').length"
        )
        await visit.go("#/tasks")
        await expect(visit.part("task-row").first).to_be_visible()
        listed = await visit.part("task-row").count()
    report_figures(
        f"{AGENTS:,} agents, {TASKS:,} tasks: first paint after {paint:.0f} ms; {made:,} events in"
        f" {SECONDS:.0f} s took {share:.0%} of a core of the browser; its heap {before:.1f} to"
        f" {after:.1f} MB; {rows} rows of agents, {listed} of tasks exist"
    )
    assert after <= GROWTH * before
    assert 0 < rows <= ROWS_MAX
    assert 0 < listed <= ROWS_MAX


async def _fill(planner: Agent, where: dict[str, Any]) -> None:
    """Agents, and tasks that wait."""
    await planner.register()
    gate = asyncio.Semaphore(20)

    async def register(number: int) -> None:
        async with gate, connect(f"agent-{number}", **where) as agent:
            await agent.register()

    await asyncio.gather(*map(register, range(AGENTS)))
    for first in range(0, TASKS, BATCH):
        await planner.tasks.create_many(
            t.CreateTaskRequest(title=f"Task {number}", task_id=f"task-{number}")
            for number in range(first, min(TASKS, first + BATCH))
        )


async def _events(planner: Agent, seconds: float) -> int:
    """Change tasks at a steady pace; how many events that were."""
    clock = asyncio.get_running_loop().time
    end, made = clock() + seconds, 0
    for number in count():
        if clock() >= end:
            return made
        await planner.tasks.create_many(
            t.CreateTaskRequest(title=f"More {number}", assignee_id=f"agent-{each % AGENTS}")
            for each in range(number * BURST, (number + 1) * BURST)
        )
        made += BURST
        await asyncio.sleep(max(0.0, end - seconds + made / EVENTS_A_SECOND - clock()))
    raise AssertionError("count never ends")


def _now() -> float:
    return asyncio.get_running_loop().time()


def _browser_seconds() -> float:
    """The processor time of all processes of the browser: they are children of this one."""
    own = psutil.Process(os.getpid())
    found = [each for each in own.children(recursive=True) if "chrom" in each.name()]
    return sum(sum(each.cpu_times()[:2]) for each in found)


async def _heap(visit: Visit) -> float:
    """Megabytes of the page's objects, once what is garbage is gone."""
    session = await visit.page.context.new_cdp_session(visit.page)
    await session.send("HeapProfiler.collectGarbage")
    usage = await session.send("Runtime.getHeapUsage")
    await session.detach()
    return usage["usedSize"] / 1e6


async def _first_paint(visit: Visit) -> float:
    """Milliseconds from the request of the page to what it shows first."""
    return await visit.page.evaluate(
        "performance.getEntriesByName('first-contentful-paint')[0].startTime"
    )
