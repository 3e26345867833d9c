"""NATS JetStream, with file storage. Before release 2.10 it responds before the disk is synced."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from bench.cpu import Processes
from bench.programs import connect, running
from support.processes import free_port

PROGRAM = "nats-server"
REPLIES, STREAM = "replies", "bench"
CREATE_STREAM = {"name": STREAM, "subjects": ["inbox.*"], "storage": "file", "num_replicas": 1}


@dataclass(kw_only=True)
class Nats:
    """A server, and one connection for all callers, as clients of NATS have."""

    name: str
    processes: Processes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    waiting: dict[str, asyncio.Future[bytes]] = field(
        default_factory=dict[str, asyncio.Future[bytes]]
    )
    listening: dict[str, asyncio.Queue[bytes]] = field(
        default_factory=dict[str, asyncio.Queue[bytes]]
    )
    numbers: count[int] = field(default_factory=count)

    async def send(self, number: int, body: bytes) -> None:
        """Publish on the subject of a caller, and wait until the stream has it."""
        await self.request(f"inbox.{number}", body)

    async def listen(self, number: int) -> Callable[[], Awaitable[object]]:
        """Open a consumer of a caller's subject; the result waits for the next message."""
        subscription = str(len(self.listening) + 2)
        subject = f"deliver.{subscription}"
        self.listening[subscription] = asyncio.Queue()
        self.writer.write(f"SUB {subject} {subscription}\r\n".encode())
        config = {
            "deliver_subject": subject,
            "deliver_policy": "new",
            "ack_policy": "none",
            "filter_subject": f"inbox.{number}",
        }
        wanted = {"stream_name": STREAM, "config": config}
        await self.request(f"$JS.API.CONSUMER.CREATE.{STREAM}", json.dumps(wanted).encode())
        return self.listening[subscription].get

    async def request(self, subject: str, body: bytes) -> None:
        """Publish, and wait for the reply."""
        reply = f"{REPLIES}.{next(self.numbers)}"
        future = asyncio.get_running_loop().create_future()
        self.waiting[reply] = future
        head = f"PUB {subject} {reply} {len(body)}\r\n".encode()
        self.writer.write(b"%s%s\r\n" % (head, body))
        answer = json.loads(await future)
        if "error" in answer:
            raise RuntimeError(f"nats-server: {answer['error']}")

    async def read(self) -> None:
        """Pass on what arrives, until the connection ends."""
        while line := await self.reader.readline():
            word, *rest = line.decode().split()
            if word == "PING":
                self.writer.write(b"PONG\r\n")
            elif word == "MSG":
                body = (await self.reader.readexactly(int(rest[-1]) + 2))[:-2]
                self._pass_on(rest[0], rest[1], body)
            elif word == "-ERR":
                break
        for future in self.waiting.values():
            future.set_exception(RuntimeError("nats-server closed the connection"))

    def _pass_on(self, subject: str, subscription: str, body: bytes) -> None:
        # What a consumer delivers has the subject under which it was published.
        if subscription in self.listening:
            self.listening[subscription].put_nowait(body)
        else:
            self.waiting.pop(subject).set_result(body)


@asynccontextmanager
async def serving(folder: Path) -> AsyncGenerator[Nats]:
    """Run a server over an empty folder."""
    port, settings = free_port(), folder / "nats.conf"
    synced = _write_settings(settings, port, folder / "data")
    command = (PROGRAM, "-c", str(settings), "-l", str(folder / "log"))
    with running(command) as process:
        reader, writer = await connect(port, process)
        writer.write(b'CONNECT {"verbose":false,"pedantic":false}\r\n')
        writer.write(b"SUB %s.* 1\r\n" % REPLIES.encode())
        server = Nats(
            name="nats" if synced else "nats, not synced",
            processes=Processes(server=(process.pid,)),
            reader=reader,
            writer=writer,
        )
        reading = asyncio.create_task(server.read())
        create = json.dumps(CREATE_STREAM).encode()
        await server.request(f"$JS.API.STREAM.CREATE.{STREAM}", create)
        yield server
        reading.cancel()
        writer.close()


def _write_settings(path: Path, port: int, data: Path) -> bool:
    """Write settings that sync every message, if this release can. Returns whether it can."""
    for sync in ("sync_interval: always", ""):
        path.write_text(
            f'listen: "127.0.0.1:{port}"\njetstream {{ store_dir: "{data}"\n{sync} }}\n'
        )
        check = subprocess.run([PROGRAM, "-t", "-c", str(path)], capture_output=True, check=False)
        if check.returncode == 0:
            return bool(sync)
    raise RuntimeError(check.stderr.decode())
