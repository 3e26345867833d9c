"""One pair of servers of each engine for a whole file of bad requests: they change nothing."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from support.pair import Pair, running_pair
from support.teams import Team


@pytest.fixture(scope="module")
async def shared(shared_url: str) -> AsyncGenerator[Pair]:
    """Both services, with the agents alice and bob and the task "build"."""
    async with running_pair(shared_url) as pair:
        alice, _ = await Team(pair).known("alice", "bob")
        await alice.create(task_id="build")
        yield pair
