"""Redis Streams: every write is synced before its response (`appendfsync always`)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.cpu import Processes
from bench.programs import connect, running
from support.processes import free_port

PROGRAM = "redis-server"
SETTINGS = ("--appendonly", "yes", "--appendfsync", "always", "--save", "", "--logfile", "log")


class Connection:
    """One connection: a command at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Use an open connection."""
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> Connection:
        """Connect to a server on this machine."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def call(self, *words: bytes) -> Any:
        """Run a command, and return its reply."""
        parts = [b"*%d\r\n" % len(words)]
        parts += [b"$%d\r\n%s\r\n" % (len(word), word) for word in words]
        self._writer.write(b"".join(parts))
        return await self._reply()

    def close(self) -> None:
        """Hang up."""
        self._writer.close()

    async def _reply(self) -> Any:
        line = (await self._reader.readuntil(b"\r\n"))[:-2]
        kind, rest = line[:1], line[1:]
        if kind == b"-":
            raise RuntimeError(rest.decode())
        if kind == b"$" and rest != b"-1":
            return (await self._reader.readexactly(int(rest) + 2))[:-2]
        if kind == b"*" and rest != b"-1":
            return [await self._reply() for _ in range(int(rest))]
        return rest


@dataclass(kw_only=True)
class Redis:
    """A server, and a connection for each caller, as clients of Redis have."""

    name: str
    port: int
    processes: Processes
    senders: dict[int, Connection] = field(default_factory=dict[int, Connection])
    readers: list[Connection] = field(default_factory=list[Connection])

    async def send(self, number: int, body: bytes) -> None:
        """Append to the stream of a caller."""
        if number not in self.senders:
            self.senders[number] = await Connection.open(self.port)
        await self.senders[number].call(b"XADD", _stream(number), b"*", b"body", body)

    async def listen(self, number: int) -> Callable[[], Awaitable[object]]:
        """Open a reader of a caller's stream; the result waits for the next message."""
        reader, stream, after = await Connection.open(self.port), _stream(number), b"0"
        self.readers.append(reader)
        for last, _ in await reader.call(b"XREVRANGE", stream, b"+", b"-", b"COUNT", b"1"):
            after = last

        async def receive() -> object:
            nonlocal after
            words = (b"XREAD", b"COUNT", b"1", b"BLOCK", b"0", b"STREAMS", stream, after)
            [[_, [[after, fields]]]] = await reader.call(*words)
            return fields

        return receive

    def close(self) -> None:
        """Hang up."""
        for connection in (*self.senders.values(), *self.readers):
            connection.close()


@asynccontextmanager
async def serving(folder: Path) -> AsyncGenerator[Redis]:
    """Run a server over an empty folder."""
    port = free_port()
    command = (PROGRAM, "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), *SETTINGS)
    with running(command) as process:
        _, writer = await connect(port, process)
        writer.close()
        server = Redis(name="redis", port=port, processes=Processes(server=(process.pid,)))
        yield server
        server.close()


def _stream(number: int) -> bytes:
    return b"inbox-%d" % number
