"""The life of a server: start, health, reflection, serve, drain."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
import structlog

from dovetail.server import memory
from dovetail.server.access.audit import Audit
from dovetail.server.access.authentication import TokenAuthenticator, TrustingAuthenticator
from dovetail.server.access.interceptor import CallInterceptor
from dovetail.server.config import ConfigError, ServerConfig
from dovetail.server.edge import reflection
from dovetail.server.edge.grpc_release import is_sound
from dovetail.server.edge.intake import REQUEST_BYTES_MAX, Intake
from dovetail.server.health import SERVICE_NAME, Health
from dovetail.server.meter import UNMETERED
from dovetail.server.shared_port import taken
from dovetail.server.store.store import Store
from dovetail.server.tls import server_credentials

if TYPE_CHECKING:
    from dovetail.server.metrics.exposing import Metrics

RECEIVE_BYTES_MAX = REQUEST_BYTES_MAX + 2 * 1024 * 1024
SEND_BYTES_MAX = 16 * 1024 * 1024
STREAMS_MAX = 10_000
"""Calls on one connection at once; a client's library delays further ones."""

PENDING_MAX = 20_000
"""Calls that may wait to be accepted. Chosen: twice as many as one connection may have."""

# Shares of a stopping server's time: until callers that wait for a stuck store get an error, and
# for the threads of the store to end afterwards. Chosen: a fifth is left for all else.
FINISH_SHARE = 0.6
CLOSE_SHARE = 0.2

OPTIONS = (
    # Above our own limit, so that our own error comes first. See grpc_release.
    ("grpc.max_receive_message_length", RECEIVE_BYTES_MAX),
    ("grpc.max_send_message_length", SEND_BYTES_MAX),
    # Identity only: a compressed request could unpack to a thousand times its size.
    ("grpc.compression_enabled_algorithms_bitset", 1),
    ("grpc.max_concurrent_streams", STREAMS_MAX),
    # A window that grows with the line's speed would hold megabytes of each call before it is read
    # (`edge/intake.py`); a request that is being read gets room for itself anyhow.
    ("grpc.http2.bdp_probe", 0),
    # A burst waits here to be accepted; calls beyond it end as CANCELLED, without our details.
    ("grpc.server.max_pending_requests", PENDING_MAX),
    ("grpc.server.max_pending_requests_hard_limit", PENDING_MAX),
    # Find dead peers; let clients ping idle streams every 10 s without an error.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
)

log = structlog.get_logger("dovetail.server")


async def _nothing_to_await() -> None:
    """The default of `Service.prepare` and `Service.finish`."""


