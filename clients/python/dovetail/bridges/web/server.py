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
from dovetail.bridges.web.forwarding import KINDS, Forwarding, Upstream, paths
from dovetail.bridges.web.guard import Application, Guard
from dovetail.client.connection import channel_to
from dovetail.client.security import Tls
from dovetail.tasks.v1 import tasks_pb2, tasks_pb2_grpc

REQUESTS_MAX = 1_000
HTTP_PORT = 80
STOP_SECONDS = 2
PROBE_SECONDS = 5.0
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


def in_url(host: str) -> str:
    """A host as URLs have it."""
    return f"[{host}]" if ":" in host else host


def own_hosts(host: str, port: int, others: Collection[str]) -> frozenset[str]:
    """The hosts that a request may name, of a server that listens at `host`."""
    names = {*LOCAL_NAMES, in_url(host)}
    plain = names if port == HTTP_PORT else ()  # Which browsers leave out.
    return frozenset((*(f"{name}:{port}" for name in names), *plain, *others))


def application(config: WebConfig, hosts: Collection[str], upstream: Upstream) -> Application:
    """The page and the RPCs of the servers upstream, guarded."""
    tasks: Any = tasks_pb2_grpc.TaskServiceStub(upstream.channels["tasks"])

    async def page_config() -> dict[str, object]:
        return {
            "credentials": await _asks_for_credentials(tasks),
            "team_id": config.team_id,
            "agent_id": config.agent_id,
            "version": version("dovetail"),
        }

    calls = cast(Application, Forwarding(upstream))
    return Guard(Site(calls, paths(), KINDS, page_config), hosts)


async def _asks_for_credentials(tasks: Any) -> bool | None:
    """Whether the servers ask for a token; None while that cannot be known."""
    request = tasks_pb2.ListTasksRequest(page_size=1)
    try:
        await tasks.ListTasks(request, timeout=PROBE_SECONDS)
    except grpc.aio.AioRpcError as error:
        return True if error.code() is grpc.StatusCode.UNAUTHENTICATED else None
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
    host, port, *_ = listener.getsockname()
    hosts = own_hosts(host, port, config.hosts)
    upstream = Upstream(
        channels={
            "messaging": channel_to(config.messaging, config.tls),
            "tasks": channel_to(config.tasks, config.tls),
        }
    )
    server = _Server(
        uvicorn.Config(
            cast(Any, application(config, hosts, upstream)),
            log_config=None,
            access_log=False,
            lifespan="off",
            interface="asgi3",
            http=config.protocol,
            ws="none",
            server_header=False,
            proxy_headers=False,
            limit_concurrency=REQUESTS_MAX,
            timeout_graceful_shutdown=STOP_SECONDS,
        ),
        upstream,
        lambda: ready(port),
    )
    serving = asyncio.create_task(server.serve([listener]))
    stopping = asyncio.create_task(stopped.wait())
    try:
        await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        server.should_exit = True
        await serving


class _Server(uvicorn.Server):
    """One that leaves the signals of the process alone, and waits for no stream at its end."""

    def __init__(
        self, config: uvicorn.Config, upstream: Upstream, ready: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._upstream = upstream
        self._ready = ready

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Say that requests are served."""
        await super().startup(sockets)
        if self.started:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End calls to the servers first: streams would go on for as long as their browsers."""
        await self._upstream.close()
        await super().shutdown(sockets)
