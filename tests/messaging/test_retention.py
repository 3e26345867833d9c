"""What is removed of inboxes, what stays, and what streams and lists make of it."""

from __future__ import annotations

import grpc

from dovetail.messaging.v1 import messaging_pb2 as m
from dovetail.server.retention import HOUR_MICROS
from dovetail.server.store.schema import HandoutRow
from dovetail.types.v1 import types_pb2
from support.callers import Caller, sequences
from support.cleaning import NOW, clean, keep
from support.refusals import error_info, refusal
from support.teams import Team
from support.waiting import until


async def numbers(caller: Caller, **fields: object) -> list[str]:
    """The subjects of all messages that there are."""
    found = await caller.list_messages(page_size=1_000, **fields)
    return [record.message.subject for record in found.records]


async def test_acknowledged_messages_go_and_others_stay(team: Team) -> None:
    bob = await team.bob_with(6)
    await bob.acknowledge(1, 2, 4, 5)
    await keep(team, message_age=NOW)
    await clean(team.pair.messaging_store)
    assert await numbers(bob) == ["3", "6"]
    assert sequences(await bob.received()) == [3, 6]
    agent = await bob.look()
    assert (agent.first_sequence, agent.last_sequence, agent.unacknowledged_count) == (3, 6, 2)
    # What stayed behind goes once it is acknowledged, and new messages go on.
    await bob.acknowledge(3)
    await team.caller("alice").send("bob", subject="7")
    await clean(team.pair.messaging_store)
    assert await numbers(bob) == ["6", "7"]
    assert (await bob.look()).first_sequence == 6
    await bob.acknowledge(through_sequence=7)
    await clean(team.pair.messaging_store)
    agent = await bob.look()
    assert (agent.first_sequence, agent.last_sequence, agent.unacknowledged_count) == (8, 7, 0)
    (listed,) = [each for each in await team.agents() if each.agent_id == "bob"]
    assert listed == agent


async def test_the_newest_are_kept_by_count_and_all_of_the_last_hour(team: Team) -> None:
    bob = await team.bob_with(8)
    await bob.acknowledge(through_sequence=6)
    await keep(team, message_count=5)
    await clean(team.pair.messaging_store, kept_micros=HOUR_MICROS)
    assert len(await numbers(bob)) == 8
    await clean(team.pair.messaging_store)
    assert await numbers(bob) == ["4", "5", "6", "7", "8"]
    await keep(team, message_count=1)
    await clean(team.pair.messaging_store)
    # Unacknowledged messages count, and stay.
    assert await numbers(bob) == ["7", "8"]


async def test_a_message_to_many_goes_when_all_are_done_with_it(team: Team) -> None:
    alice, bob, carol = await team.known("alice", "bob", "carol")
    for subject in ("1", "2"):
        await alice.send("bob", "carol", subject=subject)
    await bob.acknowledge(1, 2)
    await carol.acknowledge(2)
    await keep(team, message_age=NOW)
    await clean(team.pair.messaging_store)
    assert await numbers(alice) == ["1"]
    assert sequences(await bob.received()) == sequences(await carol.received()) == [1]
    assert (await refusal(alice.read("m2")))[1] == "MESSAGE_NOT_FOUND"
    assert (await refusal(alice.send("bob", in_reply_to="m2")))[1] == "MESSAGE_NOT_FOUND"


async def test_unacknowledged_messages_go_only_by_a_rule_of_their_own(team: Team) -> None:
    bob = await team.bob_with(4)
    await bob.acknowledge(2)
    await keep(team, unacknowledged_age=NOW)
    await clean(team.pair.messaging_store)
    assert sequences(await bob.received()) == [2]
    agent = await bob.look()
    assert (agent.first_sequence, agent.unacknowledged_count) == (2, 0)
    await team.caller("alice").send("bob", subject="5")
    assert sequences(await bob.backlog()) == [5]


