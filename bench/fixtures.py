"""The servers that are measured: each a process of its own, all up for the whole run."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

from bench.echo import EchoStub
from dovetail.admin.v1 import admin_pb2_grpc
from dovetail.client.security import channel_credentials
from dovetail.messaging.v1 import messaging_pb2_grpc
from support.certificates import Authority
from support.databases import empty_database, running_postgres
from support.guarded import bearer
from support.pair import Metadata
from support.processes import ServerProcess, free_port
from support.servers import Servers, serving

ENGINES = ("sqlite", "postgres")
OTHER_QUEUES = {"sqlite": "huey", "postgres": "procrastinate"}
START_SECONDS = 20


@dataclass(frozen=True, kw_only=True)
class Fixtures:
    """Stubs of the echo server, of both services over each engine, and of guarded messaging.

    `other_queues` are the empty stores of other queues, by the name of the queue.
    """

    echo: EchoStub
    engines: dict[str, Servers]
    guarded: dict[str, Guarded]
    other_queues: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Guarded:
    """Messaging over TLS, which asks for credentials. `admin` is the first admin's metadata."""

    messaging: messaging_pb2_grpc.MessagingServiceAsyncStub
    administration: admin_pb2_grpc.AdminServiceAsyncStub
    admin: Metadata


@asynccontextmanager
async def servers(
    folder: Path, engines: Sequence[str], measures: Sequence[str]
) -> AsyncGenerator[Fixtures]:
    """Run all that these measures need, over empty stores in `folder`."""
    async with AsyncExitStack() as stack:
        echo = await stack.enter_async_context(running_echo())
        running: dict[str, Servers] = {}
        for engine in engines:
            url = stack.enter_context(empty_store(engine, folder))
            logs = folder / engine
            logs.mkdir()
            running[engine] = await stack.enter_async_context(serving(url, logs))
        kept: dict[str, Guarded] = {}
        for engine in engines if "guard" in measures else ():
            home = folder / f"{engine}-guarded"
            home.mkdir(mode=0o711)
            kept[engine] = await stack.enter_async_context(_guarded(engine, home))
        other_queues: dict[str, str] = {}
        for engine in engines if "claim" in measures else ():
            home = folder / OTHER_QUEUES[engine]
            home.mkdir(mode=0o711)
            other_queues[OTHER_QUEUES[engine]] = stack.enter_context(empty_store(engine, home))
        yield Fixtures(echo=echo, engines=running, guarded=kept, other_queues=other_queues)


@asynccontextmanager
async def _guarded(engine: str, folder: Path) -> AsyncGenerator[Guarded]:
    """Run messaging over a store of its own, with credentials and TLS."""
    authority, token = Authority(folder=folder / "authority"), folder / "admin.token"
    pair, trusting = authority.server(), channel_credentials(authority.tls)
    options = ("--credentials", "--admin-token-file", str(token))
    options += ("--tls-cert", str(pair.cert), "--tls-key", str(pair.key))
    with (
        empty_store(engine, folder) as url,
        ServerProcess(
            "messaging", url, folder / "log", options=options, credentials=trusting
        ) as server,
    ):
        async with grpc.aio.secure_channel(server.address, trusting) as channel:
            yield Guarded(
                messaging=messaging_pb2_grpc.MessagingServiceStub(channel),
                administration=admin_pb2_grpc.AdminServiceStub(channel),
                admin=bearer(token.read_text().strip()),
            )


@contextmanager
def empty_store(engine: str, folder: Path) -> Generator[str]:
    """The URL of an empty store."""
    if engine == "sqlite":
        yield f"sqlite:///{folder}/store.db"
        return
    home = folder / "server"
    home.mkdir()
    with running_postgres(home) as server, empty_database(server.url) as url:
        yield url


@asynccontextmanager
async def running_echo() -> AsyncGenerator[EchoStub]:
    """Run the echo server, and call it."""
    address = f"127.0.0.1:{free_port()}"
    with _process("bench.echo", address):
        async with grpc.aio.insecure_channel(address) as channel:
            await asyncio.wait_for(channel.channel_ready(), START_SECONDS)
            yield EchoStub(channel)


@contextmanager
def _process(program: str, address: str) -> Generator[None]:
    process = subprocess.Popen([sys.executable, "-m", program, address])
    try:
        yield
    finally:
        process.terminate()
        process.wait()
