"""Sending: who gets a message, and what of it."""

from __future__ import annotations

import json

import grpc
import pytest
from google.protobuf.struct_pb2 import Struct

from dovetail.messaging.v1 import messaging_pb2 as pb
from support.callers import sequences
from support.refusals import bad_fields, error_info, failure
from support.teams import Team


async def test_a_message_arrives_on_an_open_stream(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    async with bob.inbox() as inbox:
        assert await inbox.backlog() == []
        sent = await alice.send("bob", body="hello")
        response = await inbox.next()
        assert [each.message.message_id for each in response.deliveries] == [sent.message_id]
        assert response.through_sequence == 1


async def test_a_message_keeps_all_that_it_carries(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    data = Struct()
    data.update(
        {"n": 1.5, "big": 2**53 - 1, "on": True, "no": None, "list": [1, "é", {}], "": {"deep": []}}
    )
    sent = await alice.send(
        "bob",
        subject="  Plan\t1 ",
        body="line\r\n\n🦊 \u200b\ufeffend ",
        data=data,
        importance=pb.IMPORTANCE_HIGH,
        thread_id="plans",
        labels={"project": "x", "空": ""},
    )
    (delivery,) = await bob.backlog()
    message = delivery.message
    assert message == (await bob.read(sent.message_id)).message
    assert message == pb.Message(
        message_id=sent.message_id,
        sender_id="alice",
        recipient_ids=["bob"],
        subject="  Plan\t1 ",
        body="line\r\n\n🦊 \u200b\ufeffend ",
        data=data,
        importance=pb.IMPORTANCE_HIGH,
        thread_id="plans",
        labels={"project": "x", "空": ""},
        kind=pb.MESSAGE_KIND_MESSAGE,
        create_time=sent.create_time,
        recipient_count=1,
    )


async def test_a_bare_message_has_defaults_and_a_thread_of_its_own(team: Team) -> None:
    alice, _ = await team.known("alice", "bob")
    sent = await alice.send("bob")
    message = (await alice.read(sent.message_id)).message
    assert message.importance == pb.IMPORTANCE_NORMAL
    assert message.thread_id == sent.thread_id == sent.message_id
    assert not message.HasField("data")
    assert not message.HasField("notice")


async def test_empty_data_differs_from_no_data(team: Team) -> None:
    alice, _ = await team.known("alice", "bob")
    sent = await alice.send("bob", data=Struct())
    assert (await alice.read(sent.message_id)).message.HasField("data")


async def test_many_recipients_each_get_it_at_the_end_of_their_inbox(team: Team) -> None:
    alice, bob, eve = await team.known("alice", "bob", "eve")
    await alice.send("eve")
    sent = await alice.send("eve", "bob", body="both")
    assert [(each.recipient_id, each.sequence) for each in sent.receipts] == [
        ("eve", 2),
        ("bob", 1),
    ]
    assert [each.message.body for each in await bob.backlog()] == ["both"]
    assert sequences(await eve.backlog()) == [1, 2]


async def test_a_thousand_recipients_get_one_message_in_one_call(team: Team) -> None:
    alice = team.caller("alice")
    names = [f"agent-{number:04}" for number in range(1_000)]
    await team.known(*names)
    sent = await alice.send(*names, body="all")
    assert [each.recipient_id for each in sent.receipts] == names
    assert {each.sequence for each in sent.receipts} == {1}
    record = await alice.read(sent.message_id)
    message = record.message
    assert (list(message.recipient_ids), message.recipient_count) == (names[:10], 1_000)
    assert [receipt.recipient_id for receipt in record.receipts] == names[:10]
    (delivery,) = await team.caller(names[-1]).backlog()
    assert (delivery.receipt, delivery.message) == (sent.receipts[-1], message)
    assert delivery.ByteSize() < 400


async def test_a_recipient_named_twice_gets_it_once(team: Team) -> None:
    alice, bob, _ = await team.known("alice", "bob", "eve")
    sent = await alice.send("bob", "eve", "bob", "eve")
    assert [each.recipient_id for each in sent.receipts] == ["bob", "eve"]
    (delivery,) = await bob.backlog()
    assert list(delivery.message.recipient_ids) == ["bob", "eve"]


async def test_an_agent_may_write_to_itself_and_is_registered_by_it(team: Team) -> None:
    alice = team.caller("alice")
    sent = await alice.send("alice", body="note to self")
    assert [(each.recipient_id, each.sequence) for each in sent.receipts] == [("alice", 1)]
    (delivery,) = await alice.backlog()
    assert (delivery.message.sender_id, delivery.message.body) == ("alice", "note to self")


async def test_sending_registers_the_sender(team: Team) -> None:
    await team.known("bob")
    alice = team.caller("alice")
    await alice.send("bob")
    assert (await alice.look()).agent_id == "alice"


async def test_a_caller_without_agent_cannot_send(team: Team) -> None:
    await team.known("bob")
    error = await failure(team.caller().send("bob"))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error_info(error).reason == "CALLER_AGENT_REQUIRED"


async def test_unknown_recipients_are_all_named_and_nothing_is_written(team: Team) -> None:
    (bob,) = await team.known("bob-1")
    alice = team.caller("alice")
    error = await failure(alice.send("bob-1", "bob-2", "nobody", "bob-2", body="lost"))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    info = error_info(error)
    assert info.reason == "AGENT_NOT_FOUND"
    assert json.loads(info.metadata["agent_ids"]) == ["bob-2", "nobody"]
    assert json.loads(info.metadata["nearest_ids"]) == ["bob-1"]
    assert info.metadata["unknown_count"] == "2"
    assert not (await bob.list_messages()).records
    assert await bob.backlog() == []
    assert (await failure(alice.look())).code() is grpc.StatusCode.NOT_FOUND


async def test_an_answer_stands_in_the_thread_of_its_question(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    question = await alice.send("bob", thread_id="plans")
    answer = await bob.send("alice", in_reply_to=question.message_id)
    again = await alice.send("bob", in_reply_to=answer.message_id, thread_id="plans")
    assert answer.thread_id == again.thread_id == "plans"
    assert (await bob.read(again.message_id)).message.in_reply_to == answer.message_id


async def test_an_answer_to_a_first_message_takes_its_id_as_thread(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    question = await alice.send("bob")
    answer = await bob.send("alice", in_reply_to=question.message_id)
    assert answer.thread_id == question.message_id


async def test_an_answer_cannot_stand_in_another_thread(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    question = await alice.send("bob", thread_id="plans")
    error = await failure(bob.send("alice", in_reply_to=question.message_id, thread_id="other"))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error_info(error).reason == "INVALID_FIELDS"
    assert list(bad_fields(error)) == ["thread_id"]
    assert await alice.backlog() == []


@pytest.mark.parametrize("message_id", ["m999", "m0", "m01", "x", "m", "m1²", "m" + "9" * 100])
async def test_an_answer_to_an_unknown_message_is_not_sent(team: Team, message_id: str) -> None:
    alice, bob = await team.known("alice", "bob")
    await alice.send("bob")
    error = await failure(bob.send("alice", in_reply_to=message_id))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert error_info(error).reason == "MESSAGE_NOT_FOUND"
    assert error_info(error).metadata["message_id"] == message_id
    assert await alice.backlog() == []


async def test_a_message_may_be_about_a_task_that_exists(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    await team.caller().create(task_id="build")
    sent = await alice.send("bob", task_id="build")
    (delivery,) = await bob.backlog()
    assert delivery.message.task_id == "build"
    assert sent.thread_id == sent.message_id


async def test_a_message_about_an_unknown_or_deleted_task_is_not_sent(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    await team.caller().create(task_id="gone")
    await team.caller().do("delete", "gone")
    for task_id in ("gone", "never"):
        error = await failure(alice.send("bob", task_id=task_id))
        assert error.code() is grpc.StatusCode.NOT_FOUND
        assert error_info(error).reason == "TASK_NOT_FOUND"
        assert error_info(error).metadata["task_id"] == task_id
    assert await bob.backlog() == []


async def test_a_message_of_one_mebibyte_is_the_largest(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    bare = pb.SendMessageRequest(recipient_ids=["bob"], body="x" * 1_000_000)
    room = 1024 * 1024 - (bare.ByteSize() - 1_000_000)
    await alice.send("bob", body="x" * room)
    error = await failure(alice.send("bob", body="x" * (room + 1)))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert list(bad_fields(error)) == ["body"]
    (delivery,) = await bob.backlog()
    assert len(delivery.message.body) == room


async def test_times_never_run_backwards_in_an_inbox(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    for _ in range(20):
        await alice.send("bob")
    times = [each.message.create_time.ToNanoseconds() for each in await bob.backlog()]
    assert times == sorted(times)
