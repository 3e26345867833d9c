"""Certificates are replaced again and again while callers come: no call fails of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from dovetail.client import Agent, DovetailError, connect
from dovetail.client.security import channel_credentials
from dovetail.messaging.v1 import messaging_pb2 as pb
from dovetail.messaging.v1 import messaging_pb2_grpc
from support.certificates import Authority, Pair, served
from support.pair import identity
from support.processes import ServerProcess
from support.soak import full_or_tenth
from support.waiting import until

REPLACEMENTS = full_or_tenth(300)
NEWCOMERS = 4
CALLS_BETWEEN = 4
"""So many calls on new connections meet every state of the files, half replaced ones too."""

OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)


class Load:
    """Callers of a server: one that stays connected, others that connect anew for every call."""

    def __init__(self, address: str, authority: Authority) -> None:
        self._address = address
        self._authority = authority
        self._credentials = channel_credentials(authority.tls)
        self._stop = asyncio.Event()
        self.steady_calls = 0
        self.new_connections = 0
        self.failures: list[Exception] = []

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Call for as long as the block lasts; every caller ends its last call."""
        async with asyncio.TaskGroup() as callers:
            callers.create_task(self._stay())
            for _ in range(NEWCOMERS):
                callers.create_task(self._come_anew())
            try:
                yield
            finally:
                self._stop.set()

    async def meets(self) -> None:
        """Wait until new connections have met the files as they are."""
        reached = self.new_connections + NEWCOMERS + CALLS_BETWEEN
        await until(lambda: self.new_connections >= reached or self.failures != [])

    async def _stay(self) -> None:
        tls = self._authority.tls
        async with connect("alice", messaging=self._address, tls=tls, patience=0) as alice:
            while not self._stop.is_set():
                await self._send(alice)

    async def _send(self, alice: Agent) -> None:
        try:
            await alice.send("alice", "still here")
            self.steady_calls += 1
        except DovetailError as error:
            self.failures.append(error)

    async def _come_anew(self) -> None:
        while not self._stop.is_set():
            async with grpc.aio.secure_channel(
                self._address, self._credentials, options=OWN_CONNECTION
            ) as channel:
                stub = messaging_pb2_grpc.MessagingServiceStub(channel)
                try:
                    await stub.GetAgent(
                        pb.GetAgentRequest(), metadata=identity("alice"), timeout=20
                    )
                    self.new_connections += 1
                except grpc.aio.AioRpcError as error:
                    self.failures.append(error)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(folder=tmp_path / "authority")


@pytest.fixture
def pair(authority: Authority) -> Pair:
    """The files that the server was told of."""
    return authority.server()


@pytest.fixture
def server(
    sqlite_url: str, tmp_path: Path, authority: Authority, pair: Pair
) -> Generator[ServerProcess]:
    with ServerProcess(
        "messaging",
        sqlite_url,
        tmp_path / "server.log",
        options=("--tls-cert", str(pair.cert), "--tls-key", str(pair.key)),
        credentials=channel_credentials(authority.tls),
    ) as server:
        yield server


def write(path: Path, content: bytes) -> None:
    """Replace a file as an editor does: it is torn for a moment."""
    with path.open("wb", buffering=0) as file:
        file.write(content[:100])
        file.write(content[100:])


def rename(path: Path, content: bytes) -> None:
    """Replace a file at one blow."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.replace(path)


@pytest.mark.soak
@pytest.mark.parametrize("replace", [write, rename])
async def test_no_call_fails_while_certificates_are_replaced(
    server: ServerProcess,
    authority: Authority,
    pair: Pair,
    replace: Callable[[Path, bytes], None],
    report_figures: Callable[[str], None],
):
    load = Load(server.address, authority)
    async with connect("alice", messaging=server.address, tls=authority.tls) as alice:
        await alice.register()
    async with load.running():
        for _ in range(REPLACEMENTS):
            new = authority.server("new")
            replace(pair.cert, new.cert.read_bytes())
            await load.meets()
            replace(pair.key, new.key.read_bytes())
            await load.meets()
            shown = await asyncio.to_thread(served, server.address, authority)
            assert shown == new.cert.read_text()
    assert load.failures == []
    report_figures(
        f"{REPLACEMENTS} certificates, {load.new_connections:,} new connections and"
        f" {load.steady_calls:,} calls on a steady one; failed calls 0"
    )
