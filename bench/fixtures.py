"""The servers that are measured: each a process of its own, all up for the whole run."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

from bench.commits import Code
from bench.cpu import Processes
from bench.echo import EchoStub
from bench.peers.running import Peers, running_peers
from bench.programs import running
from bench.stores import OpenStore, empty_store
from dovetail.admin.v1 import admin_pb2_grpc
from dovetail.client.security import channel_credentials
from dovetail.messaging.v1 import messaging_pb2_grpc
from dovetail.tasks.v1 import tasks_pb2_grpc
from support.certificates import Authority
from support.guarded import bearer
from support.pair import Metadata
from support.processes import ServerProcess, free_port

START_SECONDS = 20


@dataclass(frozen=True, kw_only=True)
class Echo:
    """The echo server."""

    stub: EchoStub
    processes: Processes


@dataclass(frozen=True, kw_only=True)
class Engine:
    """Both services of one checkout, over one store."""

    kind: str
    code: Code
    store: OpenStore
    messaging: messaging_pb2_grpc.MessagingServiceAsyncStub
    tasks: tasks_pb2_grpc.TaskServiceAsyncStub
    tasks_address: str
    processes: Processes


@dataclass(frozen=True, kw_only=True)
class Guarded:
    """Messaging over TLS, which asks for credentials. `admin` is the first admin's metadata."""

    messaging: messaging_pb2_grpc.MessagingServiceAsyncStub
    administration: admin_pb2_grpc.AdminServiceAsyncStub
    admin: Metadata
    processes: Processes


@dataclass(frozen=True, kw_only=True)
class Fixtures:
    """All that runs. `engines` are by name of target; those of another commit have its mark."""

    folder: Path
    echo: Echo
    engines: dict[str, Engine]
    guarded: dict[str, Guarded]
    peers: Peers


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a run needs."""

    measures: Sequence[str]
    engines: Sequence[str]
    codes: Sequence[Code]
    peers: bool


@asynccontextmanager
async def servers(folder: Path, wanted: Wanted) -> AsyncGenerator[Fixtures]:
    """Run all that these measures need, over empty stores in `folder`."""
    async with AsyncExitStack() as stack:
        echo = await stack.enter_async_context(running_echo())
        engines: dict[str, Engine] = {}
        guarded: dict[str, Guarded] = {}
        for kind in wanted.engines:
            for code in wanted.codes:
                name = kind + code.mark
                starting = _engine(kind, code, folder / name)
                engines[name] = await stack.enter_async_context(starting)
                if "guard" in wanted.measures:
                    starting = _guarded(kind, code, folder / f"{name}-guarded")
                    guarded[name] = await stack.enter_async_context(starting)
        peers = Peers()
        if wanted.peers:
            starting = running_peers(folder / "peers", wanted.engines)
            peers = await stack.enter_async_context(starting)
        yield Fixtures(folder=folder, echo=echo, engines=engines, guarded=guarded, peers=peers)


@asynccontextmanager
async def _engine(kind: str, code: Code, folder: Path) -> AsyncGenerator[Engine]:
    with (
        empty_store(kind, folder) as store,
        started("messaging", store, code, folder / "messaging.log") as messaging,
        started("tasks", store, code, folder / "tasks.log") as tasks,
    ):
        async with (
            grpc.aio.insecure_channel(messaging.address) as messaging_channel,
            grpc.aio.insecure_channel(tasks.address) as tasks_channel,
        ):
            yield Engine(
                kind=kind,
                code=code,
                store=store,
                messaging=messaging_pb2_grpc.MessagingServiceStub(messaging_channel),
                tasks=tasks_pb2_grpc.TaskServiceStub(tasks_channel),
                tasks_address=tasks.address,
                processes=Processes(
                    server=(pid_of(messaging), pid_of(tasks)), database=store.database
                ),
            )


@asynccontextmanager
async def _guarded(kind: str, code: Code, folder: Path) -> AsyncGenerator[Guarded]:
    """Run messaging over a store of its own, with credentials and TLS."""
    with empty_store(kind, folder) as store:
        authority, token = Authority(folder=folder / "authority"), folder / "admin.token"
        pair, trusting = authority.server(), channel_credentials(authority.tls)
        options = ("--credentials", "--admin-token-file", str(token))
        options += ("--tls-cert", str(pair.cert), "--tls-key", str(pair.key))
        server = ServerProcess(
            "messaging",
            store.url,
            folder / "log",
            options=options,
            credentials=trusting,
            python=code.python,
            is_cold=True,
        )
        with server:
            async with grpc.aio.secure_channel(server.address, trusting) as channel:
                yield Guarded(
                    messaging=messaging_pb2_grpc.MessagingServiceStub(channel),
                    administration=admin_pb2_grpc.AdminServiceStub(channel),
                    admin=bearer(token.read_text().strip()),
                    processes=Processes(server=(pid_of(server),), database=store.database),
                )


@asynccontextmanager
async def running_echo() -> AsyncGenerator[Echo]:
    """Run the echo server, and call it."""
    address = f"127.0.0.1:{free_port()}"
    with running((sys.executable, "-m", "bench.echo", address)) as process:
        async with grpc.aio.insecure_channel(address) as channel:
            await asyncio.wait_for(channel.channel_ready(), START_SECONDS)
            yield Echo(stub=EchoStub(channel), processes=Processes(server=(process.pid,)))


def started(service: str, store: OpenStore, code: Code, log: Path) -> ServerProcess:
    """A server of a checkout, to be started by `with`."""
    return ServerProcess(service, store.url, log, python=code.python, is_cold=True)


def pid_of(server: ServerProcess) -> int:
    """The process of a server that runs."""
    assert server.process is not None
    return server.process.pid
