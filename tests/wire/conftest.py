"""One pair of servers of each engine for a whole file of bad requests: they change nothing."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import psycopg
import pytest

from dovetail.tasks.v1 import tasks_pb2
from messaging.talk import known
from support.pair import Pair, caller, running_pair


def module_store(request: pytest.FixtureRequest, factory: pytest.TempPathFactory) -> str:
    """A store of this module's own."""
    if request.param == "sqlite":
        return f"sqlite:///{factory.mktemp('wire')}/store.db"
    postgres = str(request.getfixturevalue("postgres"))
    name = factory.mktemp("wire").name
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
        connection.execute(f"CREATE DATABASE {name}".encode())
    return postgres.replace("/postgres?", f"/{name}?", 1)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
async def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Pair]:
    """Both services, with the agents alice and bob and the task "build"."""
    async with running_pair(module_store(request, tmp_path_factory)) as pair:
        await known(pair, "alice", "bob")
        await pair.tasks.CreateTask(
            tasks_pb2.CreateTaskRequest(task_id="build", title="Build"), metadata=caller("alice")
        )
        yield pair
