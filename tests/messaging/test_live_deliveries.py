"""Live deliveries: what a commit hands over to open streams is what the table would have given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dovetail.messaging.v1 import messaging_pb2 as pb
from dovetail.messaging.v1 import messaging_pb2_grpc
from dovetail.server.store.rings import LIVE_BYTES_MAX
from dovetail.server.store.store import Store
from dovetail.server.store.transaction import Snapshot
from support.callers import Caller, Inbox, sequences
from support.pair import Pair, Stubs, running
from support.teams import Team, new_team_id

T = TypeVar("T")
AGENTS = ("ann", "bob")
IMPORTANT = pb.MessageFilter(minimum_importance=pb.IMPORTANCE_HIGH)
SIZES = (1, 30_000, LIVE_BYTES_MAX + 1)


@dataclass(frozen=True)
class Step:
    """Messages that are sent at once, each through one of two servers, and to whom."""

    sends: Sequence[tuple[int, tuple[str, ...], int]]


STEPS = st.lists(
    st.lists(
        st.tuples(
            st.sampled_from((0, 0, 1)),
            st.sampled_from((("ann",), ("bob",), AGENTS)),
            st.sampled_from((*SIZES, 1, 1)),
        ),
        min_size=1,
        max_size=6,
    ).map(Step),
    max_size=6,
)
STREAMS = st.lists(
    st.tuples(
        st.sampled_from(AGENTS),
        st.sampled_from((0, 1, 3)),
        st.sampled_from((None, IMPORTANT)),
    ),
    min_size=1,
    max_size=4,
)


def counted_reads(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list that grows with each short query of a store."""
    reads: list[str] = []
    read = store.read

    async def counting(team_id: str, query: Callable[[Snapshot], T]) -> T:
        reads.append(team_id)
        return await read(team_id, query)

    monkeypatch.setattr(store, "read", counting)
    return reads


async def read_to(inbox: Inbox, agent: Caller, last: int, limit: int) -> list[pb.Delivery]:
    """What a stream delivers up to a sequence, acknowledged at once if it is limited."""
    found: list[pb.Delivery] = []
    while not found or found[-1].receipt.sequence < last:
        some = list((await inbox.next()).deliveries)
        found += some
        if limit and some:
            await agent.acknowledge(*sequences(some))
    return found


