"""A proxy that keeps all bytes that a server wrote to its callers, and can strike as they pass.

It outlives both: what the server's connection took arrives here, also for a caller that is dead. So
it knows which deliveries were handed out.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

from dovetail.messaging.v1 import messaging_pb2 as m
from support.http2 import DATA

CHUNK_BYTES = 64 * 1024
Place = tuple[str, int]
"""An agent, and a sequence in its inbox."""


@dataclass(kw_only=True)
class Strike:
    """What is done once, as bytes go `down` to a caller or `up` to the server."""

    way: str
    before: bool
    """Before the bytes are passed on, or after it."""
    act: Callable[[], None]
    done: asyncio.Event = field(default_factory=asyncio.Event)


class Recorder:
    """Connections between callers and one server."""

    def __init__(self, port: int) -> None:
        """Pass on to a server on loopback."""
        self._port = port
        self._records: list[bytearray] = []
        self._connections: set[asyncio.Task[None]] = set()
        self.address = ""
        self.strike: Strike | None = None

    def arrived(self) -> set[Place]:
        """The deliveries that a server handed out, in whole responses."""
        return {place for record in self._records for place in _deliveries(bytes(record))}

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            with contextlib.suppress(OSError):
                there, back = await asyncio.open_connection("127.0.0.1", self._port)
                up = asyncio.create_task(self._pass_up(reader, back))
                await self._pass_down(there, writer)
                up.cancel()
                await asyncio.gather(up, return_exceptions=True)
                back.close()
        finally:
            writer.close()
            self._connections.discard(task)

    async def close(self) -> None:
        """End all connections."""
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _pass_up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES):
                self._struck("up", before=True)
                writer.write(chunk)
                await writer.drain()
                self._struck("up", before=False)
        with contextlib.suppress(OSError):
            # Only this half: what the server still writes is taken, and kept.
            writer.write_eof()

    async def _pass_down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        record = bytearray()
        self._records.append(record)
        is_open = True
        with contextlib.suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES):
                record += chunk
                self._struck("down", before=True)
                if is_open:
                    try:
                        writer.write(chunk)
                        await writer.drain()
                    except OSError:
                        is_open = False
                self._struck("down", before=False)

    def _struck(self, way: str, before: bool) -> None:
        strike = self.strike
        if strike and (strike.way, strike.before) == (way, before):
            self.strike = None
            strike.act()
            strike.done.set()


@asynccontextmanager
async def recording(port: int) -> AsyncGenerator[Recorder]:
    """A recorder before the server at a port, inside the block."""
    recorder = Recorder(port)
    server = await asyncio.start_server(recorder.accept, "127.0.0.1", 0)
    host, free = server.sockets[0].getsockname()
    recorder.address = f"{host}:{free}"
    try:
        yield recorder
    finally:
        server.close()
        await recorder.close()


def _deliveries(record: bytes) -> Iterator[Place]:
    for payload in _responses(record):
        # Deliveries have the same number in responses of streams and of calls; other responses have
        # something else there, or nothing.
        with contextlib.suppress(DecodeError):
            for each in m.SubscribeInboxResponse.FromString(payload).deliveries:
                yield each.receipt.recipient_id, each.receipt.sequence


def _responses(record: bytes) -> Iterator[bytes]:
    """The messages of gRPC that are whole in what a server wrote to a connection."""
    streams: defaultdict[int, bytearray] = defaultdict(bytearray)
    at = 0
    while at + 9 <= len(record):
        size, kind = int.from_bytes(record[at : at + 3]), record[at + 3]
        stream = streams[int.from_bytes(record[at + 5 : at + 9])]
        if kind == DATA and at + 9 + size <= len(record):
            stream += record[at + 9 : at + 9 + size]
        at += 9 + size
    for stream in streams.values():
        at = 0
        while at + 5 <= len(stream):
            end = at + 5 + int.from_bytes(stream[at + 1 : at + 5])
            if end <= len(stream):
                yield bytes(stream[at + 5 : end])
            at = end
