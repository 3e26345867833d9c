"""What a stream leaves out, how much it sends ahead, and how it lives and ends."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import grpc
import pytest

from dovetail.messaging.v1 import messaging_pb2 as pb
from dovetail.tasks.v1 import tasks_pb2
from dovetail.types.v1.types_pb2 import TimeRange
from support.callers import Inbox, sequences
from support.pair import Pair, running_pair
from support.refusals import error_info
from support.teams import Team

QUICK = 0.2


@pytest.fixture
async def lively_pair(store_url: str) -> AsyncGenerator[Pair]:
    """Both services, with heartbeats so quick that a stream that waits says so at once."""
    async with running_pair(store_url, heartbeat_seconds=QUICK) as pair:
        yield pair


async def waits(inbox: Inbox) -> bool:
    """Whether the stream sends nothing but a heartbeat."""
    response = await inbox.next()
    return response.mark == pb.STREAM_MARK_HEARTBEAT and not response.deliveries


async def test_a_filtered_stream_sends_what_matches_and_moves_past_the_rest(pair: Pair) -> None:
    alice, bob = await Team(pair).known("alice", "bob")
    for importance in (pb.IMPORTANCE_LOW, pb.IMPORTANCE_HIGH, pb.IMPORTANCE_NORMAL):
        await alice.send("bob", importance=importance)
    high = pb.MessageFilter(minimum_importance=pb.IMPORTANCE_HIGH)
    async with bob.inbox(filter=high) as inbox:
        responses = await inbox.until(pb.STREAM_MARK_CAUGHT_UP)
    assert sequences(each for response in responses for each in response.deliveries) == [2]
    assert responses[-1].through_sequence == 3


async def test_a_filter_wants_all_of_its_conditions(pair: Pair) -> None:
    alice, bob, eve = await Team(pair).known("alice", "bob", "eve")
    await pair.tasks.CreateTask(tasks_pb2.CreateTaskRequest(task_id="t", title="T"))
    first = await alice.send("bob", task_id="t", labels={"a": "1", "b": "2"})
    await eve.send("bob", task_id="t", labels={"a": "1"})
    await alice.send("bob", thread_id="plans", labels={"a": "11"})
    await pair.tasks.AssignTask(tasks_pb2.AssignTaskRequest(task_id="t", assignee_id="bob"))

    async def found(**conditions: object) -> list[int]:
        filter = pb.MessageFilter(**conditions)  # type: ignore[arg-type]
        return sequences(await bob.backlog(filter=filter))

    assert await found() == [1, 2, 3, 4]
    assert await found(sender_ids=["alice"]) == [1, 3]
    assert await found(sender_ids=["alice", "eve"]) == [1, 2, 3]
    assert await found(task_id="t") == [1, 2, 4]
    assert await found(thread_id="plans") == [3]
    assert await found(labels={"a": "1"}) == [1, 2]
    assert await found(labels={"a": "1", "b": "2"}) == [1]
    assert await found(kinds=[pb.MESSAGE_KIND_NOTICE]) == [4]
    assert await found(kinds=[pb.MESSAGE_KIND_MESSAGE, pb.MESSAGE_KIND_NOTICE]) == [1, 2, 3, 4]
    assert await found(create_time=TimeRange(end_time=first.create_time)) == []
    assert await found(create_time=TimeRange(start_time=first.create_time)) == [1, 2, 3, 4]
    assert await found(sender_ids=["alice"], task_id="t") == [1]


async def test_a_filtered_stream_resumed_after_its_cursor_loses_nothing(
    lively_pair: Pair,
) -> None:
    bob = await Team(lively_pair).bob_with(2)
    wanted = pb.MessageFilter(sender_ids=["bob"])
    async with bob.inbox(filter=wanted) as inbox:
        assert await inbox.backlog() == []
        await Team(lively_pair).caller("alice").send("bob")
        cursor = (await inbox.next()).through_sequence
        while cursor < 3:
            cursor = (await inbox.next()).through_sequence
    await bob.send("bob")
    assert sequences(await bob.backlog(filter=wanted, after_sequence=cursor)) == [4]
    assert sequences(await bob.backlog(after_sequence=cursor)) == [4]


async def test_a_full_stream_waits_until_something_is_acknowledged(lively_pair: Pair) -> None:
    bob = await Team(lively_pair).bob_with(5)
    async with bob.inbox(max_outstanding=2) as inbox:
        assert sequences(await inbox.take(2)) == [1, 2]
        assert await waits(inbox)
        await bob.acknowledge(2)
        assert sequences(await inbox.take(1)) == [3]
        assert await waits(inbox)
        await bob.acknowledge(through_sequence=3)
        assert sequences(await inbox.take(2)) == [4, 5]


async def test_what_is_acknowledged_elsewhere_makes_room_on_every_stream(pair: Pair) -> None:
    bob = await Team(pair).bob_with(4)
    async with bob.inbox(max_outstanding=1) as one, bob.inbox(max_outstanding=2) as other:
        assert sequences(await one.take(1)) == [1]
        assert sequences(await other.take(2)) == [1, 2]
        await Team(pair).caller("bob").acknowledge(1)
        assert sequences(await one.take(1)) == [2]
        assert sequences(await other.take(1)) == [3]


async def test_acknowledged_deliveries_need_no_room(pair: Pair) -> None:
    bob = await Team(pair).bob_with(5)
    await bob.acknowledge(through_sequence=4)
    found = await bob.backlog(max_outstanding=1, include_acknowledged=True)
    assert sequences(found) == [1, 2, 3, 4, 5]


async def test_a_stream_that_reaches_its_limit_at_the_end_is_caught_up(pair: Pair) -> None:
    bob = await Team(pair).bob_with(2)
    assert sequences(await bob.backlog(max_outstanding=2)) == [1, 2]


async def test_a_silent_stream_shows_that_it_is_alive(lively_pair: Pair) -> None:
    bob = await Team(lively_pair).bob_with(2)
    async with bob.inbox() as inbox:
        await inbox.backlog()
        for _ in range(2):
            beat = await inbox.next()
            assert beat == pb.SubscribeInboxResponse(
                mark=pb.STREAM_MARK_HEARTBEAT, through_sequence=2
            )
        await bob.send("bob")
        assert sequences(await inbox.take(1)) == [3]


async def test_a_stopping_server_ends_its_streams_with_the_cursor(store_url: str) -> None:
    async with running_pair(store_url) as pair:
        bob = await Team(pair).bob_with(3)
        call = pair.messaging.SubscribeInbox(pb.SubscribeInboxRequest(), metadata=bob.metadata)
        inbox = Inbox(call)
        await inbox.backlog()
    closing = await inbox.next()
    assert closing == pb.SubscribeInboxResponse(mark=pb.STREAM_MARK_CLOSING, through_sequence=3)
    error = await inbox.end()
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert error_info(error).reason == "SERVER_STOPPING"


async def test_a_stream_resumed_on_a_new_server_misses_nothing(store_url: str) -> None:
    async with running_pair(store_url) as pair:
        bob = await Team(pair).bob_with(3)
        async with bob.inbox() as inbox:
            cursor = (await inbox.until(pb.STREAM_MARK_CAUGHT_UP))[-1].through_sequence
        await bob.send("bob")
    async with running_pair(store_url) as pair:
        bob = Team(pair).caller("bob")
        assert sequences(await bob.backlog(after_sequence=cursor)) == [4]
