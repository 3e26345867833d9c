"""A store that goes away under both servers, and comes back: no restart, nothing lost."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import grpc
import pytest

from dovetail.messaging.v1 import messaging_pb2 as messaging_pb
from dovetail.tasks.v1 import tasks_pb2 as tasks_pb
from support.audit import faults
from support.databases import Postgres, running_postgres
from support.healths import NOT_SERVING, SERVING, until_health, until_log
from support.pair import caller
from support.refusals import error_info
from support.servers import Servers, serving


async def test_a_sqlite_file_that_is_moved_away_stops_both_until_it_is_back(
    sqlite_url: str, tmp_path: Path
) -> None:
    file = sqlite_url.removeprefix("sqlite:///")
    async with serving(sqlite_url, tmp_path) as servers:
        await servers.register("bob")
        await _work(servers)
        os.rename(file, f"{file}.elsewhere")
        await _check_outage(servers)
        os.rename(f"{file}.elsewhere", file)
        await _check_recovery(servers)
    assert faults(sqlite_url) == []


async def test_a_postgres_that_stops_stops_both_until_it_is_back(
    own_postgres: Postgres, tmp_path: Path
) -> None:
    async with serving(own_postgres.url, tmp_path) as servers:
        await servers.register("bob")
        await _work(servers)
        own_postgres.stop()
        await _check_outage(servers)
        own_postgres.start()
        await _check_recovery(servers)
        assert faults(own_postgres.url) == []


@pytest.fixture
def own_postgres(tmp_path_factory: pytest.TempPathFactory) -> Generator[Postgres]:
    """A PostgreSQL server that this test may stop."""
    with running_postgres(tmp_path_factory.mktemp("own")) as server:
        yield server


async def _work(servers: Servers) -> None:
    """One write to each service; both tell bob."""
    send = messaging_pb.SendMessageRequest(recipient_ids=["bob"], body="hello")
    sent = await servers.messaging_stub.SendMessage(send, metadata=caller("alice"))
    create = tasks_pb.CreateTaskRequest(title="work", assignee_id="bob")
    created = await servers.tasks_stub.CreateTask(create, metadata=caller("alice"))
    assert created.notices[0].sequence == sent.receipts[0].sequence + 1


async def _check_outage(servers: Servers) -> None:
    """Both say that they cannot serve, to callers, to health checks and in the log."""
    send = messaging_pb.SendMessageRequest(recipient_ids=["bob"], body="lost?")
    create = tasks_pb.CreateTaskRequest(title="lost?", assignee_id="bob")
    stubs: Any = (servers.messaging_stub, servers.tasks_stub)
    for server, call, request in (
        (servers.messaging, stubs[0].SendMessage, send),
        (servers.tasks, stubs[1].CreateTask, create),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call(request, metadata=caller("alice"))
        assert raised.value.code() == grpc.StatusCode.UNAVAILABLE
        assert error_info(raised.value).reason == "STORE_UNAVAILABLE"
        await until_health(server, NOT_SERVING)
        await until_log(server, "the store does not respond")


async def _check_recovery(servers: Servers) -> None:
    """Both serve again, in the processes that they were, and go on where they stopped."""
    for server in servers.both:
        await until_health(server, SERVING)
        await until_log(server, "the store responds again")
    await _work(servers)
    agent = await servers.messaging_stub.GetAgent(
        messaging_pb.GetAgentRequest(), metadata=caller("bob")
    )
    assert agent.agent.last_sequence == 4
