"""Servers that all tests of a file share, on each engine: each test works in a team of its own."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Generator

import pytest

from support.databases import empty_database
from support.pair import Pair, running_pair


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def shared_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator[str]:
    """A store for all tests of a file, on each engine."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('store')}/store.db"
    else:
        with empty_database(str(request.getfixturevalue("postgres"))) as url:
            yield url


@pytest.fixture(scope="module")
async def shared_pair(shared_url: str) -> AsyncGenerator[Pair]:
    """Both services, for all tests of a file. Leases may be short, so that their end is seen."""
    async with running_pair(shared_url, shortest_lease_seconds=0.5) as pair:
        yield pair


def new_team() -> str:
    """The id of a team that no other test has."""
    return f"team {uuid.uuid4().hex[:12]}"