def _nothing_to_do() -> None:
    """The default of `Service.start`."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """A gRPC service, or several that one server offers together.

    `names` are the full names, the main service first. The server calls `prepare` before anybody
    can reach it, `register` to add the handlers, `start` once it accepts calls, `stop` when health
    says NOT_SERVING, while open calls may still finish, and `finish` when all have ended.
    """

    names: tuple[str, ...]
    register: Callable[[grpc.aio.Server], None]
    prepare: Callable[[], Awaitable[None]] = _nothing_to_await
    start: Callable[[], None] = _nothing_to_do
    stop: Callable[[], None]
    finish: Callable[[], Awaitable[None]] = _nothing_to_await


@dataclass(kw_only=True)
class RunningServer:
    """A server that accepts calls at `address`, and shows metrics at another, if it does."""

    server: grpc.aio.Server
    store: Store
    address: str
    metrics_address: str = ""


@asynccontextmanager
async def run_server(
    config: ServerConfig, build: Callable[[Store, ServerConfig, Audit], Service]
) -> AsyncGenerator[RunningServer]:
    """Serve inside the block; drain at its end: calls finish, streams end with their cursor.

    Raises StoreOpenError or ConfigError when it cannot start.
    """
    audit, metrics = Audit(config.audit_log), _metrics(config)
    store = Store(config.store, metrics.meter if metrics else UNMETERED)
    try:
        with audit.open(), metrics.served(store) if metrics else nullcontext("") as metrics_address:
            service = build(store, config, audit)
            await service.prepare()
            authenticator = (
                TokenAuthenticator(store) if config.credentials else TrustingAuthenticator()
            )
            intake = Intake(config.request_seconds)
            interceptor = CallInterceptor(authenticator, audit, intake, store.meter)
            async with (
                authenticator.open(),
                _serving(config, service, store, interceptor) as server,
            ):
                server.metrics_address = metrics_address
                yield server
    finally:
        await store.close(config.drain_seconds * CLOSE_SHARE)


def _metrics(config: ServerConfig) -> Metrics | None:
    """What measures this server, if it is to be measured. Raises ConfigError."""
    if not config.metrics_listen:
        return None
    try:
        from dovetail.server.metrics.exposing import Metrics
    except ImportError as error:
        raise ConfigError(
            f"--metrics-listen needs prometheus_client: pip install 'dovetail[metrics]' ({error})"
        ) from error
    return Metrics(config)


@asynccontextmanager
async def _serving(
    config: ServerConfig, service: Service, store: Store, interceptor: CallInterceptor
) -> AsyncGenerator[RunningServer]:
    # Otherwise two servers on one port would silently share its calls (see `shared_port.py`).
    sharing = ("grpc.so_reuseport", 1 if config.worker else 0)
    server = grpc.aio.server(interceptors=(interceptor,), options=(*OPTIONS, sharing))
    service.register(server)
    health = Health(server, store, (*service.names, *reflection.NAMES))
    reflection.add_reflection((*service.names, SERVICE_NAME), server)
    address = _bind(server, config)
    await server.start()
    service.start()
    tasks = [asyncio.create_task(each) for each in (health.watch(), memory.trim_regularly())]
    try:
        yield RunningServer(server=server, store=store, address=address)
    finally:
        for task in tasks:
            task.cancel()
        # A worker closes its port first: new connections, and its callers, go to the others.
        stopping = asyncio.create_task(server.stop(config.drain_seconds)) if config.worker else None
        # In this order: clients see NOT_SERVING and go elsewhere, waiting calls and streams end by
        # themselves, and only then are new calls refused and the others cut off.
        await health.shut_down()
        service.stop()
        store.finish_within(config.drain_seconds * FINISH_SHARE)
        await interceptor.close(config.drain_seconds / 10)
        await (stopping or server.stop(config.drain_seconds))
        await service.finish()


async def serve(
    config: ServerConfig,
    build: Callable[[Store, ServerConfig, Audit], Service],
    ready: Callable[[str, str, str], None],
) -> None:
    """Serve until SIGTERM or SIGINT; a second signal ends the process at once, if it has no parent.

    `ready` receives the addresses of the server, of the store and of the metrics.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        # A service manager may signal all processes, and then the parent tells its own to stop.
        if stop.is_set() and not config.has_parent:
            os._exit(1)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        # A signal that the parent set to be ignored stays ignored, as in a shell's background.
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, on_signal)
    async with run_server(config, build) as server:
        memory.spare_lasting_objects()
        log.info(
            "serving",
            service=config.service,
            address=server.address,
            store=server.store.address,
            **({"metrics": server.metrics_address} if server.metrics_address else {}),
            loop=type(loop).__module__.partition(".")[0],  # "asyncio" or "uvloop"
        )
        if not is_sound(grpc.__version__):
            log.warning(
                "this grpcio holds requests of any size before it refuses them: take a newer one",
                grpcio=grpc.__version__,
            )
        ready(server.address, server.store.address, server.metrics_address)
        await stop.wait()
        log.info("stopping", service=config.service)
    log.info("stopped", service=config.service)


def _bind(server: grpc.aio.Server, config: ServerConfig) -> str:
    credentials, listen = server_credentials(config), config.listen
    try:
        if credentials:
            port = server.add_secure_port(listen, credentials)
        else:
            port = server.add_insecure_port(listen)
    except RuntimeError as error:
        raise taken(listen) from error
    if listen.startswith("unix:"):
        return listen
    return f"{listen.rpartition(':')[0]}:{port}"
