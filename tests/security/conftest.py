"""Fixtures of the tests of credentials and rights."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from support.guarded import Guarded, guarded_pair


@pytest.fixture
async def guarded(store_url: str, tmp_path: Path) -> AsyncGenerator[Guarded]:
    """Both services over an empty store, asking for credentials, on each engine."""
    async with guarded_pair(store_url, tmp_path) as guarded:
        yield guarded
