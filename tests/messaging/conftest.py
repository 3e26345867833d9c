"""Services that the tests of messaging share, one empty team for each test."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest

from support.pair import Pair, running_pair
from support.sharing import new_team, shared_pair, shared_url

__all__ = ["shared_pair", "shared_url"]


@pytest.fixture
def pair(shared_pair: Pair) -> Pair:
    """A new team on both services, on each engine."""
    return replace(shared_pair, team_id=new_team())


@pytest.fixture
async def own_pair(store_url: str) -> AsyncGenerator[Pair]:
    """Both services over an empty store of a test's own, on each engine."""
    async with running_pair(store_url) as pair:
        yield pair
