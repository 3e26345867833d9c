"""Both services in this process, for the client to call by their addresses."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from datetime import timedelta
from functools import partial

import pytest

from dovetail.client import Agent, Task, TaskState, connect
from dovetail.server.runtime import RunningServer
from support.pair import running
from support.waiting import until


async def seen(agent: Agent, task_id: str, condition: Callable[[Task], bool]) -> Task:
    """The task, once it is as it should be."""

    async def look() -> Task | None:
        task = await agent.tasks.get(task_id)
        return task if condition(task) else None

    return await until(look)


async def until_known(agent: Agent, *agent_ids: str) -> None:
    """Wait until these are all agents of the team."""

    async def are_known() -> bool:
        return [each.agent_id async for each in agent.agents()] == [*agent_ids]

    await until(are_known)


def is_in(state: TaskState) -> Callable[[Task], bool]:
    return lambda task: task.state == state


SHORT_LEASE = timedelta(seconds=0.6)
"""Of a task that is to be lost, or kept, within the test."""

Connect = Callable[..., Agent]


@pytest.fixture
async def messaging(sqlite_url: str) -> AsyncGenerator[RunningServer]:
    async with running("messaging", sqlite_url) as server:
        yield server


@pytest.fixture
async def tasks(sqlite_url: str) -> AsyncGenerator[RunningServer]:
    async with running("tasks", sqlite_url, shortest_lease_seconds=0.3) as server:
        yield server


@pytest.fixture
def connected(messaging: RunningServer, tasks: RunningServer) -> Connect:
    """`connect` to these servers."""
    return partial(connect, messaging=messaging.address, tasks=tasks.address)


@pytest.fixture
async def alice(connected: Connect) -> AsyncGenerator[Agent]:
    async with connected("alice") as alice:
        await alice.register()
        yield alice


@pytest.fixture
async def bob(connected: Connect) -> AsyncGenerator[Agent]:
    async with connected("bob") as bob:
        await bob.register()
        yield bob
