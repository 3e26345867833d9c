"""Several cleaners over one store: one works, and another takes its place when it stands still."""

from __future__ import annotations

import asyncio

import pytest

from dovetail.messaging.v1 import messaging_pb2 as m
from dovetail.server.admin import cleaner
from dovetail.server.admin.cleaner import Cleaner
from dovetail.server.retention import DEFAULT
from dovetail.server.store import doctor
from dovetail.server.store.removal import fronts
from dovetail.server.store.removal.looks import Policy
from dovetail.server.store.store import Store
from dovetail.server.store.tables.credentials import NO_TEAM
from dovetail.server.store.transaction import Transaction
from support.cleaning import NOW, keep
from support.teams import Team

MESSAGES = 600
COUNTERS = ("inbox counters", "team counters", "message counters")


def cleaner_of(store: Store) -> Cleaner:
    """One that keeps nothing, not even for the hour that everything is kept."""
    return Cleaner(store, Policy(default=DEFAULT, kept_micros=0), period=60.0, pause_ratio=0.0)


async def done_with(team: Team, count: int) -> None:
    """So many messages that nobody needs any more."""
    alice, bob = await team.known("alice", "bob")
    each = m.SendMessageRequest(recipient_ids=["bob"], body="done")
    await alice.call(m.BatchSendMessagesRequest(requests=[each] * count))
    await bob.acknowledge(through_sequence=count)
    await keep(team, message_age=NOW)


async def left(team: Team) -> int:
    """How many messages of the team are there."""
    return len((await team.caller().list_messages(page_size=1_000)).records)


async def test_cleaners_of_two_servers_remove_each_message_once(team: Team) -> None:
    await done_with(team, MESSAGES)
    both = [cleaner_of(each) for each in (team.pair.messaging_store, team.pair.tasks_store)]
    while await left(team):
        await asyncio.gather(*(each.round() for each in both))
    found = {each.check: each.level for each in doctor.check_store(team.pair.store_url)}
    assert {found[check] for check in COUNTERS} == {doctor.Level.OK}
    bob = await team.caller("bob").look()
    assert (bob.first_sequence, bob.last_sequence) == (MESSAGES + 1, MESSAGES)


async def test_a_cleaner_that_stands_still_is_replaced_and_told_so(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = team.pair.messaging_store
    await done_with(team, 20)

    def begin(transaction: Transaction) -> bool:
        return fronts.take(transaction, "another", fronts.duty(transaction))

    assert await store.write(NO_TEAM, begin)
    waiting = cleaner_of(store)
    await waiting.round()
    assert await left(team) == 20, "another is at work"
    assert await store.write(NO_TEAM, lambda t: fronts.go_on(t, "another"))
    monkeypatch.setattr(cleaner, "ABANDONED_SECONDS", 0.0)
    await waiting.round()
    assert await left(team) == 0, "its turns stood still"
    assert not await store.write(NO_TEAM, lambda t: fronts.go_on(t, "another"))
