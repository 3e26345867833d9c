"""Receipts under kill -9 of the server and of the readers, at every edge: none says too much."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack
from itertools import cycle, islice, product
from pathlib import Path
from typing import TypeAlias

import pytest

from dovetail.messaging.v1 import messaging_pb2 as m
from dovetail.messaging.v1 import messaging_pb2_grpc
from dovetail.types.v1 import types_pb2
from support import reader
from support.processes import ServerProcess
from support.recorder import Place, Recorder, Strike, recording
from support.servers import channel, insist
from support.soak import SOAK, full_or_tenth
from support.waiting import until

pytestmark = pytest.mark.soak

READERS = {"ann": "stream", "bea": "poll"}
IDLE = "eve"
DELIVERIES = full_or_tenth(10_000)
KILLS = full_or_tenth(80)
EDGES = [*product(("down", "up"), (True, False), ("server", "reader"))]
"""As a response or a request passes, before it is passed on or after, one of the two is killed."""

Stub: TypeAlias = "messaging_pb2_grpc.MessagingServiceAsyncStub"


class Reader:
    """A reader as a process, started again after each kill."""

    def __init__(self, agent_id: str, address: str, folder: Path) -> None:
        self.agent_id = agent_id
        self.log = folder / agent_id
        self._address = address
        self._count = 0
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._count += 1
        words = (self._address, self.agent_id, READERS[self.agent_id], str(self._count))
        command = [sys.executable, reader.__file__, *words, str(self.log)]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def kill(self) -> None:
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def named_at_all(self) -> set[Place]:
        """What it named in any way."""
        return self.named("seen") | self.named("done")

    def named(self, word: str) -> set[Place]:
        """What it named in a call, or was about to."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        found = (line.split() for line in lines)
        return {(self.agent_id, int(sequence)) for what, sequence in found if what == word}


@pytest.mark.parametrize(
    "store_url",
    [
        "sqlite",
        pytest.param("postgres", marks=pytest.mark.skipif(not SOAK, reason="as SQLite: make soak")),
    ],
    indirect=True,
)
async def test_no_receipt_says_more_than_what_happened(
    store_url: str, tmp_path: Path, report_figures: Callable[[str], None]
) -> None:
    server = ServerProcess("messaging", store_url, tmp_path / "messaging.log")
    with ExitStack() as stack:
        stack.enter_context(server)
        async with channel(server) as direct, recording(server.port) as recorder:
            stub: Stub = messaging_pb2_grpc.MessagingServiceStub(direct)
            await _register(stub)
            readers = [Reader(each, recorder.address, tmp_path) for each in READERS]
            for each in readers:
                stack.callback(each.kill)
                each.start()
            sending = asyncio.create_task(_send(stub, DELIVERIES // len(READERS)))
            moments = random.Random(14)
            for edge in islice(cycle(EDGES), KILLS):
                await asyncio.sleep(moments.uniform(0, 0.02))
                await _strike(recorder, server, moments.choice(readers), edge)
            await sending
            # Most were read by then: of ten the stream names four, and the other nine.
            await until(lambda: sum(len(each.named_at_all()) for each in readers) > DELIVERIES // 2)
            for each in readers:
                each.kill()
            counts = await _check(stub, recorder, readers)
            assert await _states(stub, IDLE) == {types_pb2.DELIVERY_STATE_UNACKNOWLEDGED}
    report_figures(
        f"{counts['all']:,} deliveries, {KILLS} kills of server and readers at {len(EDGES)} edges:"
        f" {counts['arrived']:,} handed out, {counts['sent']:,} known as such,"
        f" {counts['seen']:,} seen, {counts['acknowledged']:,} acknowledged;"
        " false SENT 0, false SEEN 0, false ACKNOWLEDGED 0"
    )


async def _register(stub: Stub) -> None:
    for agent_id in (reader.READER_OF_REPLIES, IDLE, *READERS):
        await insist(stub.RegisterAgent, m.RegisterAgentRequest(), agent_id)


async def _send(stub: Stub, count: int) -> None:
    """Send so many messages to each reader, and a few to one that never reads."""
    for number in range(count):
        to = [*READERS, IDLE] if number % 50 == 0 else [*READERS]
        request = m.SendMessageRequest(recipient_ids=to, body="x", request_id=str(number))
        await insist(stub.SendMessage, request, reader.READER_OF_REPLIES)


async def _strike(
    recorder: Recorder, server: ServerProcess, victim: Reader, edge: tuple[str, bool, str]
) -> None:
    """Kill one of both as bytes pass, and start it again."""
    way, before, whom = edge
    act = server.kill if whom == "server" else victim.kill
    strike = recorder.strike = Strike(way=way, before=before, act=act)
    async with asyncio.timeout(30):
        await strike.done.wait()
    if whom == "reader":
        victim.start()
        return
    server.start(wait=False)
    await asyncio.to_thread(server.wait_until_serving)


async def _check(stub: Stub, recorder: Recorder, readers: list[Reader]) -> Counter[str]:
    """Compare the receipts with what arrived and was named. Returns how many there are of each."""
    arrived = recorder.arrived()
    counts = Counter(arrived=len(arrived))
    for each in readers:
        seen, done = each.named("seen"), each.named("done")
        async for receipt in _receipts(stub, each.agent_id):
            place = receipt.recipient_id, receipt.sequence
            is_sent, is_seen = receipt.HasField("send_time"), receipt.HasField("see_time")
            is_done = receipt.state == types_pb2.DELIVERY_STATE_ACKNOWLEDGED
            assert not is_sent or place in arrived, f"SENT, and was not: {receipt}"
            assert not is_seen or place in seen, f"SEEN, and was not: {receipt}"
            assert not is_done or place in done, f"ACKNOWLEDGED, and was not: {receipt}"
            counts.update(all=1, sent=is_sent, seen=is_seen, acknowledged=is_done)
    assert counts["all"] == DELIVERIES
    assert min(counts.values()) > 0, counts
    return counts


async def _states(stub: Stub, agent_id: str) -> set[int]:
    return {receipt.state async for receipt in _receipts(stub, agent_id)}


async def _receipts(stub: Stub, agent_id: str) -> AsyncGenerator[types_pb2.Receipt]:
    """All receipts of an inbox."""
    token = ""
    while True:
        request = m.ListMessagesRequest(recipient_id=agent_id, page_size=1_000, page_token=token)
        page = await insist(stub.ListMessages, request, "")
        for record in page.records:
            for receipt in record.receipts:
                if receipt.recipient_id == agent_id:
                    yield receipt
        token = page.next_page_token
        if not token:
            return
