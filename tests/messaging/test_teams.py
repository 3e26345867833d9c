"""Teams: nothing of another team is ever seen."""

from __future__ import annotations

import asyncio

import grpc

from dovetail.messaging.v1 import messaging_pb2 as pb
from dovetail.tasks.v1 import tasks_pb2
from support.callers import sequences
from support.pair import Pair
from support.refusals import error_info, failure
from support.teams import Team


async def test_no_call_sees_anything_of_another_team(pair: Pair) -> None:
    await Team(pair).bob_with(3)
    mallory = Team(pair, "red").caller("mallory")
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
            error = await failure(call)
            assert error.code() is grpc.StatusCode.NOT_FOUND
            assert error_info(error).reason == reason
            assert error_info(error).metadata.get("nearest_ids", "[]") == "[]"


async def test_a_message_cannot_be_about_a_task_of_another_team(pair: Pair) -> None:
    await pair.tasks.CreateTask(tasks_pb2.CreateTaskRequest(task_id="t", title="T"))
    mallory = Team(pair, "red").caller("mallory")
    error = await failure(mallory.send("mallory", task_id="t"))
    assert error_info(error).reason == "TASK_NOT_FOUND"


async def test_teams_number_their_messages_and_inboxes_by_themselves(pair: Pair) -> None:
    await Team(pair).bob_with(3)
    (red_bob,) = await Team(pair, "red").known("bob")
    sent = await red_bob.send("bob")
    assert (sent.message_id, sent.receipts[0].sequence) == ("m1", 1)


async def test_a_stream_hears_of_its_own_team_only(pair: Pair) -> None:
    (blue,) = await Team(pair, "blue").known("bob")
    (red,) = await Team(pair, "red").known("bob")
    async with blue.inbox() as blue_inbox, red.inbox() as red_inbox:
        assert await blue_inbox.backlog() == await red_inbox.backlog() == []
        await asyncio.gather(*(red.send("bob", body="red") for _ in range(5)))
        await blue.send("bob", body="blue")
        (delivery,) = await blue_inbox.take(1)
        assert (delivery.receipt.sequence, delivery.message.body) == (1, "blue")
        assert {each.message.body for each in await red_inbox.take(5)} == {"red"}


async def test_threads_of_one_name_are_separate(pair: Pair) -> None:
    for team_id in ("blue", "red"):
        (bob,) = await Team(pair, team_id).known("bob")
        await bob.send("bob", subject=team_id, thread_id="plans")
    plans = pb.MessageFilter(thread_id="plans")
    red = Team(pair, "red").caller("bob")
    found = (await red.list_messages(filter=plans)).records
    assert [record.message.subject for record in found] == ["red"]
    assert sequences(await red.backlog(filter=plans)) == [1]


async def test_the_default_team_is_called_default(pair: Pair) -> None:
    (bob,) = await Team(pair).known("bob")
    assert (await Team(pair, "default").caller().look(agent_id="bob")) == await bob.look()
