"""Subscribing: the backlog, the mark, then what arrives; nothing skipped, in order."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from dovetail.messaging.v1 import messaging_pb2 as pb
from dovetail.types.v1 import types_pb2
from support.callers import sequences
from support.refusals import error_info, failure
from support.teams import Team

PAGE_BYTES = 64 * 1024


async def test_an_empty_inbox_is_caught_up_at_once(team: Team) -> None:
    (bob,) = await team.known("bob")
    async with bob.inbox() as inbox:
        first = await inbox.next()
        assert first == pb.SubscribeInboxResponse(mark=pb.STREAM_MARK_CAUGHT_UP)


async def test_the_backlog_comes_in_pages_of_at_most_64_kibibytes(team: Team) -> None:
    bob = await team.bob_with(40, body="x" * 5_000)
    async with bob.inbox() as inbox:
        responses = await inbox.until(pb.STREAM_MARK_CAUGHT_UP)
    pages = [list(response.deliveries) for response in responses if response.deliveries]
    assert sequences(each for page in pages for each in page) == list(range(1, 41))
    assert all(sum(each.ByteSize() for each in page) <= PAGE_BYTES for page in pages)
    assert len(pages) <= 5


async def test_a_delivery_larger_than_a_page_comes_alone(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    for size in (10, 500_000, 10, 500_000, 500_000, 10):
        await alice.send("bob", body="x" * size)
    async with bob.inbox() as inbox:
        responses = await inbox.until(pb.STREAM_MARK_CAUGHT_UP)
    pages = [sequences(response.deliveries) for response in responses if response.deliveries]
    assert pages == [[1], [2], [3], [4], [5], [6]]


async def test_a_long_backlog_of_small_messages_comes_whole(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    await asyncio.gather(*(alice.send("bob", body=str(number)) for number in range(700)))
    async with bob.inbox() as inbox:
        responses = await inbox.until(pb.STREAM_MARK_CAUGHT_UP)
    found = [each for response in responses for each in response.deliveries]
    assert sequences(found) == list(range(1, 701))
    assert len({each.message.message_id for each in found}) == 700


async def test_every_response_moves_the_cursor_to_its_last_delivery(team: Team) -> None:
    bob = await team.bob_with(30, body="x" * 5_000)
    async with bob.inbox() as inbox:
        for response in await inbox.until(pb.STREAM_MARK_CAUGHT_UP):
            assert response.through_sequence == max(sequences(response.deliveries), default=30)


async def test_caught_up_comes_once_and_then_what_arrives_in_order(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    await alice.send("bob", body="before")
    async with bob.inbox() as inbox:
        assert len(await inbox.backlog()) == 1
        for number in range(30):
            await alice.send("bob", body=str(number))
        responses = [await inbox.next()]
        while responses[-1].through_sequence < 31:
            responses.append(await inbox.next())
    found = [each for response in responses for each in response.deliveries]
    assert sequences(found) == list(range(2, 32))
    assert {response.mark for response in responses} == {pb.STREAM_MARK_UNSPECIFIED}


async def test_a_stream_opened_amid_many_senders_misses_nothing(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    sending = asyncio.gather(*(alice.send("bob", body=str(number)) for number in range(200)))
    async with bob.inbox() as inbox:
        assert sequences(await inbox.take(200)) == list(range(1, 201))
    await sending


async def test_a_stream_from_now_sends_only_what_comes(team: Team) -> None:
    bob = await team.bob_with(3)
    async with bob.inbox(position=pb.START_POSITION_NOW) as inbox:
        first = await inbox.next()
        assert (first.mark, first.through_sequence) == (pb.STREAM_MARK_CAUGHT_UP, 3)
        assert not first.deliveries
        await bob.send("bob")
        assert sequences(await inbox.take(1)) == [4]


async def test_a_stream_resumes_after_a_sequence(team: Team) -> None:
    bob = await team.bob_with(5)
    assert sequences(await bob.backlog(after_sequence=3)) == [4, 5]
    assert sequences(await bob.backlog(after_sequence=5)) == []
    assert sequences(await bob.backlog(after_sequence=0)) == [1, 2, 3, 4, 5]
    assert sequences(await bob.backlog(position=pb.START_POSITION_BEGINNING)) == [1, 2, 3, 4, 5]


async def test_a_cursor_in_the_future_is_refused_with_the_legal_range(team: Team) -> None:
    bob = await team.bob_with(5)
    error = await failure(bob.backlog(after_sequence=6))
    assert error.code() is grpc.StatusCode.OUT_OF_RANGE
    info = error_info(error)
    assert info.reason == "CURSOR_IN_FUTURE"
    assert dict(info.metadata) == {"sequence": "6", "first": "0", "last": "5"}


async def test_what_is_acknowledged_is_sent_on_request_only(team: Team) -> None:
    bob = await team.bob_with(4)
    await bob.acknowledge(1, 3)
    assert sequences(await bob.backlog()) == [2, 4]
    found = await bob.backlog(include_acknowledged=True)
    assert sequences(found) == [1, 2, 3, 4]
    done = [each for each in found if each.receipt.state == types_pb2.DELIVERY_STATE_ACKNOWLEDGED]
    assert sequences(done) == [1, 3]
    assert all(each.receipt.HasField("state_time") for each in done)
    assert not any(each.receipt.HasField("state_time") for each in found if each not in done)


async def test_the_cursor_passes_an_acknowledged_end(team: Team) -> None:
    bob = await team.bob_with(4)
    await bob.acknowledge(3, 4)
    async with bob.inbox() as inbox:
        responses = await inbox.until(pb.STREAM_MARK_CAUGHT_UP)
    assert sequences(each for response in responses for each in response.deliveries) == [1, 2]
    assert responses[-1].through_sequence == 4


async def test_what_stays_unacknowledged_comes_again_on_the_next_stream(team: Team) -> None:
    bob = await team.bob_with(2)
    first = await bob.backlog()
    assert await bob.backlog() == first


async def test_an_acknowledgement_sends_nothing_again_on_an_open_stream(team: Team) -> None:
    bob = await team.bob_with(3)
    async with bob.inbox() as inbox:
        await inbox.backlog()
        await bob.acknowledge(2)
        await bob.send("bob")
        assert sequences(await inbox.take(1)) == [4]


async def test_streams_on_one_inbox_are_copies(team: Team) -> None:
    bob = await team.bob_with(3)
    async with bob.inbox() as one, bob.inbox() as other:
        assert sequences(await one.backlog()) == sequences(await other.backlog()) == [1, 2, 3]
        await bob.send("bob")
        assert sequences(await one.take(1)) == sequences(await other.take(1)) == [4]


async def test_another_may_watch_an_inbox_without_taking_from_it(team: Team) -> None:
    bob = await team.bob_with(2)
    watcher = team.caller("watcher")
    assert sequences(await watcher.backlog(agent_id="bob")) == [1, 2]
    assert sequences(await team.caller().backlog(agent_id="bob")) == [1, 2]
    assert sequences(await bob.backlog()) == [1, 2]


@pytest.mark.parametrize("agent_id", ["", "bob"])
async def test_opening_ones_own_inbox_registers_nobody(team: Team, agent_id: str) -> None:
    bob = team.caller("bob")
    error = await failure(bob.backlog(agent_id=agent_id))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert error_info(error).reason == "AGENT_NOT_FOUND"
    assert await team.agents() == []
    await bob.register()
    assert await bob.backlog(agent_id=agent_id) == []


async def test_the_inbox_of_an_unknown_other_is_not_found(team: Team) -> None:
    alice, _ = await team.known("alice", "bob")
    error = await failure(alice.backlog(agent_id="bobb"))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    info = error_info(error)
    assert info.reason == "AGENT_NOT_FOUND"
    assert info.metadata["nearest_ids"] == '["bob"]'


async def test_an_inbox_with_a_name_that_is_not_ascii_works_like_any(team: Team) -> None:
    alice, fox = await team.known("alice", "лиса 🦊")
    async with fox.inbox() as inbox:
        assert await inbox.backlog() == []
        await alice.send("лиса 🦊", body="привет")
        (delivery,) = await inbox.take(1)
    assert list(delivery.message.recipient_ids) == ["лиса 🦊"]
    await fox.acknowledge(1)
    assert (await fox.look()).unacknowledged_count == 0
