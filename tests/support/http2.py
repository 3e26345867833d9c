"""A connection that speaks HTTP/2 by hand, to send what no client library would."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from typing import cast

from hpack import Decoder
from hpack.hpack import encode_integer

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GO_AWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACKNOWLEDGED = 1, 4, 1
MAX_CONCURRENT_STREAMS = 3
FRAME_BYTES_MAX = 16 * 1024
WINDOW_BYTES = 65_535
PATIENCE_SECONDS = 20.0


class RawConnection:
    """Sends frames as it is told, within the windows that the server opens."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Speak over a connection that is open."""
        self._reader, self._writer = reader, writer
        self._windows: dict[int, int] = {0: WINDOW_BYTES}
        self._changed = asyncio.Condition()
        self._decoder = Decoder()
        self.settings: dict[int, int] = {}
        self.ended: set[int] = set()
        """The streams that the server ended."""
        self.begun: set[int] = set()
        """The streams on which it sent something."""
        self.answers: dict[int, dict[str, str]] = {}
        """The headers and trailers that it sent, by stream."""
        self.closing = False
        """Whether the server takes no more calls on this connection."""

    def call(self, stream: int, path: str, *more: tuple[str, str]) -> None:
        """Begin a call."""
        fields = (
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "test"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            *more,
        )
        self.begin(stream, fields)

    def begin(self, stream: int, fields: Iterable[tuple[str, str]]) -> None:
        """Begin a stream with headers, of a call or of what is none."""
        block = b"".join(b"\x00" + _text(name) + _text(value) for name, value in fields)
        self._windows[stream] = WINDOW_BYTES
        self._send(HEADERS, END_HEADERS, stream, block)

    def send(self, stream: int, payload: bytes) -> int:
        """Send as much as the windows have room for now; return how much that was."""
        sent = 0
        while sent < len(payload):
            room = min(self._windows[0], self._windows[stream], FRAME_BYTES_MAX)
            part = payload[sent : sent + room]
            if not part:
                break
            for each in (0, stream):
                self._windows[each] -= len(part)
            self._send(DATA, 0, stream, part)
            sent += len(part)
        return sent

    async def send_all(self, stream: int, payload: bytes) -> int:
        """Send until all is gone or the server ended the stream; return how much went."""
        sent = self.send(stream, payload)
        while sent < len(payload) and stream not in self.ended:
            await self._wait()
            sent += self.send(stream, payload[sent:])
        return sent

    def finish(self, stream: int, payload: bytes) -> None:
        """Send a small request whole, and end our side of the stream."""
        self._send(DATA, END_STREAM, stream, payload)

    def reset(self, stream: int) -> None:
        """Leave a stream, as who cancels a call does."""
        self._send(RST_STREAM, 0, stream, (8).to_bytes(4))

    async def until_begun(self, stream: int) -> None:
        """Wait until the server has begun to answer on a stream."""
        while stream not in self.begun:
            await self._wait()

    async def until_ended(self, stream: int) -> None:
        """Wait until the server ends a stream."""
        while stream not in self.ended:
            await self._wait()

    async def until_ended_or_closing(self, stream: int) -> None:
        """The same, or until it takes no more calls."""
        while stream not in self.ended and not self.closing:
            await self._wait()

    async def until_settings(self) -> None:
        """Wait until the server has told its settings."""
        while not self.settings:
            await self._wait()

    async def _wait(self) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS), self._changed:
            await self._changed.wait()

    async def read(self) -> None:
        """Take in what the server sends, until it closes the connection."""
        try:
            while True:
                head = await self._reader.readexactly(9)
                payload = await self._reader.readexactly(int.from_bytes(head[:3]))
                self._take_in(head[3], head[4], int.from_bytes(head[5:]), payload)
                async with self._changed:
                    self._changed.notify_all()
        finally:
            self.closing = True
            async with self._changed:
                self._changed.notify_all()

    def _take_in(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == WINDOW_UPDATE:
            self._windows[stream] = self._windows.get(stream, 0) + int.from_bytes(payload)
        elif kind == SETTINGS and not flags & ACKNOWLEDGED:
            self.settings |= dict(struct.iter_unpack(">HI", payload))
            self._send(SETTINGS, ACKNOWLEDGED, 0)
        elif kind == PING and not flags & ACKNOWLEDGED:
            self._send(PING, ACKNOWLEDGED, 0, payload)
        elif kind == GO_AWAY:
            self.closing = True
        elif kind == HEADERS:
            fields = cast("list[tuple[str, str]]", self._decoder.decode(payload))
            self.answers.setdefault(stream, {}).update(fields)
        if kind in (DATA, HEADERS):
            self.begun.add(stream)
        if kind == RST_STREAM or (kind in (DATA, HEADERS) and flags & END_STREAM):
            self.ended.add(stream)

    def _send(self, kind: int, flags: int, stream: int, payload: bytes = b"") -> None:
        size = len(payload).to_bytes(3)
        self._writer.write(size + bytes((kind, flags)) + stream.to_bytes(4) + payload)


@asynccontextmanager
async def raw_connection(address: str) -> AsyncGenerator[RawConnection]:
    """A connection inside the block."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    connection = RawConnection(reader, writer)
    writer.write(PREFACE + bytes((0, 0, 0, SETTINGS, 0, 0, 0, 0, 0)))
    reading = asyncio.create_task(connection.read())
    try:
        await connection.until_settings()
        yield connection
    finally:
        writer.close()  # First: who is cancelled here would leave it open.
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


def message(payload: bytes, size: int | None = None, compressed: bool = False) -> bytes:
    """A message of gRPC; `size` says another length than it has."""
    length = len(payload) if size is None else size
    return bytes((compressed,)) + length.to_bytes(4) + payload


def _text(text: str) -> bytes:
    """A literal of HPACK, as long as it may be in one frame."""
    return bytes(encode_integer(len(data := text.encode()), 7)) + data
