"""ReceiveMessages: the inbox for callers that cannot hold a stream."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from dovetail.messaging.v1 import messaging_pb2 as pb
from dovetail.messaging.v1 import messaging_pb2_grpc
from dovetail.server.store.tables import inboxes
from dovetail.tasks.v1 import tasks_pb2
from dovetail.types.v1 import types_pb2
from support.pair import Pair, identity, running
from support.refusals import bad_fields, error_info
from support.teams import Team
from support.waiting import until

BOB = identity("bob")


async def sent(pair: Pair, *bodies: str) -> None:
    await Team(pair).known("bob")
    for body in bodies:
        await Team(pair).caller("alice").send("bob", body=body)


def bodies(response: pb.ReceiveMessagesResponse) -> list[str]:
    return [delivery.message.body for delivery in response.deliveries]


async def receive(pair: Pair, **fields: object) -> pb.ReceiveMessagesResponse:
    request = pb.ReceiveMessagesRequest(**fields)  # type: ignore[arg-type]
    return await Team(pair).caller("bob").call(request)


async def test_it_answers_what_is_not_acknowledged_until_it_is(pair: Pair) -> None:
    await sent(pair, "one", "two", "three")
    first = await receive(pair, max_messages=2)
    assert bodies(first) == ["one", "two"]
    assert first.unacknowledged_count == 3
    assert bodies(await receive(pair, max_messages=2)) == ["one", "two"]
    last = await receive(pair, acknowledge_sequences=[2], acknowledge_through_sequence=1)
    assert bodies(last) == ["three"]
    assert (last.acknowledged_count, last.unacknowledged_count) == (2, 1)
    empty = await receive(pair, acknowledge_through_sequence=3)
    assert (bodies(empty), empty.acknowledged_count, empty.unacknowledged_count) == ([], 1, 0)


async def test_it_waits_and_is_woken_by_what_arrives(pair: Pair) -> None:
    await sent(pair)
    waiting = asyncio.ensure_future(receive(pair, max_wait=Duration(seconds=50)))
    await until(pair.messaging_store.bells.watched)
    assert not waiting.done()
    await sent(pair, "news")
    assert bodies(await waiting) == ["news"]
    assert pair.messaging_store.bells.watched() == []


async def test_it_is_woken_by_a_change_of_a_task_in_the_other_service(pair: Pair) -> None:
    await sent(pair)
    waiting = asyncio.ensure_future(receive(pair, max_wait=Duration(seconds=50)))
    create = tasks_pb2.CreateTaskRequest(title="Work", assignee_id="bob")
    await pair.tasks.CreateTask(create, metadata=identity("alice"))
    (delivery,) = (await waiting).deliveries
    assert delivery.message.notice.verb == types_pb2.TASK_VERB_ASSIGN


async def test_nothing_in_time_is_an_empty_answer(pair: Pair) -> None:
    await sent(pair)
    assert bodies(await receive(pair, max_wait=Duration(nanos=1_000_000))) == []


async def test_a_filter_chooses_and_what_it_leaves_stays(pair: Pair) -> None:
    await sent(pair, "one")
    request = pb.SendMessageRequest(
        recipient_ids=["bob"], body="high", importance=pb.IMPORTANCE_HIGH
    )
    await pair.messaging.SendMessage(request, metadata=identity("alice"))
    chosen = pb.MessageFilter(minimum_importance=pb.IMPORTANCE_HIGH)
    response = await receive(pair, filter=chosen)
    assert bodies(response) == ["high"]
    assert response.unacknowledged_count == 2


async def test_an_answer_ends_at_one_mebibyte(pair: Pair) -> None:
    await sent(pair, *("x" * 400_000 for _ in range(3)))
    assert len((await receive(pair)).deliveries) == 2


@pytest.mark.parametrize("agent_id", ["", "nobody"])
async def test_an_inbox_that_is_received_from_must_exist(pair: Pair, agent_id: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await receive(pair, agent_id=agent_id)
    assert error_info(caught.value).reason == "AGENT_NOT_FOUND"
    assert not (await pair.messaging.ListAgents(pb.ListAgentsRequest())).agents


async def test_a_sequence_in_the_future_acknowledges_nothing(pair: Pair) -> None:
    await sent(pair, "one")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await receive(pair, acknowledge_sequences=[1], acknowledge_through_sequence=2)
    assert error_info(caught.value).reason == "CURSOR_IN_FUTURE"
    assert bodies(await receive(pair)) == ["one"]


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"max_wait": Duration(seconds=51)}, "max_wait"),
        ({"max_wait": Duration(seconds=-1)}, "max_wait"),
        ({"max_messages": -1}, "max_messages"),
        ({"max_messages": 1_001}, "max_messages"),
        ({"acknowledge_sequences": [0]}, "acknowledge_sequences[0]"),
        ({"acknowledge_through_sequence": -1}, "acknowledge_through_sequence"),
        ({"filter": pb.MessageFilter(thread_id=" ")}, "filter.thread_id"),
    ],
)
async def test_bad_fields_are_named(pair: Pair, fields: dict[str, object], wrong: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await receive(pair, **fields)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert wrong in bad_fields(caught.value)


async def test_a_stopping_server_answers_those_who_wait(sqlite_url: str) -> None:
    async with AsyncExitStack() as clients:
        async with running("messaging", sqlite_url) as server:
            channel = grpc.aio.insecure_channel(server.address)
            await clients.enter_async_context(channel)
            stub = messaging_pb2_grpc.MessagingServiceStub(channel)
            await stub.RegisterAgent(pb.RegisterAgentRequest(), metadata=BOB)
            request = pb.ReceiveMessagesRequest(max_wait=Duration(seconds=50))
            waiting = asyncio.ensure_future(stub.ReceiveMessages(request, metadata=BOB))
            await until(server.store.bells.watched)
        assert bodies(await waiting) == []


async def test_a_filter_finds_what_lies_many_steps_away(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step looks at so many deliveries at most; the steps together skip none."""
    monkeypatch.setattr(inboxes, "FILTERED_ROWS", 3)
    await sent(pair, *(f"{number}" for number in range(10)))
    request = pb.SendMessageRequest(recipient_ids=["bob"], body="wanted")
    await pair.messaging.SendMessage(request, metadata=BOB)
    await sent(pair, "last")
    wanted = pb.MessageFilter(sender_ids=["bob"])
    assert bodies(await receive(pair, filter=wanted)) == ["wanted"]
    assert bodies(await receive(pair, filter=pb.MessageFilter(sender_ids=["nobody"]))) == []
    stream = pair.messaging.SubscribeInbox(pb.SubscribeInboxRequest(filter=wanted), metadata=BOB)
    found: list[str] = []
    async for response in stream:
        found += [delivery.message.body for delivery in response.deliveries]
        if response.mark == pb.STREAM_MARK_CAUGHT_UP:
            assert response.through_sequence == 12
            break
    stream.cancel()
    assert found == ["wanted"]
