"""An inbox: in order, each once, resumed by itself, closed for good."""

from __future__ import annotations

import asyncio

import pytest

from client.conftest import Connect
from dovetail.client import Agent, Inbox, OutOfRangeError
from dovetail.server.runtime import RunningServer
from support.waiting import until


async def take(inbox: Inbox, count: int) -> list[str]:
    return [(await anext(inbox)).body for _ in range(count)]


async def until_nobody_watches(messaging: RunningServer) -> None:
    await until(lambda: not messaging.store.bells.watched())


async def test_messages_come_from_the_backlog_and_then_live(alice: Agent):
    await alice.send("alice", "one")
    async with alice.inbox() as inbox:
        assert await take(inbox, 1) == ["one"]
        await alice.send("alice", "two")
        assert await take(inbox, 1) == ["two"]
        assert inbox.through_sequence == 2


async def test_an_acknowledged_message_does_not_come_again(alice: Agent):
    for body in ("one", "two", "three", "four"):
        await alice.send("alice", body)
    async with alice.inbox() as inbox:
        await (await anext(inbox)).acknowledge()
    answer = await alice.acknowledge([3])
    assert (answer.acknowledged_count, answer.unacknowledged_count) == (1, 2)
    async with alice.inbox() as inbox:
        assert await take(inbox, 2) == ["two", "four"]
    assert (await alice.acknowledge(through=4)).acknowledged_count == 2
    async with alice.inbox() as inbox:
        assert [message async for message in inbox.backlog()] == []
    async with alice.inbox(include_acknowledged=True) as inbox:
        again = [message async for message in inbox.backlog()]
    assert [(message.body, message.acknowledged) for message in again] == [
        ("one", True),
        ("two", True),
        ("three", True),
        ("four", True),
    ]


async def test_an_inbox_begins_where_it_is_told_to(alice: Agent):
    for body in ("one", "two"):
        await alice.send("alice", body)
    async with alice.inbox(after_sequence=1) as inbox:
        assert await take(inbox, 1) == ["two"]
    async with alice.inbox(position="now") as inbox:
        assert [message async for message in inbox.backlog()] == []
        await alice.send("alice", "three")
        assert await take(inbox, 1) == ["three"]


async def test_an_inbox_of_another_is_read_and_acknowledged_as_the_other_s(
    alice: Agent, bob: Agent
):
    await alice.send("bob", "to bob", labels={"a": "b"})
    await alice.send("bob", "to bob too")
    async with alice.inbox("bob", labels={"a": "b"}) as inbox:
        (message,) = [message async for message in inbox.backlog()]
        await message.acknowledge()
    assert (await bob.agent()).unacknowledged_count == 1


async def test_max_outstanding_holds_messages_back_until_some_are_acknowledged(alice: Agent):
    for body in ("one", "two", "three"):
        await alice.send("alice", body)
    async with alice.inbox(max_outstanding=2) as inbox:
        first = await anext(inbox)
        assert await take(inbox, 1) == ["two"]
        await first.acknowledge()
        assert await take(inbox, 1) == ["three"]


async def test_giving_up_waiting_loses_nothing(alice: Agent):
    """Each time at another moment of what happens inside."""
    taken: list[str] = []

    async def take_one(inbox: Inbox) -> None:
        taken.append((await anext(inbox)).body)

    async with alice.inbox() as inbox:
        for turns in range(40):
            await alice.send("alice", str(turns))
            waiting = asyncio.create_task(take_one(inbox))
            for _ in range(turns):
                await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait((waiting,))
        while len(taken) < 40:
            await take_one(inbox)
    assert taken == [str(number) for number in range(40)]


async def test_a_wrong_request_is_raised_and_not_repeated(alice: Agent, messaging: RunningServer):
    async with alice.inbox(after_sequence=9) as inbox:
        with pytest.raises(OutOfRangeError) as beyond:
            await anext(inbox)
    assert beyond.value.reason == "CURSOR_IN_FUTURE"
    await until_nobody_watches(messaging)


async def test_a_closed_inbox_leaves_no_stream_open(alice: Agent, messaging: RunningServer):
    async with alice.inbox() as inbox:
        await alice.send("alice", "x")
        assert await take(inbox, 1) == ["x"]
        waiting = asyncio.create_task(anext(inbox))
        await alice.send("alice", "y")
        assert (await waiting).body == "y"
        assert messaging.store.bells.watched()
    await until_nobody_watches(messaging)
    with pytest.raises(StopAsyncIteration):
        await anext(inbox)


async def test_closing_wakes_who_waits(alice: Agent, messaging: RunningServer):
    inbox = alice.inbox()
    waiting = asyncio.create_task(anext(inbox, None))
    await until(lambda: bool(messaging.store.bells.watched()))
    await inbox.aclose()
    assert await waiting is None
    await until_nobody_watches(messaging)


async def test_an_iterator_that_is_given_up_ends_with_its_connection(
    connected: Connect, messaging: RunningServer
):
    async with connected("carol") as carol:
        await carol.register()
        await carol.send("carol", "x")
        async for message in carol.inbox():
            assert message.body == "x"
            break
        assert messaging.store.bells.watched()
    await until_nobody_watches(messaging)