async def test_notices_go_after_their_time_acknowledged_or_not(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    task = await alice.made(assignee_id="bob", request_id="one")
    await alice.send("bob", subject="stays")
    await alice.do("update", task.task_id)
    await bob.acknowledge(1)
    await keep(team, notice_age=NOW)
    await clean(team.pair.messaging_store)
    assert sequences(await bob.received()) == [2]
    assert (await bob.look()).unacknowledged_count == 1
    # The repeat of the change is still known, and says nothing of the notice that is gone.
    again = await alice.create(assignee_id="bob", request_id="one")
    assert (again.task.task_id, list(again.notices)) == (task.task_id, [])


async def test_a_cursor_is_too_old_exactly_where_something_would_be_missing(team: Team) -> None:
    bob = await team.bob_with(9)
    await bob.acknowledge(1, 2, 3, 5)
    await keep(team, message_age=NOW)
    await clean(team.pair.messaging_store)
    # Without acknowledged ones nothing is missing; with them, up to the last that was removed.
    for after in (0, 4):
        async with bob.inbox(after_sequence=after) as inbox:
            assert sequences(await inbox.backlog())[0] == 4 if after < 4 else 6
    too_old = {"sequence": "4", "first": "5", "last": "9"}
    async with bob.inbox(after_sequence=4, include_acknowledged=True) as inbox:
        error = await inbox.end()
        assert error.code() == grpc.StatusCode.OUT_OF_RANGE
        assert (error_info(error).reason, dict(error_info(error).metadata)) == (
            "CURSOR_TOO_OLD",
            too_old,
        )
    async with bob.inbox(after_sequence=5, include_acknowledged=True) as inbox:
        assert sequences(await inbox.backlog()) == [6, 7, 8, 9]
    async with bob.inbox(include_acknowledged=True) as inbox:
        assert sequences(await inbox.backlog()) == [4, 6, 7, 8, 9]
    # What nobody acknowledged is missing to all, also to a stream that is open and has not read it.
    filter = m.MessageFilter(sender_ids=["nobody"])
    async with (
        bob.inbox(max_outstanding=1) as slow,
        bob.inbox() as quick,
        bob.inbox(after_sequence=5) as from_five,
    ):
        assert sequences(await slow.take(1)) == [4]
        assert sequences(await quick.backlog()) == [4, 6, 7, 8, 9]
        assert sequences(await from_five.backlog()) == [6, 7, 8, 9]
        await keep(team, unacknowledged_age=NOW)
        await clean(team.pair.messaging_store)
        assert error_info(await slow.end()).metadata["first"] == "9"
        await team.caller("alice").send("bob", subject="10")
        assert sequences(await quick.take(1)) == sequences(await from_five.take(1)) == [10]
    for fields in ({}, {"include_acknowledged": True}, {"filter": filter}):
        async with bob.inbox(after_sequence=8, **fields) as inbox:
            assert error_info(await inbox.end()).reason == "CURSOR_TOO_OLD"
    assert sequences(await bob.backlog()) == [10]


async def test_lists_go_on_where_their_next_row_was_removed(team: Team) -> None:
    bob = await team.bob_with(8)
    await bob.acknowledge(through_sequence=8)
    old = await bob.list_messages(page_size=2)
    new = await bob.list_messages(page_size=2, order=types_pb2.ORDER_NEWEST_FIRST)
    await keep(team, message_count=3)
    await clean(team.pair.messaging_store)
    found = await bob.list_messages(page_size=2, page_token=old.next_page_token)
    assert [each.message.subject for each in found.records] == ["6", "7"]
    rest = await bob.list_messages(
        page_size=9, order=types_pb2.ORDER_NEWEST_FIRST, page_token=new.next_page_token
    )
    assert [each.message.subject for each in rest.records] == ["6"]


async def test_what_was_handed_out_and_sent_by_a_request_goes_with_the_message(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    first = await alice.send("bob", request_id="one")
    assert (await alice.send("bob", request_id="one")).message_id == first.message_id
    async with bob.inbox() as inbox:
        assert sequences(await inbox.backlog()) == [1]
        await until(lambda: _spans(team))
        await bob.acknowledge(1)
        await keep(team, message_age=NOW)
        await clean(team.pair.messaging_store)
        assert await _spans(team) == 0
    # The request was forgotten with its message: a repeat now is a new message.
    assert (await alice.send("bob", request_id="one")).message_id == "m2"


async def _spans(team: Team) -> int:
    """How many spans of deliveries are noted as handed out."""
    query = HandoutRow.select().where(HandoutRow.team_id == team.team_id)
    return len(await team.pair.messaging_store.read(team.team_id, lambda s: s.select(query)))
