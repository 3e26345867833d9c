"""What the tests of a worker share: tasks made, looked at and waited for."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from dovetail.client import Agent, Task, draft
from support.waiting import until


async def make(agent: Agent, count: int, **fields: Any) -> list[Task]:
    return await agent.tasks.create_many(draft(str(n), **fields) for n in range(count))


async def all_of(agent: Agent) -> list[Task]:
    return [task async for task in agent.tasks.list()]


async def states(agent: Agent) -> Counter[str]:
    return Counter(task.state for task in await all_of(agent))


async def until_all(agent: Agent, condition: Callable[[Task], bool]) -> None:
    async def hold() -> bool:
        return all(map(condition, await all_of(agent)))

    await until(hold)


async def until_in_progress(agent: Agent, count: int) -> None:
    async def are_begun() -> bool:
        return (await states(agent))["in_progress"] >= count

    await until(are_begun)


async def cancelled(working: asyncio.Task[None]) -> None:
    """Cancel a worker, and wait until it has stopped."""
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
