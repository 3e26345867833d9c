"""Handouts: spans of an inbox in any order, of which each delivery keeps its first."""

from __future__ import annotations

import random
import time
from itertools import pairwise

import pytest

from dovetail.server.access.caller import Caller
from dovetail.server.messaging.inboxes import Inboxes
from dovetail.server.store.schema import HandoutRow
from dovetail.server.store.store import Store
from dovetail.server.store.tables import agents, deliveries, handouts
from dovetail.server.store.tables.handouts import SPANS_READ_MAX, Handout
from dovetail.server.store.transaction import Snapshot
from store.opened import TEAM, to_bob

COUNT = 2 * SPANS_READ_MAX + 50


@pytest.fixture
async def inbox(store: Store) -> Store:
    """A store in which bob has so many messages."""
    await store.write(TEAM, lambda t: agents.touch(t, "bob"))
    await Inboxes(store).send_all(Caller(team_id=TEAM, agent_id="bob"), [to_bob("x")] * COUNT)
    return store


async def record(store: Store, *spans: tuple[int, int]) -> int:
    """Record what was handed out just now; return in how many units."""
    left, units = [Handout(*span, time.monotonic()) for span in spans], 0
    while left:
        some = left
        needs = handouts.need("bob", some)
        left = await store.write(TEAM, lambda t, some=some: handouts.record(t, "bob", some), needs)
        units += 1
    return units


async def send_times(store: Store) -> dict[int, int]:
    """When each delivery was handed out, by sequence, as far as that is known."""

    def query(snapshot: Snapshot) -> dict[int, int]:
        found = deliveries.receipts_of(snapshot, dict.fromkeys(range(1, COUNT + 1), ("bob",)))
        receipts = [each for some in found.values() for each in some]
        return {each.sequence: each.send_time for each in receipts if each.send_time}

    return await store.read(TEAM, query)


async def rows(store: Store) -> list[tuple[int, int]]:
    """The spans as they are stored, in order."""
    columns = HandoutRow.first_sequence, HandoutRow.last_sequence
    query = HandoutRow.select(*columns).order_by(HandoutRow.last_sequence)
    return [(first, last) for first, last in await store.read(TEAM, lambda s: s.select(query))]


async def test_whatever_is_handed_out_each_delivery_keeps_its_first_time(inbox: Store) -> None:
    chosen = random.Random(57)
    known: dict[int, int] = {}
    for _ in range(20):
        spans: list[tuple[int, int]] = []
        for _ in range(chosen.randint(1, 4)):
            first = chosen.randint(1, COUNT)
            spans.append((first, min(COUNT, first + chosen.choice((0, 1, 5, 60)))))
        await record(inbox, *spans)
        found = await send_times(inbox)
        assert known.items() <= found.items()
        told = {each for first, last in spans for each in range(first, last + 1)}
        assert found.keys() == known.keys() | told
        known = found
    stored = await rows(inbox)
    assert all(before[1] < after[0] for before, after in pairwise(stored))
    assert {each for first, last in stored for each in range(first, last + 1)} == known.keys()


async def test_a_span_over_very_many_is_recorded_in_several_units(inbox: Store) -> None:
    odd = [(each, each) for each in range(1, COUNT, 2)]
    for at in range(0, len(odd), 100):
        assert await record(inbox, *odd[at : at + 100]) == 1
    before = await send_times(inbox)
    assert await record(inbox, (1, COUNT)) == 1 + len(odd) // SPANS_READ_MAX
    after = await send_times(inbox)
    assert after.keys() == {*range(1, COUNT + 1)}
    assert before.items() <= after.items()


async def test_what_was_handed_out_before_writes_nothing(inbox: Store) -> None:
    await record(inbox, (3, 9))
    await record(inbox, (4, 8), (3, 9), (9, 9))
    assert await rows(inbox) == [(3, 9)]
    await record(inbox, (1, 12), (5, 13))
    assert await rows(inbox) == [(1, 2), (3, 9), (10, 12), (13, 13)]


async def test_the_time_is_reckoned_back_and_never_before_the_message(inbox: Store) -> None:
    now = time.monotonic()
    old = [Handout(1, 1, now - 3_600), Handout(2, 2, now)]
    await inbox.write(TEAM, lambda t: handouts.record(t, "bob", old))
    times = await send_times(inbox)
    created = (await inbox.read(TEAM, lambda s: agents.get(s, "bob"))).create_time
    assert created <= times[1] <= times[2]
