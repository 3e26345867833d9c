"""Batches of messages: one commit, all or none, in order."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from dovetail.messaging.v1 import messaging_pb2 as pb
from store.opened import held, queued
from support.callers import Caller, sequences
from support.pair import running_pair
from support.refusals import error_info, failure
from support.teams import Team


def to(*recipient_ids: str, **fields: Any) -> pb.SendMessageRequest:
    return pb.SendMessageRequest(recipient_ids=recipient_ids, **fields)


async def send_all(
    sender: Caller, *requests: pb.SendMessageRequest, request_id: str = ""
) -> pb.BatchSendMessagesResponse:
    batch = pb.BatchSendMessagesRequest(requests=requests, request_id=request_id)
    response = await sender.call(batch)
    assert isinstance(response, pb.BatchSendMessagesResponse)
    return response


def bodies(deliveries: list[pb.Delivery]) -> list[str]:
    return [each.message.body for each in deliveries]


async def test_a_batch_is_delivered_in_its_order(team: Team) -> None:
    alice, bob, eve = await team.known("alice", "bob", "eve")
    await alice.send("bob", body="before")
    sent = await send_all(
        alice,
        to("bob", body="one"),
        to("eve", "bob", "alice", body="two"),
        to("bob", "bob", body="three", thread_id="plans"),
        to("alice", body="four"),
    )
    found = await bob.backlog()
    assert bodies(found) == ["before", "one", "two", "three"]
    assert sequences(found) == [1, 2, 3, 4]
    assert bodies(await eve.backlog()) == ["two"]
    assert bodies(await alice.backlog()) == ["two", "four"]
    first, second, third, _ = sent.messages
    ids = [each.message.message_id for each in found[1:]]
    assert ids == [first.message_id, second.message_id, third.message_id]
    assert third.thread_id == "plans" == found[-1].message.thread_id
    assert first.thread_id == first.message_id
    assert {each.message.create_time.ToNanoseconds() for each in found[1:]} == {
        sent.create_time.ToNanoseconds()
    }
    receipts = (await alice.read(second.message_id)).receipts
    assert [each.recipient_id for each in receipts] == ["eve", "bob", "alice"]


async def test_an_open_stream_gets_a_batch_in_order(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    async with bob.inbox() as inbox:
        await inbox.backlog()
        for size in (1, 400, 1_000):
            await send_all(alice, *(to("bob", body=str(number)) for number in range(size)))
            assert bodies(await inbox.take(size)) == [str(number) for number in range(size)]


async def test_batches_at_once_do_not_mix(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    batches = [[to("bob", body=f"{batch} {at}") for at in range(20)] for batch in range(8)]
    await asyncio.gather(*(send_all(alice, *each) for each in batches))
    found = bodies(await bob.backlog())
    parts = [found[start : start + 20] for start in range(0, 160, 20)]
    assert sorted(parts) == [[each.body for each in batch] for batch in batches]


REFUSALS = (
    (to("bob", "nobody"), "AGENT_NOT_FOUND", "nobody"),
    (to("bob", in_reply_to="m999"), "MESSAGE_NOT_FOUND", "requests[1].in_reply_to"),
    (to("bob", task_id="t999"), "TASK_NOT_FOUND", "requests[1].task_id"),
)


@pytest.mark.parametrize(("wrong", "reason", "named"), REFUSALS)
async def test_one_that_is_refused_refuses_all(
    team: Team, wrong: pb.SendMessageRequest, reason: str, named: str
) -> None:
    alice, bob = await team.known("alice", "bob")
    error = await failure(send_all(alice, to("bob"), wrong, request_id="r"))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert error_info(error).reason == reason
    assert named in str(error.details())
    assert await bob.backlog() == []
    # The id is free: nothing was written under it.
    assert len((await send_all(alice, to("bob"), request_id="r")).messages) == 1


async def test_replies_in_a_batch_join_their_threads(team: Team) -> None:
    alice, bob, eve = await team.known("alice", "bob", "eve")
    questions = [await alice.send("bob", body=body) for body in "??"]
    secret = await alice.send("eve", body="?")
    replies = [to("alice", in_reply_to=each.message_id) for each in questions]
    sent = await send_all(bob, to("alice"), *replies, replies[0])
    threads = [each.thread_id for each in (*questions, questions[0])]
    assert [each.thread_id for each in sent.messages[1:]] == threads
    # In one group of units with what they reply to.
    async with held(team.pair.messaging_store, team.team_id):
        more = await queued(eve.send("bob", body="!"), send_all(bob, *replies))
    assert len((await asyncio.gather(*more))[1].messages) == 2
    assert secret.thread_id not in threads


async def test_a_repeat_sends_once_and_answers_the_same(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    batch = [to("bob", body=str(number), thread_id=f"thread {number}") for number in range(30)]
    first = await send_all(alice, *batch, request_id="r")
    await alice.send("bob", body="after")
    assert await send_all(alice, *batch, request_id="r") == first
    assert len(await bob.backlog()) == 31
    for other in (alice.send("bob", request_id="r"), send_all(alice, *batch[:-1], request_id="r")):
        assert error_info(await failure(other)).reason == "REQUEST_ID_REUSED"
    assert len(await bob.backlog()) == 31


async def test_a_repeat_after_a_restart_answers_the_same(store_url: str) -> None:
    batch = [to("bob", body=str(number)) for number in range(3)]
    async with running_pair(store_url) as pair:
        alice, _ = await Team(pair).known("alice", "bob")
        first = await send_all(alice, *batch, request_id="r")
    async with running_pair(store_url) as pair:
        assert await send_all(Team(pair).caller("alice"), *batch, request_id="r") == first


async def test_a_batch_to_ten_thousand_recipients_in_all(team: Team) -> None:
    everybody = [f"agent {number}" for number in range(100)]
    alice, *others = await team.known("alice", *everybody)
    sent = await send_all(alice, *(to(*everybody, body=str(number)) for number in range(100)))
    assert len(sent.messages) == 100
    assert bodies(await others[-1].backlog()) == [str(number) for number in range(100)]


async def test_a_caller_without_an_agent_sends_none(team: Team) -> None:
    (bob,) = await team.known("bob")
    error = await failure(send_all(team.caller(), to("bob")))
    assert error_info(error).reason == error_info(await failure(team.caller().send("bob"))).reason
    assert await bob.backlog() == []
