"""Teams: nothing of another team is ever seen."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from dovetail.messaging.v1 import messaging_pb2 as pb
from dovetail.tasks.v1 import tasks_pb2
from messaging.talk import Agent, bob_with, known, refusal, sequences
from support.pair import Pair
from support.refusals import error_info


@pytest.fixture
def pair(own_pair: Pair) -> Pair:
    """Servers of each test's own: these tests look at all that a server has."""
    return own_pair


async def test_no_call_sees_anything_of_another_team(pair: Pair) -> None:
    await bob_with(pair, 3)
    mallory = Agent(pair.messaging, "mallory", "red")
    await mallory.register()
    listed = await mallory.list_agents()
    assert [agent.agent_id for agent in listed.agents] == ["mallory"]
    assert not (await mallory.list_messages()).records
    refused = {
        "AGENT_NOT_FOUND": [
            mallory.look(agent_id="bob"),
            mallory.send("bob"),
            mallory.backlog(agent_id="bob"),
            mallory.acknowledge(agent_id="bob", through_sequence=1),
            mallory.list_messages(recipient_id="bob"),
        ],
        "MESSAGE_NOT_FOUND": [mallory.read("m1"), mallory.send("mallory", in_reply_to="m1")],
    }
    for reason, calls in refused.items():
        for call in calls:
            error = await refusal(call)
            assert error.code() is grpc.StatusCode.NOT_FOUND
            assert error_info(error).reason == reason
            assert error_info(error).metadata.get("nearest_ids", "[]") == "[]"


async def test_a_message_cannot_be_about_a_task_of_another_team(pair: Pair) -> None:
    await pair.tasks.CreateTask(tasks_pb2.CreateTaskRequest(task_id="t", title="T"))
    mallory = Agent(pair.messaging, "mallory", "red")
    error = await refusal(mallory.send("mallory", task_id="t"))
    assert error_info(error).reason == "TASK_NOT_FOUND"


async def test_teams_number_their_messages_and_inboxes_by_themselves(pair: Pair) -> None:
    await bob_with(pair, 3)
    (red_bob,) = await known(pair, "bob", team_id="red")
    sent = await red_bob.send("bob")
    assert (sent.message_id, sent.receipts[0].sequence) == ("m1", 1)


async def test_a_stream_hears_of_its_own_team_only(pair: Pair) -> None:
    (blue,) = await known(pair, "bob", team_id="blue")
    (red,) = await known(pair, "bob", team_id="red")
    async with blue.inbox() as blue_inbox, red.inbox() as red_inbox:
        assert await blue_inbox.backlog() == await red_inbox.backlog() == []
        await asyncio.gather(*(red.send("bob", body="red") for _ in range(5)))
        await blue.send("bob", body="blue")
        (delivery,) = await blue_inbox.take(1)
        assert (delivery.receipt.sequence, delivery.message.body) == (1, "blue")
        assert {each.message.body for each in await red_inbox.take(5)} == {"red"}


async def test_threads_of_one_name_are_separate(pair: Pair) -> None:
    for team_id in ("blue", "red"):
        (bob,) = await known(pair, "bob", team_id=team_id)
        await bob.send("bob", subject=team_id, thread_id="plans")
    plans = pb.MessageFilter(thread_id="plans")
    red = Agent(pair.messaging, "bob", "red")
    found = (await red.list_messages(filter=plans)).records
    assert [record.message.subject for record in found] == ["red"]
    assert sequences(await red.backlog(filter=plans)) == [1]


async def test_the_default_team_is_called_default(pair: Pair) -> None:
    (bob,) = await known(pair, "bob")
    assert (await Agent(pair.messaging, "", "default").look(agent_id="bob")) == await bob.look()
