"""A client is back as soon as its server serves, and makes few attempts until then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path

import pytest

from dovetail.client import UnavailableError, connect, connection, following, held
from dovetail.client.reconnecting import pauses
from dovetail.server.runtime import RunningServer
from support.processes import ServerProcess, free_port
from support.waiting import until

REFUSED_CONNECTIONS = 6
CALLS = 20


def hour_after_the_first(longest: float = 0.0) -> Iterator[float]:
    """Pauses of which the second would be far too long for the test."""
    return chain((0.01,), repeat(3_600.0))


async def test_what_waits_goes_on_as_soon_as_the_server_serves(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for module in (connection, following, held):
        monkeypatch.setattr(module, "pauses", hour_after_the_first)
    with ServerProcess("messaging", sqlite_url, tmp_path / "messaging.log") as server:
        async with connect("alice", messaging=server.address, timeout=7_200) as alice:
            await alice.register()
            reading = alice.inbox()
            await alice.send("alice", "before")
            assert (await anext(reading)).body == "before"
            server.kill()
            next_message = asyncio.create_task(anext(reading))
            sending = asyncio.create_task(alice.send("alice", "after"))
            await asyncio.to_thread(server.start)
            assert (await sending).receipts[0].sequence == 2
            assert (await next_message).body == "after"


async def test_a_claim_without_patience_goes_on_as_soon_as_the_server_serves(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(held, "pauses", hour_after_the_first)
    server = ServerProcess("tasks", sqlite_url, tmp_path / "tasks.log")
    async with connect("bob", tasks=server.address, patience=0) as bob:
        claiming = asyncio.create_task(bob.claim().__aenter__())
        with server:
            await until(bob.tasks.connection.watch.connected().done)
            async with connect("alice", tasks=server.address, timeout=60) as alice:
                await alice.tasks.create("x")
                assert (await claiming).title == "x"


@dataclass
class Listener:
    """Accepts connections and closes the first ones; the others go to a server."""

    address: str
    connections: int = 0


@asynccontextmanager
async def listener(server: str, refused: int) -> AsyncGenerator[Listener]:
    found = Listener(address=f"127.0.0.1:{free_port()}")
    writers: list[asyncio.StreamWriter] = []
    pumps: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while content := await reader.read(65_536):
            writer.write(content)

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.connections += 1
        writers.append(writer)
        if found.connections <= refused:
            writer.close()
            return
        far_reader, far_writer = await asyncio.open_connection(*server.split(":"))
        writers.append(far_writer)
        pumps.update(map(asyncio.create_task, (pump(reader, far_writer), pump(far_reader, writer))))

    async with await asyncio.start_server(accept, *found.address.split(":")):
        yield found
    for writer in writers:
        writer.close()
    await asyncio.gather(*pumps, *(each.wait_closed() for each in writers), return_exceptions=True)


async def test_the_attempts_are_the_channel_s_however_much_waits(messaging: RunningServer):
    async with connect("alice", messaging=messaging.address) as known:
        await known.register()  # Reading does not.
    async with (
        listener(messaging.address, REFUSED_CONNECTIONS) as gate,
        connect("alice", messaging=gate.address, timeout=60) as alice,
    ):
        stream = alice.inbox()
        reading = asyncio.create_task(anext(stream))
        await asyncio.gather(*(alice.register(f"agent{number}") for number in range(CALLS)))
        await alice.send("alice", "hello")
        assert (await reading).body == "hello"
        await stream.aclose()
        assert gate.connections == REFUSED_CONNECTIONS + 1


async def test_patience_ends_with_the_error_of_a_last_attempt():
    async with listener("", refused=1_000) as gate:
        alice = connect("alice", messaging=gate.address, patience=1.5)
        calling = asyncio.create_task(alice.register())
        await until(lambda: gate.connections >= 2)
    with pytest.raises(UnavailableError, match="Connection refused"):
        await calling
    await alice.close()


def test_pauses_double_up_to_the_longest_and_differ():
    found = [next(each) for each in (pauses(0.25),) for _ in range(40)]
    assert all(0.125 <= pause <= 0.25 for pause in found[3:])
    assert 0.025 <= found[0] <= 0.05
    assert len(set(found)) == len(found)
