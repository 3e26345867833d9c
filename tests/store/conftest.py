"""Fixtures of the store's own tests: a store, and two over one database."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from dovetail.server.store.store import Store
from store.opened import opened


@pytest.fixture
async def store(store_url: str) -> AsyncGenerator[Store]:
    """An empty store, on each engine."""
    async with opened(store_url) as store:
        yield store


@pytest.fixture
async def two_stores(store_url: str) -> AsyncGenerator[tuple[Store, Store]]:
    """Two stores over one empty database, on each engine."""
    async with opened(store_url) as one, opened(store_url) as other:
        yield one, other
