"""Both services as real processes over one store, and callers that outlive them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import grpc

from dovetail.messaging.v1 import messaging_pb2_grpc
from dovetail.tasks.v1 import tasks_pb2_grpc
from support.callers import Caller
from support.pair import Stubs, identity
from support.processes import ServerProcess, process_pair

Response = TypeVar("Response")

# A server that was killed is back within a second: look for it that often.
QUICK_TO_RECONNECT = (
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 250),
    # Channels to one address would else share one connection.
    ("grpc.use_local_subchannel_pool", 1),
)
OUTCOME_UNKNOWN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
PATIENCE_SECONDS = 20.0
PAUSE_SECONDS = 0.02


@dataclass(kw_only=True)
class Servers:
    """Both services as processes, and stubs to call them."""

    messaging: ServerProcess
    tasks: ServerProcess
    messaging_stub: messaging_pb2_grpc.MessagingServiceAsyncStub
    tasks_stub: tasks_pb2_grpc.TaskServiceAsyncStub
    store_url: str

    @property
    def both(self) -> tuple[ServerProcess, ServerProcess]:
        """The two processes."""
        return self.messaging, self.tasks

    def caller(self, agent_id: str = "") -> Caller:
        """One who calls, registered or not."""
        return Caller(Stubs(messaging=self.messaging_stub, tasks=self.tasks_stub), agent_id)

    async def register(self, *agent_ids: str) -> None:
        """Make agents known."""
        for agent_id in agent_ids:
            await self.caller(agent_id).register()


@asynccontextmanager
async def serving(
    store_url: str,
    logs: Path,
    options: tuple[str, ...] = (),
    environment: Mapping[str, str] | None = None,
) -> AsyncGenerator[Servers]:
    """Run both services as processes, and kill them at the end if they still run.

    `options` are told to both; `environment` is more of that of tasks.
    """
    with process_pair(store_url, logs, options, environment) as (messaging, tasks):
        async with channel(messaging) as messaging_channel, channel(tasks) as tasks_channel:
            yield Servers(
                messaging=messaging,
                tasks=tasks,
                messaging_stub=messaging_pb2_grpc.MessagingServiceStub(messaging_channel),
                tasks_stub=tasks_pb2_grpc.TaskServiceStub(tasks_channel),
                store_url=store_url,
            )


def channel(server: ServerProcess, *options: tuple[str, int]) -> grpc.aio.Channel:
    """A connection of its own to a server."""
    return grpc.aio.insecure_channel(server.address, options=(*QUICK_TO_RECONNECT, *options))


async def insist(
    method: Callable[..., Awaitable[Response]],
    request: Any,
    agent_id: str,
    unknown: Callable[[], None] = lambda: None,
) -> Response:
    """Repeat a call until its outcome is known; `unknown` is told of every time that it was not."""
    while True:
        try:
            return await method(
                request, metadata=identity(agent_id), timeout=PATIENCE_SECONDS, wait_for_ready=True
            )
        except grpc.aio.AioRpcError as error:
            if error.code() not in OUTCOME_UNKNOWN:
                raise
            unknown()
            await asyncio.sleep(PAUSE_SECONDS)
