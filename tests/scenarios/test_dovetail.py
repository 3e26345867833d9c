"""Where both services meet: a change of work in one process is told of in the other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest

from dovetail.messaging.v1 import messaging_pb2 as messaging_pb
from support.figures import percentiles
from support.followers import follow
from support.servers import Servers, serving
from support.soak import full_or_tenth

pytestmark = pytest.mark.soak

TASKS = [f"task-{number}" for number in range(full_or_tenth(200))]


async def test_an_assignment_reaches_the_assignees_open_stream_in_the_other_process(
    store_url: str, tmp_path: Path, report_figures: Callable[[str], None]
) -> None:
    seconds: list[float] = []
    async with serving(store_url, tmp_path) as servers:
        await servers.register("bob")
        notices = _notices(servers, "bob")
        for task_id in TASKS:
            arrival = asyncio.create_task(_arrival(notices))
            await _create(servers, task_id)
            begin = time.perf_counter()
            await _assign(servers, task_id)
            told_of, end = await arrival
            assert told_of == task_id
            seconds.append(end - begin)
        await notices.aclose()
    report_figures(
        f"from the call that assigns to the notice on the stream: {percentiles(seconds)}"
    )


async def test_what_was_assigned_while_messaging_was_down_is_there_when_it_is_back(
    store_url: str, tmp_path: Path
) -> None:
    async with serving(store_url, tmp_path) as servers:
        await servers.register("bob")
        servers.messaging.kill()
        for task_id in TASKS:
            await _create(servers, task_id)
            await _assign(servers, task_id)
        servers.messaging.start(wait=False)
        notices = _notices(servers, "bob")
        assert [(await anext(notices)).task_id for _ in TASKS] == TASKS
        await notices.aclose()


async def _notices(servers: Servers, agent_id: str) -> AsyncGenerator[messaging_pb.Notice]:
    """The notices that come on an agent's stream, one by one."""
    responses = follow(servers, agent_id)
    try:
        async for response in responses:
            for delivery in response.deliveries:
                yield delivery.message.notice
    finally:
        await responses.aclose()


async def _arrival(notices: AsyncGenerator[messaging_pb.Notice]) -> tuple[str, float]:
    """The task of which the next notice tells, and when that came."""
    notice = await anext(notices)
    return notice.task_id, time.perf_counter()


async def _create(servers: Servers, task_id: str) -> None:
    await servers.caller("alice").create(task_id=task_id)


async def _assign(servers: Servers, task_id: str) -> None:
    await servers.caller("alice").do("assign", task_id, assignee_id="bob")
