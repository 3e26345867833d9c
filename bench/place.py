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
from support.databases import empty_database, running_postgres
from support.processes import free_port
from support.servers import Servers, serving

ENGINES = ("sqlite", "postgres")
START_SECONDS = 20


@dataclass(frozen=True, kw_only=True)
class Place:
    """Stubs of the echo server, and of both services over each engine."""

    echo: EchoStub
    engines: dict[str, Servers]


@asynccontextmanager
async def servers(folder: Path, engines: Sequence[str]) -> AsyncGenerator[Place]:
    """Run them all, over empty stores in `folder`."""
    async with AsyncExitStack() as stack:
        echo = await stack.enter_async_context(running_echo())
        running: dict[str, Servers] = {}
        for engine in engines:
            url = stack.enter_context(empty_store(engine, folder))
            logs = folder / engine
            logs.mkdir()
            running[engine] = await stack.enter_async_context(serving(url, logs))
        yield Place(echo=echo, engines=running)


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
