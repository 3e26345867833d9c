"""Which of the other programs are installed, running."""

from __future__ import annotations

import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from bench.cpu import Processes
from bench.peers import nats, redis
from bench.stores import OpenStore, empty_store

QUEUES = {"sqlite": "huey", "postgres": "procrastinate"}


class MessagePeer(Protocol):
    """A server that keeps messages."""

    name: str
    processes: Processes

    async def send(self, number: int, body: bytes) -> None:
        """Send a message to caller `number`; it is kept when this returns."""
        ...

    async def listen(self, number: int) -> Callable[[], Awaitable[object]]:
        """Listen for messages to caller `number`; the result waits for the next one."""
        ...


@dataclass(kw_only=True)
class Peers:
    """Servers of messages, and empty stores for queues of tasks, by name; what is missing."""

    messages: dict[str, MessagePeer] = field(default_factory=dict[str, MessagePeer])
    queues: dict[str, OpenStore] = field(default_factory=dict[str, OpenStore])
    missing: list[str] = field(default_factory=list[str])


@asynccontextmanager
async def running_peers(folder: Path, engines: Sequence[str]) -> AsyncGenerator[Peers]:
    """Run what is installed; queues on these engines."""
    peers = Peers()
    async with AsyncExitStack() as stack:
        for module in (redis, nats):
            if shutil.which(module.PROGRAM):
                home = folder / module.PROGRAM
                home.mkdir(parents=True)
                server = await stack.enter_async_context(module.serving(home))
                peers.messages[server.name] = server
            else:
                peers.missing.append(module.PROGRAM)
        for engine in engines:
            name = QUEUES[engine]
            if find_spec(name):
                peers.queues[name] = stack.enter_context(empty_store(engine, folder / name))
            else:
                peers.missing.append(name)
        yield peers
