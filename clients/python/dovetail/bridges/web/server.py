"""The server of the page: one origin, on this machine only."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, cast

import grpc
import uvicorn

from dovetail.bridges.web.connections import HurriedProtocol
from dovetail.bridges.web.files import Site
from dovetail.bridges.web.forwarding import Forwarding, paths
from dovetail.bridges.web.guard import Application, Guard
from dovetail.client.connection import channel_to
from dovetail.client.security import Tls
from dovetail.tasks.v1 import tasks_pb2, tasks_pb2_grpc

CONNECTIONS_MAX = 1_000
STOP_SECONDS = 2
PROBE_SECONDS = 5.0
POLL_SECONDS = 0.01
LOCAL_NAMES = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True, kw_only=True)
class WebConfig:
    """What to serve: for which servers, at which host names, and the caller that the page proposes.

    `hosts` are names besides those of this machine, as a proxy passes them on: `NAME` or
    `NAME:PORT`.
    """

    messaging: str
    tasks: str
    tls: Tls | None = None
    hosts: Collection[str] = field(default_factory=tuple[str, ...])
    team_id: str = ""
    agent_id: str = ""
    protocol: type[HurriedProtocol] = HurriedProtocol


def own_hosts(port: int, others: Collection[str]) -> frozenset[str]:
    """The hosts that a request may name."""
    return frozenset((*(f"{name}:{port}" for name in LOCAL_NAMES), *others))


def application(config: WebConfig, port: int, channels: dict[str, grpc.aio.Channel]) -> Application:
    """The page and the RPCs of the servers behind `channels`, guarded."""
    tasks: Any = tasks_pb2_grpc.TaskServiceStub(channels["tasks"])

    async def page_config() -> dict[str, object]:
        return {
            "credentials": await _asks_for_credentials(tasks),
            "team_id": config.team_id,
            "agent_id": config.agent_id,
            "version": version("dovetail"),
        }

    site = Site(cast(Application, Forwarding(channels)), paths(), page_config)
    return Guard(site, own_hosts(port, config.hosts))


async def _asks_for_credentials(tasks: Any) -> bool | None:
    """Whether the servers ask for a token; None while that cannot be known."""
    request = tasks_pb2.ListTasksRequest(page_size=1)
    try:
        await tasks.ListTasks(request, timeout=PROBE_SECONDS)
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.UNAUTHENTICATED:
            return True
        unknown = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
        return None if error.code() in unknown else False
    return False


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except BaseException:
        listener.close()
        raise
    return listener


async def serve(
    config: WebConfig, listener: socket.socket, stopped: asyncio.Event, ready: Callable[[int], None]
) -> None:
    """Serve until `stopped` is set. `ready` is called with the port once requests are served."""
    port: int = listener.getsockname()[1]
    channels = {
        "messaging": channel_to(config.messaging, config.tls),
        "tasks": channel_to(config.tasks, config.tls),
    }
    server = _Server(
        uvicorn.Config(
            cast(Any, application(config, port, channels)),
            log_config=None,
            access_log=False,
            lifespan="off",
            interface="asgi3",
            http=config.protocol,
            ws="none",
            server_header=False,
            proxy_headers=False,
            limit_concurrency=CONNECTIONS_MAX,
            timeout_graceful_shutdown=STOP_SECONDS,
        ),
        channels.values(),
    )
    await _run(server, listener, stopped, lambda: ready(port))


class _Server(uvicorn.Server):
    """One that leaves the signals of the process alone, and waits for no stream at its end."""

    def __init__(self, config: uvicorn.Config, channels: Collection[grpc.aio.Channel]) -> None:
        super().__init__(config)
        self._channels = channels

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End calls to the servers first: streams would go on for as long as their browsers."""
        for channel in self._channels:
            await channel.close()
        await super().shutdown(sockets)


async def _run(
    server: uvicorn.Server,
    listener: socket.socket,
    stopped: asyncio.Event,
    ready: Callable[[], None],
) -> None:
    serving = asyncio.create_task(server.serve([listener]))
    stopping = asyncio.create_task(stopped.wait())
    try:
        while not (server.started or serving.done() or stopping.done()):
            await asyncio.wait((serving, stopping), timeout=POLL_SECONDS)
        if server.started:
            ready()
        await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        server.should_exit = True
        await serving
