"""Presence: what agents have open, over all server processes, also after one was killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import pytest

from dovetail.messaging.v1 import messaging_pb2 as pb
from dovetail.server.access.caller import Caller as ServerCaller
from dovetail.server.presence import Presence
from dovetail.server.store.store import Store
from dovetail.server.store.tables import agents, credentials, presence
from dovetail.server.store.tables.credentials import NO_TEAM
from dovetail.server.store.tables.presence import Count
from store.opened import TEAM, opened
from support.callers import Caller, seconds
from support.pair import Pair, running_pair
from support.teams import Team
from support.waiting import until

PERIOD = 0.1
BOB = ServerCaller(team_id=TEAM, agent_id="bob")


@pytest.fixture(scope="module")
async def quick(shared_url: str) -> AsyncGenerator[Pair]:
    """Both services, which tell each other very often."""
    async with running_pair(shared_url, presence_seconds=PERIOD) as pair:
        yield pair


async def counts(caller: Caller, agent_id: str = "bob") -> Count:
    """What an agent has open, as the messaging server says."""
    agent = await caller.look(agent_id=agent_id)
    (listed,) = [each for each in (await caller.list_agents()).agents if each.agent_id == agent_id]
    assert {agent.open_streams, listed.open_streams} <= {0, 1, 2}
    return Count(agent.open_streams, agent.waiting_calls)


async def shows(caller: Caller, streams: int, calls: int) -> None:
    """Wait until bob has so much open."""

    async def is_shown() -> bool:
        return await counts(caller) == Count(streams, calls)

    await until(is_shown)


async def test_an_agent_shows_what_it_has_open_at_either_server(quick: Pair) -> None:
    team = Team.new(quick)
    ann, bob = await team.known("ann", "bob")
    assert await counts(ann) == Count()
    async with bob.inbox() as own, ann.inbox(agent_id="bob") as others:
        await own.backlog()
        await others.backlog()
        # The server that has the stream knows it at once; ann's counts for ann alone.
        assert await counts(ann) == Count(1, 0)
        assert (await counts(ann, "ann")).open_streams == 1
        async with bob.watch() as watch:
            await watch.backlog()
            await shows(ann, 2, 0)
            waiting = await team.waiting(bob, max_wait=50)
            receive = bob.call(pb.ReceiveMessagesRequest(max_wait=seconds(50)))
            receiving = asyncio.create_task(receive)
            await shows(ann, 2, 2)
            await ann.made(assignee_id="bob")
            await asyncio.gather(waiting, receiving)
            await shows(ann, 2, 0)
        await shows(ann, 1, 0)
    await shows(ann, 0, 0)


async def test_of_a_team_or_an_agent_that_never_was_nothing_is_kept(quick: Pair) -> None:
    team, other = Team.new(quick), Team.new(quick)
    bob = team.caller("bob")
    (known,) = await other.known("bob")
    async with bob.watch() as watch:
        await watch.backlog()
        async with known.watch() as later:  # What is told of it was told after that of the other.
            await later.backlog()
            await shows(known, 1, 0)
        assert await quick.tasks_store.read(team.team_id, _rows) == []
        assert await quick.tasks_store.read(NO_TEAM, partial(_team, team_id=team.team_id)) is None
        # Once it is known, the others hear of it.
        await bob.register()
        await shows(bob, 1, 0)


def _team(snapshot: Any, team_id: str) -> Any:
    return credentials.find_team(snapshot, team_id)


def _rows(snapshot: Any) -> list[Any]:
    return presence.of_agents(snapshot, ["bob"])


@asynccontextmanager
async def process(store: Store, **settings: Any) -> AsyncGenerator[Presence]:
    """What one server process knows of presence. It is killed at the end: it tells nobody."""
    alive = Presence(store, settings.get("period", PERIOD))
    alive.start()
    try:
        yield alive
    finally:
        assert alive._task
        alive._task.cancel()
        alive._stays.close()


async def seen_by(other: Presence, store: Store) -> Count:
    """What bob has open, as one process knows it."""
    told = await store.read(TEAM, _rows)
    (count,) = other.of(TEAM, ["bob"], told)
    return count


@pytest.fixture
async def store(store_url: str) -> AsyncGenerator[Store]:
    """A store with one agent, bob."""
    async with opened(store_url) as opened_store:
        await opened_store.write(TEAM, lambda t: agents.register(t, "bob"))
        yield opened_store


async def test_what_a_killed_process_told_counts_no_more(store: Store) -> None:
    async with AsyncExitStack() as stack:
        looking = await stack.enter_async_context(process(store))
        async with process(store) as other, process(store) as third:
            stack.enter_context(other.stream(BOB))
            stack.enter_context(other.stream(BOB))
            with third.waiting(BOB):
                await until(lambda: _is(looking, store, Count(2, 1)))
                # It goes on to be seen, for much longer than a beat lasts.
                beats = other._beats
                while other._beats < beats + 5:
                    assert await seen_by(looking, store) == Count(2, 1)
            await until(lambda: _is(looking, store, Count(2, 0)))
        # Killed, with two streams open. One that starts now has not seen it alive.
        late = await stack.enter_async_context(process(store))
        await until(lambda: late._has_looked)
        assert await seen_by(late, store) == Count()
        await until(lambda: _is(looking, store, Count()))
        # In the end what it told is removed.
        await until(lambda: _has_none(store))


async def _is(looking: Presence, store: Store, count: Count) -> bool:
    return await seen_by(looking, store) == count


async def _has_none(store: Store) -> bool:
    rows = await store.read(TEAM, _rows)
    beats = await store.read(NO_TEAM, presence.beats)
    return not rows and not beats


async def test_a_process_that_was_forgotten_tells_again_and_one_that_stops_leaves_nothing(
    store: Store,
) -> None:
    async with process(store) as looking, process(store) as other:
        with other.stream(BOB):
            await until(lambda: _is(looking, store, Count(1, 0)))
            # As others do with one that stood still for long.
            await store.write(TEAM, lambda t: presence.forget(t, other._process_id))
            await store.write(NO_TEAM, lambda t: presence.forget_process(t, other._process_id))
            await until(lambda: _is(looking, store, Count(1, 0)))
        with other.stream(BOB):
            await until(lambda: _is(looking, store, Count(1, 0)))
            await other.finish()
            assert await _has_none(store)
            assert await seen_by(looking, store) == Count()


async def test_idle_streams_cost_one_row_for_all_of_them(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"agent-{number}" for number in range(1_000)]
    await store.write(TEAM, lambda t: [agents.register(t, name) for name in names][:0])
    written: list[str] = []
    write = store.write

    async def counted(team_id: str, *args: Any, **kwargs: Any) -> Any:
        written.append(team_id)
        return await write(team_id, *args, **kwargs)

    async with AsyncExitStack() as stack:
        busy = await stack.enter_async_context(process(store))
        for name in names:
            caller = ServerCaller(team_id=TEAM, agent_id=name)
            stack.enter_context(busy.stream(caller))
        await until(lambda: len(busy._told) == 1_000)
        monkeypatch.setattr(store, "write", counted)
        beats = busy._beats
        await until(lambda: busy._beats >= beats + 5)
        assert set(written) == {NO_TEAM}
        assert len(written) <= busy._beats - beats + 1
        # A call that comes and goes within a period is not written at all.
        with busy.waiting(BOB):
            pass
        await until(lambda: busy._beats >= beats + 8)
        assert set(written) == {NO_TEAM}
