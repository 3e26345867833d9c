"""Numbers and times: contiguous, unique and never backwards, whoever writes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from dovetail.server import clock
from dovetail.server.access.caller import Caller
from dovetail.server.messaging.inboxes import Inboxes
from dovetail.server.store.store import Store
from dovetail.server.store.tables import agents
from dovetail.server.store.transaction import Transaction
from store.opened import TEAM, to_bob
from support.callers import sequences
from support.pair import Pair, running_pair
from support.teams import Team

SENDERS = 64
EACH = 5


def at(micros: int) -> Callable[[], int]:
    """A clock that stands still."""
    return lambda: micros


async def test_sequences_are_contiguous_under_many_senders_on_two_stores(
    two_stores: tuple[Store, Store],
) -> None:
    await two_stores[0].write(TEAM, lambda t: agents.register(t, "bob"))

    async def send(number: int) -> list[tuple[int, int, int]]:
        inboxes = Inboxes(two_stores[number % 2])
        sender = Caller(team_id=TEAM, agent_id=f"agent-{number}")
        sent = [await inboxes.send(sender, to_bob(f"{number}/{turn}")) for turn in range(EACH)]
        return [(each.receipts[0].sequence, each.number, each.create_time) for each in sent]

    found = await asyncio.gather(*(send(number) for number in range(SENDERS)))
    assert all(own == sorted(own) for own in found)
    written = sorted(each for own in found for each in own)
    total = SENDERS * EACH
    assert [sequence for sequence, _, _ in written] == list(range(1, total + 1))
    assert [number for _, number, _ in written] == list(range(1, total + 1))
    assert [time for _, _, time in written] == sorted(time for _, _, time in written)


async def test_one_request_id_used_at_once_on_two_servers_sends_one_message(
    pair: Pair,
) -> None:
    async with running_pair(pair.store_url) as second:
        _, bob = await Team(pair).known("alice", "bob")
        alices = [Team(each).caller("alice") for each in (pair, second)]
        answers = await asyncio.gather(
            *(alices[number % 2].send("bob", body="once", request_id="r") for number in range(20))
        )
        assert all(answer == answers[0] for answer in answers)
        assert sequences(await bob.backlog()) == [1]
        assert len((await bob.list_messages()).records) == 1


async def test_times_do_not_run_backwards_when_the_clock_is_set_back(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = await Team(pair).known("alice", "bob")
    now = clock.now()
    for offset in (0, 3_600, -3_600, -1, 7_200):
        monkeypatch.setattr(clock, "now", at(now + offset * 10**6))
        await alice.send("bob")
    times = [each.message.create_time.ToMicroseconds() for each in await bob.backlog()]
    assert times == sorted(times)
    # Time goes on from the last stamp, as fast as it passes.
    assert times[1] <= times[2] <= times[3] < times[1] + 60 * 10**6
    assert times[4] > times[3] > times[0]
    monkeypatch.setattr(clock, "now", at(now - 10**9))
    await bob.acknowledge(through_sequence=5)
    for record in (await alice.list_messages()).records:
        acknowledged = record.receipts[0].state_time.ToMicroseconds()
        assert acknowledged >= record.message.create_time.ToMicroseconds()


async def test_times_do_not_run_backwards_between_stores(
    two_stores: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = two_stores
    now = clock.now()

    def touch(writing: Transaction) -> int:
        agents.register(writing, f"agent-{writing.team.next_message()}")
        return writing.team.stamp

    monkeypatch.setattr(clock, "now", at(now))
    first = await one.write(TEAM, touch)
    monkeypatch.setattr(clock, "now", at(now - 10**9))
    assert await other.write(TEAM, touch) == first


async def test_counters_are_those_of_the_team(store: Store) -> None:
    def count(writing: Transaction) -> tuple[int, int, int]:
        team = writing.team
        numbers = team.next_message(), team.next_task(), team.next_event()
        agents.register(writing, f"agent-{team.last_message}")
        return numbers

    for expected in (1, 2):
        for team_id in ("blue", "red"):
            numbers = await store.write(team_id, count)
            assert numbers == (expected,) * 3


async def test_a_rolled_back_unit_takes_no_number(pair: Pair) -> None:
    alice, _ = await Team(pair).known("alice", "bob")

    def fails(writing: Transaction) -> None:
        writing.team.next_message()
        agents.register(writing, "gone")
        raise RuntimeError

    with pytest.raises(Exception, match="internal"):
        await pair.messaging_store.write(TEAM, fails)
    assert (await alice.send("bob")).message_id == "m1"
