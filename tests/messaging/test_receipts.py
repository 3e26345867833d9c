"""Receipts: what a sender may rely on, of what was sent, seen and acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack

import grpc
import pytest

from dovetail.messaging.v1 import messaging_pb2 as pb
from dovetail.types.v1 import types_pb2
from support.callers import Caller, Inbox, seconds
from support.pair import running_pair
from support.refusals import error_info, failure, faults
from support.teams import Team
from support.waiting import until

UNACKNOWLEDGED = types_pb2.DELIVERY_STATE_UNACKNOWLEDGED
ACKNOWLEDGED = types_pb2.DELIVERY_STATE_ACKNOWLEDGED
SENT = types_pb2.DELIVERY_STATE_SENT
SEEN = types_pb2.DELIVERY_STATE_SEEN


async def receipts(caller: Caller, recipient_id: str = "bob") -> list[types_pb2.Receipt]:
    """The receipts of one recipient, in the order of its inbox."""
    page = await caller.list_messages(recipient_id=recipient_id, page_size=1_000)
    return [
        receipt
        for record in page.records
        for receipt in record.receipts
        if receipt.recipient_id == recipient_id
    ]


async def states(caller: Caller, recipient_id: str = "bob") -> list[int]:
    return [each.state for each in await receipts(caller, recipient_id)]


async def sent(caller: Caller, wanted: Iterable[int], recipient_id: str = "bob") -> None:
    """Wait until exactly these of an inbox are SENT."""

    async def are_sent() -> bool:
        found = await receipts(caller, recipient_id)
        return {each.sequence for each in found if each.state == SENT} == {*wanted}

    await until(are_sent)


async def hand_out(caller: Caller, wanted: Iterable[int], **fields: object) -> None:
    """Stream the inbox of a caller until exactly these are SENT.

    The stream stays open so long: whoever leaves at once may leave doubt.
    """
    async with caller.inbox(**fields) as inbox:
        await inbox.backlog()
        await sent(caller, wanted, caller.agent_id)


async def test_a_backlog_that_was_streamed_is_sent_and_not_seen(team: Team) -> None:
    bob = await team.bob_with(3)
    assert await states(bob) == [UNACKNOWLEDGED] * 3
    await hand_out(bob, [1, 2, 3])
    for receipt in await receipts(team.caller("alice")):
        assert receipt.state_time == receipt.send_time
        assert not receipt.HasField("see_time")


async def test_what_a_call_answered_is_sent_and_the_rest_is_not(team: Team) -> None:
    bob = await team.bob_with(3)
    await bob.call(pb.ReceiveMessagesRequest(max_messages=2))
    await sent(bob, [1, 2])


async def test_what_arrives_on_an_open_stream_is_sent_while_it_stays_open(team: Team) -> None:
    bob = await team.bob_with(0)
    async with bob.inbox() as inbox:
        await inbox.backlog()
        await team.caller("alice").send("bob")
        await inbox.take(1)
        await sent(bob, [1])


async def test_the_mark_after_a_backlog_comes_by_itself_so_that_leaving_then_is_no_doubt(
    team: Team,
) -> None:
    bob = await team.bob_with(3)
    async with bob.inbox() as inbox:
        responses = await inbox.until(pb.STREAM_MARK_CAUGHT_UP)
    assert [len(each.deliveries) for each in responses] == [3, 0]
    assert [each.through_sequence for each in responses] == [3, 3]


async def test_a_server_that_stops_records_what_it_handed_out(store_url: str) -> None:
    async with AsyncExitStack() as stack:
        pair = await stack.enter_async_context(running_pair(store_url))
        bob = await Team(pair).bob_with(3)
        await bob.call(pb.ReceiveMessagesRequest(max_messages=1))
        call = bob.messaging.SubscribeInbox(
            pb.SubscribeInboxRequest(after_sequence=1), metadata=bob.metadata
        )
        await Inbox(call).backlog()
        stopping = asyncio.create_task(stack.aclose())
        await Inbox(call).until(pb.STREAM_MARK_CLOSING)
        await stopping
    async with running_pair(store_url) as pair:
        assert await states(Team(pair).caller("bob")) == [SENT] * 3


async def test_only_what_a_filter_let_through_is_sent(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    for thread_id in ("a", "b", "a", "a", "b"):
        await alice.send("bob", thread_id=thread_id)
    await hand_out(bob, [1, 3, 4], filter=pb.MessageFilter(thread_id="a"))
    await hand_out(bob, [1, 2, 3, 4, 5])


async def test_what_is_handed_out_again_keeps_its_first_time(team: Team) -> None:
    bob = await team.bob_with(2)
    await hand_out(bob, [1, 2])
    first = await receipts(bob)
    await bob.send("bob")
    await hand_out(bob, [1, 2, 3])
    assert (await receipts(bob))[:2] == first


async def test_times_are_in_order(team: Team) -> None:
    bob = await team.bob_with(1)
    created = (await bob.read("m1")).message.create_time.ToMicroseconds()
    await hand_out(bob, [1])
    await bob.call(pb.MarkMessagesSeenRequest(sequences=[1]))
    await bob.acknowledge(1)
    (receipt,) = await receipts(bob)
    assert receipt.state == ACKNOWLEDGED
    times = (receipt.send_time, receipt.see_time, receipt.state_time)
    found = [created, *(each.ToMicroseconds() for each in times)]
    assert found == sorted(found)
    assert len({*found[1:]}) == 3


async def test_a_peek_of_another_caller_is_no_hand_out(team: Team) -> None:
    bob = await team.bob_with(1)
    operator = team.caller()
    await operator.backlog(agent_id="bob")
    await team.caller("alice").call(pb.ReceiveMessagesRequest(agent_id="bob"))
    # What is recorded later is recorded after it.
    await bob.send("alice")
    await hand_out(team.caller("alice"), [1])
    assert await states(bob) == [UNACKNOWLEDGED]


async def test_marking_as_seen_counts_what_is_new_and_leaves_it_unacknowledged(
    team: Team,
) -> None:
    bob = await team.bob_with(4)
    await bob.acknowledge(2)
    marked = await bob.call(pb.MarkMessagesSeenRequest(sequences=[3, 1, 2, 3]))
    assert marked.seen_count == 2
    assert await states(team.caller("alice")) == [SEEN, ACKNOWLEDGED, SEEN, UNACKNOWLEDGED]
    before = await receipts(bob)
    again = await bob.call(pb.MarkMessagesSeenRequest(sequences=[1, 3]))
    assert again.seen_count == 0
    assert await receipts(bob) == before
    assert (await bob.look()).unacknowledged_count == 3
    found = await bob.backlog()
    assert [each.receipt.state for each in found] == [SEEN, SEEN, UNACKNOWLEDGED]
    assert found[0].receipt.see_time == before[0].see_time


async def test_a_reply_marks_what_it_replies_to_and_nothing_else(team: Team) -> None:
    alice, bob, eve = await team.known("alice", "bob", "eve")
    await alice.send("bob")
    asked = await alice.send("bob", "eve")
    await bob.send("alice", thread_id=asked.thread_id)
    assert await states(alice) == [UNACKNOWLEDGED, UNACKNOWLEDGED]
    await bob.send("alice", in_reply_to=asked.message_id)
    assert await states(alice) == [UNACKNOWLEDGED, SEEN]
    assert await states(alice, "eve") == [UNACKNOWLEDGED]
    await alice.send("bob", in_reply_to=asked.message_id)
    await team.caller().messaging.GetMessage(
        pb.GetMessageRequest(message_id=asked.message_id), metadata=eve.metadata
    )
    assert await states(alice, "eve") == [UNACKNOWLEDGED]


async def test_replies_of_a_batch_mark_what_they_reply_to(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    asked = [await alice.send("bob") for _ in range(3)]
    replies = [
        pb.SendMessageRequest(recipient_ids=["alice"], in_reply_to=each.message_id)
        for each in (asked[0], asked[2], asked[0])
    ]
    await bob.call(pb.BatchSendMessagesRequest(requests=replies))
    assert await states(alice) == [SEEN, UNACKNOWLEDGED, SEEN]


async def test_a_reply_that_is_refused_marks_nothing(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    asked = await alice.send("bob")
    await failure(bob.send("nobody", in_reply_to=asked.message_id))
    await failure(bob.send("alice", in_reply_to=asked.message_id, task_id="none"))
    assert await states(alice) == [UNACKNOWLEDGED]


async def test_what_an_agent_acknowledges_by_a_reply_and_after_it_keeps_both_times(
    team: Team,
) -> None:
    alice, bob = await team.known("alice", "bob")
    asked = await alice.send("bob")
    await bob.send("alice", in_reply_to=asked.message_id)
    await bob.acknowledge(1)
    (receipt,) = await receipts(alice)
    assert receipt.state == ACKNOWLEDGED
    assert receipt.see_time.ToMicroseconds() < receipt.state_time.ToMicroseconds()
    await bob.send("alice", in_reply_to=asked.message_id)
    assert await receipts(alice) == [receipt]


@pytest.mark.parametrize("wanted", [[1, 4], [2**63 - 1]])
async def test_what_was_not_reached_is_refused_and_nothing_marked(
    team: Team, wanted: list[int]
) -> None:
    bob = await team.bob_with(3)
    error = await failure(bob.call(pb.MarkMessagesSeenRequest(sequences=wanted)))
    assert error.code() is grpc.StatusCode.OUT_OF_RANGE
    info = error_info(error)
    assert (info.reason, info.metadata["last"]) == ("CURSOR_IN_FUTURE", "3")
    assert await states(bob) == [UNACKNOWLEDGED] * 3


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ([], "sequences"),
        ([1] * 1_001, "sequences"),
        ([1, 0], "sequences[1]"),
        ([-1], "sequences[0]"),
    ],
)
async def test_wrong_sequences_are_refused_by_their_name(
    team: Team, wanted: list[int], field: str
) -> None:
    bob = await team.bob_with(1)
    assert await faults(bob.call(pb.MarkMessagesSeenRequest(sequences=wanted))) == {field}


async def test_a_caller_without_an_agent_or_unknown_has_seen_nothing(team: Team) -> None:
    await team.bob_with(1)
    request = pb.MarkMessagesSeenRequest(sequences=[1])
    error = await failure(team.caller().call(request))
    assert error_info(error).reason == "CALLER_AGENT_REQUIRED"
    error = await failure(team.caller("bobby").call(request))
    assert error_info(error).reason == "AGENT_NOT_FOUND"


async def test_a_thousand_are_marked_by_one_call(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    batch = [pb.SendMessageRequest(recipient_ids=["bob"])] * 1_000
    await alice.call(pb.BatchSendMessagesRequest(requests=batch))
    marked = await bob.call(pb.MarkMessagesSeenRequest(sequences=range(1, 1_001)))
    assert marked.seen_count == 1_000


async def test_states_choose_messages(team: Team) -> None:
    bob = await team.bob_with(4)
    await bob.call(pb.ReceiveMessagesRequest(max_messages=3, max_wait=seconds(0)))
    await sent(bob, [1, 2, 3])
    await bob.call(pb.MarkMessagesSeenRequest(sequences=[2]))
    await bob.acknowledge(3)

    async def found(*wanted: types_pb2.DeliveryState.ValueType) -> list[str]:
        page = await bob.list_messages(states=wanted, recipient_id="bob")
        return [record.message.subject for record in page.records]

    assert await found(SENT) == ["1"]
    assert await found(SEEN) == ["2"]
    assert await found(ACKNOWLEDGED) == ["3"]
    assert await found(UNACKNOWLEDGED) == ["1", "2", "4"]
    assert await found(SENT, SEEN) == ["1", "2"]
    assert await found(SEEN, ACKNOWLEDGED) == ["2", "3"]
    assert await found(UNACKNOWLEDGED, SENT, ACKNOWLEDGED) == ["1", "2", "3", "4"]
