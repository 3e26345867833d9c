"""The number of series does not grow with agents, teams and tasks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from dovetail.messaging.v1 import messaging_pb2 as talk
from dovetail.server.access.rights import RIGHTS
from dovetail.server.errors import Reason
from dovetail.server.store.tables import agents
from dovetail.server.store.transaction import Transaction
from metrics.conftest import SETTINGS
from support.pair import Pair, running_pair
from support.scraping import Series, scrape
from support.teams import Team, new_team_id

AGENTS, TEAMS, BATCH = 10_000, 10, 500
AT_ONCE = 64


@pytest.fixture
async def pair(sqlite_url: str) -> AsyncGenerator[Pair]:
    async with running_pair(sqlite_url, **SETTINGS) as pair:
        yield pair


async def series(pair: Pair) -> set[Series]:
    """All series of both servers."""
    both = pair.messaging_metrics, pair.tasks_metrics
    return {each for address in both for each in (await scrape(address)).samples}


async def registered(team: Team, names: list[str]) -> None:
    """Register agents by units of many, not by a call each."""

    def unit(transaction: Transaction, some: list[str]) -> None:
        for name in some:
            agents.touch(transaction, name)

    store = team.pair.messaging_store
    for start in range(0, len(names), BATCH):
        some = names[start : start + BATCH]
        await store.write(team.team_id, lambda transaction, some=some: unit(transaction, some))


async def once(team: Team, names: list[str]) -> None:
    """Each agent sends, to itself; each twentieth makes a task and is refused another."""
    places = asyncio.Semaphore(AT_ONCE)

    async def act(number: int, name: str) -> None:
        async with places:
            caller = team.caller(name)
            if number % 20:
                return
            await caller.send(name, subject="hello")
            await caller.made(task_id=f"task of {name}")
            with pytest.raises(Exception, match="never reused"):
                await caller.made(task_id=f"task of {name}")

    await asyncio.gather(*(act(number, name) for number, name in enumerate(names)))
    for start in range(0, len(names), BATCH):
        batch = [
            talk.SendMessageRequest(recipient_ids=[name], body="hi")
            for name in names[start : start + BATCH]
        ]
        await team.caller(names[0]).call(talk.BatchSendMessagesRequest(requests=batch))


async def test_ten_thousand_agents_add_no_series(pair: Pair) -> None:
    one = Team.new(pair)
    await registered(one, ["one"])
    await once(one, ["one"])
    before = await series(pair)
    for number in range(TEAMS):
        team = Team(pair, new_team_id())
        names = [f"agent {number}-{each}" for each in range(AGENTS // TEAMS)]
        await registered(team, names)
        await once(team, names)
    after = await series(pair)
    assert after == before
    for name, labels in after:
        assert not any("agent" in value or "team" in value for _, value in labels), (name, labels)


async def test_a_method_that_does_not_exist_makes_no_series(pair: Pair) -> None:
    before = await series(pair)
    for number in range(100):
        call = pair.messaging_channel.unary_unary(f"/dovetail.messaging.v1.Any/Method{number}")
        with pytest.raises(Exception, match="UNIMPLEMENTED"):
            await call(b"")
    assert await series(pair) == before


def test_labels_are_of_the_contract() -> None:
    """What bounds the series: methods, by status and bucket, and reasons."""
    assert len(RIGHTS) < 100
    assert len(Reason) < 100
