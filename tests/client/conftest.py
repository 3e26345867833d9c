"""Both services in this process, for the client to call by their addresses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from functools import partial

import pytest

from dovetail.client import Agent, connect
from dovetail.server.main import ServerConfig, build, run_server
from dovetail.server.runtime import RunningServer
from dovetail.tasks.v1 import tasks_pb2 as pb


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that nobody announces."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.005)


async def seen(agent: Agent, task_id: str, condition: Callable[[pb.Task], bool]) -> pb.Task:
    """The task, once it is as it should be."""
    while not condition(task := await agent.tasks.get(task_id)):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    return task


def is_in(state: pb.TaskState.ValueType) -> Callable[[pb.Task], bool]:
    return lambda task: task.state == state


SHORT_LEASE = timedelta(seconds=0.6)
"""Of a task that is to be lost, or kept, within the test."""

Connect = Callable[..., AbstractAsyncContextManager[Agent]]


@pytest.fixture
async def messaging(sqlite_url: str) -> AsyncGenerator[RunningServer]:
    config = ServerConfig(
        service="messaging", store=sqlite_url, listen="127.0.0.1:0", drain_seconds=2.0
    )
    async with run_server(config, build) as server:
        yield server


@pytest.fixture
async def tasks(sqlite_url: str) -> AsyncGenerator[RunningServer]:
    config = ServerConfig(
        service="tasks",
        store=sqlite_url,
        listen="127.0.0.1:0",
        drain_seconds=2.0,
        shortest_lease_seconds=0.3,
    )
    async with run_server(config, build) as server:
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
