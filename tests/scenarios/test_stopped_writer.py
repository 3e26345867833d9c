"""A store that stands still: a stopped process at the turnstile, or a PostgreSQL that is frozen.

Callers are answered, health and doctor tell of it, servers can be ended, and all goes on.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from dovetail.messaging.v1 import messaging_pb2 as messaging_pb
from dovetail.server.main import Level, check_store
from dovetail.tasks.v1 import tasks_pb2 as tasks_pb
from support.audit import faults
from support.databases import Postgres
from support.healths import NOT_SERVING, SERVING, until_health, until_log
from support.pair import identity
from support.refusals import error_info
from support.servers import Servers, serving

DRAIN = ("--drain-seconds", "3")
HOLD = """
import sys, time
from pathlib import Path
from dovetail.server.store.engines.turnstile import Turnstile
with Turnstile(Path(sys.argv[1])).pass_through():
    print("holding", flush=True)
    time.sleep(600)
"""


@contextmanager
def stopped_writer(store: str) -> Generator[subprocess.Popen[str]]:
    """A process that is stopped while it holds the writer's place."""
    command = [sys.executable, "-c", HOLD, store]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "holding\n"
        process.send_signal(signal.SIGSTOP)
        yield process
    finally:
        process.kill()
        process.communicate()


def send(servers: Servers) -> Any:
    request = messaging_pb.SendMessageRequest(recipient_ids=["bob"], body="hello")
    return servers.messaging_stub.SendMessage(request, metadata=identity("alice"))


def create(servers: Servers) -> Any:
    request = tasks_pb.CreateTaskRequest(title="work")
    return servers.tasks_stub.CreateTask(request, metadata=identity("alice"))


async def told(call: Any) -> tuple[str, str]:
    """The reason and the text of a call's refusal."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    return error_info(raised.value).reason, str(raised.value.details())


async def test_a_stopped_writer_is_named_and_stops_nobodys_end(
    sqlite_url: str, tmp_path: Path
) -> None:
    async with serving(sqlite_url, tmp_path, options=DRAIN) as servers:
        await servers.register("bob")
        with stopped_writer(sqlite_url.removeprefix("sqlite:///")) as writer:
            await asyncio.gather(*(until_health(each, NOT_SERVING) for each in servers.both))
            sending = send(servers)
            findings = await asyncio.to_thread(check_store, sqlite_url)
            failed = [each for each in findings if each.level is Level.FAIL]
            assert [each.check for each in failed] == ["writer"]
            assert f"process {writer.pid} (stopped)" in failed[0].text
            assert f"kill -CONT {writer.pid}" in failed[0].advice
            reason, text = await told(sending)
            assert (reason, str(writer.pid) in text) == ("STORE_BUSY", True), text
            creating = create(servers)
            # On the same connection, so that the server has the call before this returns.
            await servers.tasks_stub.ListTasks(tasks_pb.ListTasksRequest())
            servers.tasks.signal(signal.SIGTERM)
            # Its patience or the drain, whatever ends first.
            assert (await told(creating))[0] in ("STORE_BUSY", "SERVER_STOPPING")
            assert await asyncio.to_thread(servers.tasks.wait) == 0
        await until_health(servers.messaging, SERVING)
        assert (await send(servers)).receipts[0].sequence == 1
    assert faults(sqlite_url) == []


async def test_a_frozen_postgres_stops_nobodys_end(own_postgres: Postgres, tmp_path: Path) -> None:
    async with serving(own_postgres.url, tmp_path, options=DRAIN) as servers:
        await servers.register("bob")
        assert (await send(servers)).receipts[0].sequence == 1
        await create(servers)
        with own_postgres.frozen():
            reading = servers.tasks_stub.GetTask(
                tasks_pb.GetTaskRequest(task_id="t1"), metadata=identity("bob")
            )
            creating = create(servers)
            await asyncio.gather(*(until_health(each, NOT_SERVING) for each in servers.both))
            servers.tasks.signal(signal.SIGTERM)
            # A thread that has no connection yet is told at once that there is none to be had.
            for call in (creating, reading):
                assert (await told(call))[0] in ("SERVER_STOPPING", "STORE_UNAVAILABLE")
            assert await asyncio.to_thread(servers.tasks.wait) == 0
        await until_health(servers.messaging, SERVING)
        await until_log(servers.messaging, "the store responds again")
        assert (await send(servers)).receipts[0].sequence == 2
        assert faults(own_postgres.url) == []
