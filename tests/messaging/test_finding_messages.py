"""Finding messages: one by id, many by what they are, with what became of them."""

from __future__ import annotations

import grpc
import pytest

from dovetail.messaging.v1 import messaging_pb2 as pb
from dovetail.types.v1 import types_pb2
from dovetail.types.v1.types_pb2 import ORDER_NEWEST_FIRST, ORDER_OLDEST_FIRST, Order, TimeRange
from support.refusals import bad_fields, error_info, failure
from support.teams import Team


def subjects(answer: pb.ListMessagesResponse) -> list[str]:
    return [record.message.subject for record in answer.records]


async def test_one_message_is_answered_with_the_receipt_of_each_recipient(team: Team) -> None:
    alice, bob, _ = await team.known("alice", "bob", "eve")
    await alice.send("bob")
    sent = await alice.send("eve", "bob")
    await bob.acknowledge(2)
    record = await alice.read(sent.message_id)
    eve_receipt, bob_receipt = record.receipts
    assert eve_receipt == types_pb2.Receipt(
        recipient_id="eve",
        sequence=1,
        message_id=sent.message_id,
        state=types_pb2.DELIVERY_STATE_UNACKNOWLEDGED,
    )
    assert (bob_receipt.recipient_id, bob_receipt.sequence) == ("bob", 2)
    assert bob_receipt.state == types_pb2.DELIVERY_STATE_ACKNOWLEDGED
    assert bob_receipt.state_time.ToMicroseconds() >= sent.create_time.ToMicroseconds()


@pytest.mark.parametrize("message_id", ["m2", "m0", "x1", "M1", "m+1", "m" + "9" * 18])
async def test_an_unknown_message_is_not_found(team: Team, message_id: str) -> None:
    bob = await team.bob_with(1)
    error = await failure(bob.read(message_id))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert error_info(error).reason == "MESSAGE_NOT_FOUND"
    assert error_info(error).metadata["message_id"] == message_id


async def test_listing_goes_in_the_order_of_sending_or_against_it(team: Team) -> None:
    bob = await team.bob_with(4)
    assert subjects(await bob.list_messages()) == ["1", "2", "3", "4"]
    assert subjects(await bob.list_messages(order=ORDER_OLDEST_FIRST)) == [
        "1",
        "2",
        "3",
        "4",
    ]
    assert subjects(await bob.list_messages(order=ORDER_NEWEST_FIRST)) == [
        "4",
        "3",
        "2",
        "1",
    ]


@pytest.mark.parametrize("order", [ORDER_OLDEST_FIRST, ORDER_NEWEST_FIRST])
async def test_pages_join_without_gap_or_repetition(team: Team, order: Order.ValueType) -> None:
    bob = await team.bob_with(7)
    found: list[str] = []
    answer = await bob.list_messages(order=order, page_size=3)
    found += subjects(answer)
    while answer.next_page_token:
        answer = await bob.list_messages(
            order=order, page_size=3, page_token=answer.next_page_token
        )
        found += subjects(answer)
    expected = [str(number) for number in range(1, 8)]
    assert found == (expected if order == ORDER_OLDEST_FIRST else expected[::-1])


async def test_what_is_sent_meanwhile_moves_no_page(team: Team) -> None:
    bob = await team.bob_with(4)
    first = await bob.list_messages(order=ORDER_NEWEST_FIRST, page_size=2)
    await bob.send("bob", subject="late")
    second = await bob.list_messages(
        order=ORDER_NEWEST_FIRST, page_size=2, page_token=first.next_page_token
    )
    assert subjects(first) + subjects(second) == ["4", "3", "2", "1"]


async def test_a_page_ends_at_one_mebibyte(team: Team) -> None:
    bob = await team.bob_with(5, body="x" * 400_000)
    first = await bob.list_messages()
    assert subjects(first) == ["1", "2"]
    second = await bob.list_messages(page_token=first.next_page_token)
    assert subjects(second) == ["3", "4"]
    third = await bob.list_messages(page_token=second.next_page_token)
    assert (subjects(third), third.next_page_token) == (["5"], "")
    assert all(page.ByteSize() <= 1024 * 1024 for page in (first, second, third))


async def test_a_page_has_a_message_however_large_it_is(team: Team) -> None:
    bob = await team.bob_with(2, body="x" * 1_048_000)
    first = await bob.list_messages()
    assert subjects(first) == ["1"]
    assert subjects(await bob.list_messages(page_token=first.next_page_token)) == ["2"]


