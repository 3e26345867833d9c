"""Listings with a filter that no index leads: each page looks at a bounded number of rows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from dovetail.messaging.v1 import messaging_pb2
from dovetail.server.store import pages
from dovetail.tasks.v1 import tasks_pb2 as pb
from dovetail.types.v1 import types_pb2
from support.teams import Team

STEP = 5
COUNT = 23
ORDERS = (types_pb2.ORDER_OLDEST_FIRST, types_pb2.ORDER_NEWEST_FIRST)
RARE = {"kind": "rare"}


@pytest.fixture(autouse=True)
def short_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "STEP_ROWS", STEP)


def labels(number: int) -> dict[str, str]:
    """A few have what is looked for: the second, the last, and two beside each other."""
    return RARE if number in (1, 11, 12, COUNT - 1) else {}


async def every(page: Callable[[str], Awaitable[Any]], field: str) -> tuple[list[Any], list[int]]:
    """All items, page by page, and how many each page had."""
    found: list[Any] = []
    sizes: list[int] = []
    token = ""
    while True:
        answer = await page(token)
        items = list(getattr(answer, field))
        found += items
        sizes.append(len(items))
        token = answer.next_page_token
        if not token:
            return found, sizes


@pytest.mark.parametrize("order", ORDERS)
async def test_tasks_are_found_step_by_step(team: Team, order: types_pb2.Order.ValueType) -> None:
    joe = team.caller("joe")
    made = [await joe.made(labels=labels(number)) for number in range(COUNT)]
    wanted = [task.task_id for task in made if task.labels]
    filter = pb.TaskFilter(labels=RARE)
    found, sizes = await every(
        lambda token: joe.page(filter=filter, order=order, page_token=token), "tasks"
    )
    expected = wanted if order == types_pb2.ORDER_OLDEST_FIRST else wanted[::-1]
    assert [task.task_id for task in found] == expected
    assert len(sizes) == -(-COUNT // STEP)
    assert 0 in sizes


@pytest.mark.parametrize("order", ORDERS)
async def test_messages_are_found_step_by_step(
    team: Team, order: types_pb2.Order.ValueType
) -> None:
    joe, _ = await team.known("joe", "ann")
    sent: list[str] = []
    for number in range(COUNT):
        request = messaging_pb2.SendMessageRequest(
            recipient_ids=["ann"], body="x", labels=labels(number)
        )
        answer = await team.pair.messaging.SendMessage(request, metadata=joe.metadata)
        sent += [answer.message_id] if labels(number) else []
    filter = messaging_pb2.MessageFilter(labels=RARE)

    def page(token: str) -> Awaitable[Any]:
        request = messaging_pb2.ListMessagesRequest(filter=filter, order=order, page_token=token)
        return team.pair.messaging.ListMessages(request, metadata=joe.metadata)

    found, sizes = await every(page, "records")
    expected = sent if order == types_pb2.ORDER_OLDEST_FIRST else sent[::-1]
    assert [record.message.message_id for record in found] == expected
    assert len(sizes) == -(-COUNT // STEP)
    assert 0 in sizes


async def test_agents_are_found_step_by_step(team: Team) -> None:
    joe = team.caller("joe")
    for number in range(COUNT):
        request = messaging_pb2.RegisterAgentRequest(
            agent_id=f"a{number:02}", labels=labels(number)
        )
        await team.pair.messaging.RegisterAgent(request, metadata=joe.metadata)

    def page(token: str) -> Awaitable[Any]:
        request = messaging_pb2.ListAgentsRequest(labels=RARE, page_token=token)
        return team.pair.messaging.ListAgents(request, metadata=joe.metadata)

    found, sizes = await every(page, "agents")
    assert [agent.agent_id for agent in found] == ["a01", "a11", "a12", f"a{COUNT - 1}"]
    assert len(sizes) == -(-(COUNT + 1) // STEP)  # One more: who registered them.


async def test_where_an_index_leads_a_page_is_full(team: Team) -> None:
    joe = team.caller("joe")
    for number in range(COUNT):
        await joe.made(labels=labels(number))
    for filter in (
        pb.TaskFilter(states=[pb.TASK_STATE_PENDING], labels=RARE),
        pb.TaskFilter(unassigned=True, labels=RARE),
    ):
        answer = await joe.page(filter=filter)
        assert (len(answer.tasks), answer.next_page_token) == (4, "")
    assert len((await joe.page()).tasks) == COUNT


async def test_a_filter_is_looked_for_to_the_end_though_tasks_are_made_meanwhile(
    team: Team,
) -> None:
    joe = team.caller("joe")
    for number in range(COUNT):
        await joe.made(labels=labels(number))
    filter = pb.TaskFilter(labels=RARE)
    first = await joe.page(filter=filter)
    late = await joe.made(labels=RARE)
    found, _ = await every(
        lambda token: joe.page(filter=filter, page_token=token or first.next_page_token), "tasks"
    )
    assert len(first.tasks) + len(found) == 5
    assert found[-1].task_id == late.task_id
