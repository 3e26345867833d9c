"""One pair of servers for all tests of bridges; each test has a team of its own."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from bridges.hosts import Workplace
from support.pair import Pair, running_pair
from support.teams import new_team_id


@pytest.fixture(scope="module")
async def bridge_pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Pair]:
    """Both services, over SQLite alone: a bridge knows the contract, which hides the engine."""
    store = f"sqlite:///{tmp_path_factory.mktemp('store')}/store.db"
    async with running_pair(store, shortest_lease_seconds=0.3) as pair:
        yield pair


@pytest.fixture
def workplace(bridge_pair: Pair) -> Workplace:
    """A new team."""
    return Workplace(
        messaging=bridge_pair.messaging_address,
        tasks=bridge_pair.tasks_address,
        team_id=new_team_id(),
    )
