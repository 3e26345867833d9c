"""Receiving: what waits in an inbox, without a stream."""

from __future__ import annotations

import asyncio

import pytest

from client.conftest import Connect
from dovetail.client import Agent, InvalidArgumentError, OutOfRangeError, ReceivedMessage
from dovetail.server.runtime import RunningServer
from support.waiting import until


def bodies(messages: list[ReceivedMessage]) -> list[str]:
    return [message.body for message in messages]


async def test_an_empty_inbox_is_answered_at_once(alice: Agent):
    assert await alice.receive() == []


async def test_what_is_received_comes_again_until_it_is_acknowledged(alice: Agent):
    for body in ("one", "two", "three"):
        await alice.send("alice", body)
    assert bodies(await alice.receive(max_messages=2)) == ["one", "two"]
    first, *_ = await alice.receive()
    await first.acknowledge()
    left = await alice.receive()
    assert bodies(left) == ["two", "three"]
    assert await alice.receive(acknowledge=[message.sequence for message in left]) == []


async def test_one_call_acknowledges_and_receives(alice: Agent):
    for body in ("one", "two", "three"):
        await alice.send("alice", body)
    assert bodies(await alice.receive(acknowledge_through=2)) == ["three"]
    with pytest.raises(OutOfRangeError) as beyond:
        await alice.receive(acknowledge=[4])
    assert beyond.value.reason == "CURSOR_IN_FUTURE"


async def test_a_message_that_comes_ends_the_wait(alice: Agent, messaging: RunningServer):
    receiving = asyncio.create_task(alice.receive(max_wait=50))
    await until(lambda: bool(messaging.store.bells.watched()))
    await alice.send("alice", "here")
    assert bodies(await receiving) == ["here"]


async def test_a_wait_may_be_longer_than_a_call(connected: Connect):
    async with connected("carol", timeout=1) as carol:
        await carol.register()
        assert await carol.receive(max_wait=1.5) == []


async def test_a_wait_beyond_the_limit_is_refused(alice: Agent):
    with pytest.raises(InvalidArgumentError) as wrong:
        await alice.receive(max_wait=60)
    assert [violation.field for violation in wrong.value.violations] == ["max_wait"]


async def test_an_inbox_of_another_is_acknowledged_as_the_other_s(alice: Agent, bob: Agent):
    await alice.send("bob", "x")
    (message,) = await alice.receive("bob")
    await message.acknowledge()
    assert await bob.receive() == []


async def test_a_filter_chooses(alice: Agent, bob: Agent):
    await alice.send("bob", "of alice")
    await bob.send("bob", "of bob")
    chosen = await bob.receive(sender="bob")
    assert bodies(chosen) == ["of bob"]