async def test_page_sizes_are_default_one_or_up_to_a_thousand(team: Team) -> None:
    bob = await team.bob_with(51)
    assert len((await bob.list_messages()).records) == 50
    assert len((await bob.list_messages(page_size=1)).records) == 1
    assert len((await bob.list_messages(page_size=1_000)).records) == 51


async def test_a_token_is_good_for_the_same_listing_only(team: Team) -> None:
    bob = await team.bob_with(3)
    token = (await bob.list_messages(page_size=1)).next_page_token
    (stranger,) = await Team.new(team.pair).known("bob")
    calls = (
        bob.list_messages(page_token=token, order=ORDER_NEWEST_FIRST),
        bob.list_messages(page_token=token, recipient_id="bob"),
        bob.list_messages(page_token=token, states=[types_pb2.DELIVERY_STATE_ACKNOWLEDGED]),
        bob.list_messages(page_token=token, filter=pb.MessageFilter(thread_id="x")),
        stranger.list_messages(page_token=token),
    )
    for call in calls:
        error = await failure(call)
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert list(bad_fields(error)) == ["page_token"]


async def test_one_inbox_or_all_of_the_team(team: Team) -> None:
    alice, bob, _ = await team.known("alice", "bob", "eve")
    await alice.send("bob", subject="bob")
    await alice.send("eve", subject="eve")
    await alice.send("eve", "bob", subject="both")
    assert subjects(await bob.list_messages(recipient_id="bob")) == ["bob", "both"]
    assert subjects(await bob.list_messages(recipient_id="alice")) == []
    assert subjects(await bob.list_messages()) == ["bob", "eve", "both"]


async def test_listing_an_unknown_inbox_is_not_found(team: Team) -> None:
    (bob,) = await team.known("bob")
    error = await failure(bob.list_messages(recipient_id="bobb"))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert error_info(error).reason == "AGENT_NOT_FOUND"


async def test_states_choose_by_deliveries_of_the_inbox_or_of_any(team: Team) -> None:
    alice, bob, _ = await team.known("alice", "bob", "eve")
    await alice.send("bob", "eve", subject="half")
    await alice.send("bob", subject="done")
    await alice.send("eve", subject="open")
    await bob.acknowledge(through_sequence=2)
    done, waiting = types_pb2.DELIVERY_STATE_ACKNOWLEDGED, types_pb2.DELIVERY_STATE_UNACKNOWLEDGED

    async def found(
        *states: types_pb2.DeliveryState.ValueType, recipient_id: str = ""
    ) -> list[str]:
        return subjects(await bob.list_messages(states=states, recipient_id=recipient_id))

    assert await found(done) == ["half", "done"]
    assert await found(waiting) == ["half", "open"]
    assert await found(done, waiting) == ["half", "done", "open"]
    assert await found(done, recipient_id="bob") == ["half", "done"]
    assert await found(waiting, recipient_id="bob") == []
    assert await found(waiting, recipient_id="eve") == ["half", "open"]
    assert await found(done, waiting, recipient_id="eve") == ["half", "open"]


async def test_a_filter_chooses_by_what_a_message_is(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    first = await alice.send("bob", subject="1", thread_id="plans", importance=pb.IMPORTANCE_LOW)
    await bob.send("alice", subject="2", in_reply_to=first.message_id)
    last = await alice.send("bob", subject="3", labels={"k": "v"}, importance=pb.IMPORTANCE_HIGH)

    async def found(**conditions: object) -> list[str]:
        filter = pb.MessageFilter(**conditions)  # type: ignore[arg-type]
        return subjects(await bob.list_messages(filter=filter))

    assert await found(thread_id="plans") == ["1", "2"]
    assert await found(sender_ids=["alice"]) == ["1", "3"]
    assert await found(labels={"k": "v"}) == ["3"]
    assert await found(minimum_importance=pb.IMPORTANCE_NORMAL) == ["2", "3"]
    assert await found(minimum_importance=pb.IMPORTANCE_HIGH) == ["3"]
    assert await found(minimum_importance=pb.IMPORTANCE_UNSPECIFIED) == ["1", "2", "3"]
    assert await found(create_time=TimeRange(start_time=last.create_time)) == ["3"]
    assert await found(create_time=TimeRange(end_time=last.create_time)) == ["1", "2"]
    assert await found(create_time=TimeRange(start_time=first.create_time), sender_ids=["bob"]) == [
        "2"
    ]
    assert await found(thread_id="none") == []


async def test_anyone_of_the_team_may_look_without_being_registered(team: Team) -> None:
    await team.bob_with(1)
    nobody = team.caller()
    assert subjects(await nobody.list_messages()) == ["1"]
    assert (await nobody.read("m1")).message.sender_id == "alice"
