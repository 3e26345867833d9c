"""Both services in this process, on loopback ports, over one store."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from dovetail.admin.v1 import admin_pb2_grpc
from dovetail.messaging.v1 import messaging_pb2_grpc
from dovetail.server.main import ServerConfig, build, run_server
from dovetail.server.runtime import RunningServer
from dovetail.server.store.store import Store
from dovetail.tasks.v1 import tasks_pb2_grpc

Metadata = tuple[tuple[str, str | bytes], ...]


@dataclass(kw_only=True)
class Stubs:
    """What callers call."""

    messaging: messaging_pb2_grpc.MessagingServiceAsyncStub
    tasks: tasks_pb2_grpc.TaskServiceAsyncStub


@dataclass(kw_only=True)
class Pair(Stubs):
    """Stubs of both services, and the stores behind them.

    `admin` is served by the messaging server, `other_admin` by the task server.
    """

    admin: admin_pb2_grpc.AdminServiceAsyncStub
    other_admin: admin_pb2_grpc.AdminServiceAsyncStub
    messaging_channel: grpc.aio.Channel
    tasks_channel: grpc.aio.Channel
    messaging_address: str
    tasks_address: str
    messaging_metrics: str
    tasks_metrics: str
    messaging_store: Store
    tasks_store: Store
    store_url: str


def running(
    service: str, store_url: str, **settings: Any
) -> AbstractAsyncContextManager[RunningServer]:
    """Run one service in this process. `settings` are more fields of ServerConfig."""
    usual: dict[str, Any] = {"listen": "127.0.0.1:0", "drain_seconds": 2.0}
    config = ServerConfig(service=service, store=store_url, **{**usual, **settings})
    return run_server(config, build)


@asynccontextmanager
async def running_pair(store_url: str, **settings: Any) -> AsyncGenerator[Pair]:
    """Run both services, each with a store of its own over the same database."""
    async with (
        running("messaging", store_url, **settings) as messaging,
        running("tasks", store_url, **settings) as tasks,
        grpc.aio.insecure_channel(messaging.address) as messaging_channel,
        grpc.aio.insecure_channel(tasks.address) as tasks_channel,
    ):
        yield Pair(
            messaging=messaging_pb2_grpc.MessagingServiceStub(messaging_channel),
            tasks=tasks_pb2_grpc.TaskServiceStub(tasks_channel),
            admin=admin_pb2_grpc.AdminServiceStub(messaging_channel),
            other_admin=admin_pb2_grpc.AdminServiceStub(tasks_channel),
            messaging_channel=messaging_channel,
            tasks_channel=tasks_channel,
            messaging_address=messaging.address,
            tasks_address=tasks.address,
            messaging_metrics=messaging.metrics_address,
            tasks_metrics=tasks.metrics_address,
            messaging_store=messaging.store,
            tasks_store=tasks.store,
            store_url=store_url,
        )


def identity(agent_id: str = "", team_id: str = "") -> Metadata:
    """The metadata that tells a server who calls, where it asks for no credentials."""
    pairs = (("dovetail-agent-bin", agent_id), ("dovetail-team-bin", team_id))
    return tuple((key, value.encode()) for key, value in pairs if value)
