"""Repeats: the same request_id sends once."""

from __future__ import annotations

import asyncio

import grpc

from dovetail.types.v1 import types_pb2
from support.callers import sequences
from support.refusals import error_info, failure
from support.teams import Team


async def test_a_repeat_answers_the_message_of_the_first_call(team: Team) -> None:
    alice, bob, _ = await team.known("alice", "bob", "eve")
    first = await alice.send("eve", "bob", body="once", request_id="r1")
    await alice.send("bob", body="other")
    assert await alice.send("eve", "bob", body="once", request_id="r1") == first
    assert sequences(await bob.backlog()) == [1, 2]


async def test_a_repeat_answers_the_same_after_an_acknowledgement(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    first = await alice.send("bob", request_id="r1")
    await bob.acknowledge(through_sequence=1)
    again = await alice.send("bob", request_id="r1")
    assert again.receipts[0].state == types_pb2.DELIVERY_STATE_ACKNOWLEDGED
    again.receipts[0].state = types_pb2.DELIVERY_STATE_UNACKNOWLEDGED
    again.receipts[0].ClearField("state_time")
    assert again == first
    assert await bob.backlog() == []


async def test_the_same_id_with_another_payload_is_refused(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    await alice.send("bob", body="one", request_id="r1")
    error = await failure(alice.send("bob", body="two", request_id="r1"))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error_info(error).reason == "REQUEST_ID_REUSED"
    assert error_info(error).metadata["request_id"] == "r1"
    assert [each.message.body for each in await bob.backlog()] == ["one"]


async def test_labels_in_another_order_are_the_same_payload(team: Team) -> None:
    alice, _ = await team.known("alice", "bob")
    pairs = [(f"key-{number}", "x") for number in range(16)]
    first = await alice.send("bob", labels=dict(pairs), request_id="r1")
    assert await alice.send("bob", labels=dict(reversed(pairs)), request_id="r1") == first


async def test_callers_and_teams_do_not_share_their_ids(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    (red_alice,) = await Team.new(team.pair).known("alice")
    first = await alice.send("alice", request_id="r1")
    second = await bob.send("alice", body="another", request_id="r1")
    await red_alice.send("alice", body="third", request_id="r1")
    assert first.message_id != second.message_id
    assert len(await alice.backlog()) == 2
    assert len(await red_alice.backlog()) == 1


async def test_a_failure_is_not_remembered(team: Team) -> None:
    (alice,) = await team.known("alice")
    bob = team.caller("bob")
    error = await failure(alice.send("bob", request_id="r1"))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    await bob.register()
    await alice.send("bob", request_id="r1")
    assert len(await bob.backlog()) == 1


async def test_many_repeats_at_once_send_one_message(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    answers = await asyncio.gather(*(alice.send("bob", request_id="r1") for _ in range(20)))
    assert all(answer == answers[0] for answer in answers)
    assert len(await bob.backlog()) == 1


async def test_without_an_id_every_call_sends(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    await alice.send("bob", body="twice")
    await alice.send("bob", body="twice")
    assert len(await bob.backlog()) == 2
