"""Servers that show metrics."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from support.pair import Pair, running_pair

SETTINGS: dict[str, Any] = {
    "metrics_listen": "127.0.0.1:0",
    "figures_seconds": 0.0,  # Each scrape reads anew, as soon as it may.
    "shortest_lease_seconds": 0.5,
}


@pytest.fixture
async def measured(store_url: str) -> AsyncGenerator[Pair]:
    """Both services over an empty store, on each engine, with metrics."""
    async with running_pair(store_url, **SETTINGS) as pair:
        yield pair


@pytest.fixture
async def measured_sqlite(sqlite_url: str) -> AsyncGenerator[Pair]:
    """The same over an empty SQLite store."""
    async with running_pair(sqlite_url, **SETTINGS) as pair:
        yield pair
