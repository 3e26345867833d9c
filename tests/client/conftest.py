"""Both services in this process, for the client to call by their addresses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial

import pytest

from dovetail.client import Agent, connect
from dovetail.server.main import ServerConfig, build, running
from dovetail.server.runtime import Running


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that nobody announces."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.005)


Connect = Callable[..., AbstractAsyncContextManager[Agent]]


@pytest.fixture
async def messaging(sqlite_url: str) -> AsyncGenerator[Running]:
    config = ServerConfig(
        service="messaging", store=sqlite_url, listen="127.0.0.1:0", drain_seconds=2.0
    )
    async with running(config, build) as server:
        yield server


@pytest.fixture
async def tasks(sqlite_url: str) -> AsyncGenerator[Running]:
    config = ServerConfig(
        service="tasks", store=sqlite_url, listen="127.0.0.1:0", drain_seconds=2.0
    )
    async with running(config, build) as server:
        yield server


@pytest.fixture
def connected(messaging: Running, tasks: Running) -> Connect:
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