async def test_live_deliveries_need_fewer_reads_than_there_are(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = await Team(pair).known("alice", "bob")
    async with bob.inbox() as inbox:
        await inbox.backlog()
        reads = counted_reads(pair.messaging_store, monkeypatch)
        found: list[pb.Delivery] = []
        for number in range(50):
            await alice.send("bob", body=str(number))
            found += await inbox.take(1)
    # A stream that is still busy when the next commit comes reads: all of them never are.
    assert len(reads) < len(found) == 50
    assert found == await bob.received()


async def test_a_stream_at_its_limit_takes_nothing_until_there_is_room(pair: Pair) -> None:
    alice, bob = await Team(pair).known("alice", "bob")
    async with bob.inbox(max_outstanding=2) as inbox:
        await inbox.backlog()
        for body in "abc":
            await alice.send("bob", body=body)
        assert sequences(await inbox.take(2)) == [1, 2]
        await bob.acknowledge(1)
        assert sequences(await inbox.take(1)) == [3]


async def test_a_message_too_large_to_be_handed_over_comes_in_its_turn(pair: Pair) -> None:
    alice, bob = await Team(pair).known("alice", "bob")
    async with bob.inbox() as inbox:
        await inbox.backlog()
        for size in (1, LIVE_BYTES_MAX + 1, 1):
            await alice.send("bob", body="x" * size)
        found = await inbox.take(3)
    assert found == await bob.received()


async def test_a_stream_of_another_process_is_woken_by_name(store_url: str) -> None:
    async with two_servers(store_url) as (here, there):
        alice, bob = Caller(here, "alice"), Caller(there, "bob")
        await alice.register()
        await bob.register()
        async with bob.inbox() as inbox:
            await inbox.backlog()
            await alice.send("bob", body="hi")
            assert [each.message.body for each in await inbox.take(1)] == ["hi"]


async def test_what_another_process_added_before_is_not_skipped(
    sqlite_url: str, tmp_path: Path
) -> None:
    async with two_servers(sqlite_url) as (here, there):
        alice, eve, bob = Caller(here, "alice"), Caller(there, "eve"), Caller(here, "bob")
        for each in (alice, eve, bob):
            await each.register()
        # Without doorbells this server hears of the other's commits by a poll, so mostly later than
        # of its own.
        for doorbell in (tmp_path / "store.db-bells").iterdir():
            doorbell.unlink()
        async with bob.inbox() as inbox:
            await inbox.backlog()
            for round_ in range(20):
                await eve.send("bob")
                await alice.send("bob")
                found = await inbox.take(2)
                assert sequences(found) == [2 * round_ + 1, 2 * round_ + 2]


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_what_streams_deliver_is_what_the_table_has(
    engine: str, request: pytest.FixtureRequest
) -> None:
    url: str = request.getfixturevalue("sqlite_url" if engine == "sqlite" else "postgres_url")

    @settings(
        max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
    )
    @given(steps=STEPS, streams=STREAMS)
    def compare(steps: list[Step], streams: list[tuple[str, int, pb.MessageFilter | None]]) -> None:
        runner.run(_compare(servers, steps, streams))

    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        servers = runner.run(stack.enter_async_context(two_servers(url)))
        try:
            compare()
        finally:
            runner.run(stack.aclose())


@asynccontextmanager
async def two_servers(url: str) -> AsyncGenerator[tuple[Stubs, Stubs]]:
    """Two messaging servers over one store. Between them go wake-ups that carry only names."""
    async with (
        running("messaging", url) as one,
        running("messaging", url) as other,
        grpc.aio.insecure_channel(one.address) as one_channel,
        grpc.aio.insecure_channel(other.address) as other_channel,
    ):
        yield _stubs(one_channel), _stubs(other_channel)


def _stubs(channel: grpc.aio.Channel) -> Stubs:
    """The tests here call messaging alone."""
    return Stubs(messaging=messaging_pb2_grpc.MessagingServiceStub(channel), tasks=None)  # type: ignore[arg-type]


async def _compare(
    servers: tuple[Stubs, Stubs],
    steps: list[Step],
    streams: list[tuple[str, int, pb.MessageFilter | None]],
) -> None:
    """Send, with each stream open at both servers, and compare every stream with the table."""
    team_id = new_team_id()
    callers = {each: Caller(servers[0], each, team_id) for each in AGENTS}
    for each in callers.values():
        await each.register()
    async with AsyncExitStack() as stack:
        opened: list[tuple[Inbox, Caller, int]] = []
        for agent_id, limit, filter in streams:
            for server in servers:
                agent = replace(callers[agent_id], stubs=server)
                # Of what another stream has acknowledged, this one tells too.
                asked = agent.inbox(max_outstanding=limit, filter=filter, include_acknowledged=True)
                inbox = await stack.enter_async_context(asked)
                await inbox.backlog()
                opened.append((inbox, agent, limit))
        last = await _send(callers["ann"], servers, steps)
        found = await asyncio.gather(
            *(read_to(inbox, agent, last[agent.agent_id], limit) for inbox, agent, limit in opened)
        )
    whole = {each: await caller.received() for each, caller in callers.items()}
    for (_, agent, _), (_, _, filter), deliveries in zip(
        opened, [each for each in streams for _ in servers], found, strict=True
    ):
        wanted = [
            _key(each)
            for each in whole[agent.agent_id]
            if not filter or each.message.importance == pb.IMPORTANCE_HIGH
        ]
        assert [_key(each) for each in deliveries] == wanted


async def _send(sender: Caller, servers: tuple[Stubs, Stubs], steps: list[Step]) -> dict[str, int]:
    """Send all, and then one more to everybody. Returns the sequences of the last."""
    for step in steps:
        await asyncio.gather(
            *(
                replace(sender, stubs=servers[server]).send(
                    *recipients,
                    body="x" * size,
                    importance=pb.IMPORTANCE_HIGH if size > 1 else pb.IMPORTANCE_LOW,
                )
                for server, recipients, size in step.sends
            )
        )
    response = await sender.send(*AGENTS, body="the last", importance=pb.IMPORTANCE_HIGH)
    return {each.recipient_id: each.sequence for each in response.receipts}


def _key(delivery: pb.Delivery) -> tuple[int, bytes]:
    """A delivery but for the state of its receipt, which changes."""
    return delivery.receipt.sequence, delivery.message.SerializeToString(deterministic=True)
