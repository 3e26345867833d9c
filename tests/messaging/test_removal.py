"""Agents that change, are removed, and are registered again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from dovetail.messaging.v1 import messaging_pb2 as pb
from support.callers import Caller, seconds, sequences
from support.refusals import bad_fields, error_info, failure
from support.tables import CANCELLED, PENDING
from support.teams import Team
from support.waiting import until

MODEL, PERSON, SERVICE = pb.AGENT_KIND_MODEL, pb.AGENT_KIND_PERSON, pb.AGENT_KIND_SERVICE


def update(agent_id: str, *paths: str, etag: str = "", **fields: Any) -> pb.UpdateAgentRequest:
    return pb.UpdateAgentRequest(
        agent=pb.Agent(agent_id=agent_id, **fields), update_mask=FieldMask(paths=paths), etag=etag
    )


async def remove(caller: Caller, agent_id: str, etag: str = "") -> pb.RemoveAgentResponse:
    found = await caller.call(pb.RemoveAgentRequest(agent_id=agent_id, etag=etag))
    assert isinstance(found, pb.RemoveAgentResponse)
    return found


async def unknown(call: Awaitable[Any]) -> Any:
    """What a call says that fails as the agent is not known."""
    error = await failure(call)
    assert error.code() is grpc.StatusCode.NOT_FOUND, error.details()
    assert error_info(error).reason == "AGENT_NOT_FOUND"
    return error_info(error).metadata


async def test_an_update_sets_the_fields_of_its_mask(team: Team) -> None:
    ann = team.caller("ann")
    made = await ann.register(display_name="Ann", labels={"a": "1"}, kind=MODEL)
    assert made.agent.kind == MODEL
    request = update("", "display_name", "kind", display_name="Anna", labels={"b": "2"}, kind=3)
    changed = (await ann.call(request)).agent
    assert (changed.display_name, dict(changed.labels)) == ("Anna", {"a": "1"})
    assert (changed.kind, changed.create_time) == (SERVICE, made.agent.create_time)
    assert changed.etag != made.agent.etag
    assert (await ann.call(request)).agent == changed
    other = update("ann", "labels", etag=made.agent.etag)
    error = await failure(ann.call(other))
    assert (error.code().name, error_info(error).reason) == ("ABORTED", "ETAG_MISMATCH")
    assert error_info(error).metadata["etag"] == changed.etag
    cleared = await team.caller("bob").call(update("ann", "labels", etag=changed.etag))
    assert dict(cleared.agent.labels) == {}
    # Messages change no etag.
    await ann.send("ann")
    assert (await ann.look()).etag == cleared.agent.etag
    assert (await unknown(ann.call(update("anna", "kind"))))["nearest_ids"] == '["ann"]'
    assert await unknown(team.caller("eve").call(update("", "kind", kind=MODEL)))
    assert [agent.agent_id for agent in await team.agents()] == ["ann", "bob"]


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        (update(" x", "kind", kind=99), {"agent.agent_id", "agent.kind"}),
        (update("ann"), {"update_mask"}),
        (update("ann", "kind", "etag"), {"update_mask"}),
        (update("ann", "display_name", display_name="x" * 257, kind=99), {"agent.display_name"}),
        (update("ann", "labels", labels={"": ""}), {'agent.labels[""]'}),
    ],
)
async def test_a_wrong_update_names_its_fields(
    team: Team, request_: pb.UpdateAgentRequest, fields: set[str]
) -> None:
    error = await failure(team.caller("ann").call(request_))
    assert set(bad_fields(error)) == fields


async def test_a_removed_agent_is_known_to_nobody(team: Team) -> None:
    ann, bob, _ = await team.known("ann", "bob", "cat")
    for group_id in ("one", "two"):
        group = pb.Group(group_id=group_id, agent_ids=["bob", "cat"])
        await ann.call(pb.PutGroupRequest(group=group))
    await ann.send("bob")
    task_id = (await bob.made()).task_id
    error = await failure(remove(ann, "bob", etag="v99"))
    assert error_info(error).reason == "ETAG_MISMATCH"
    removed = await remove(ann, "bob", etag=(await bob.look()).etag)
    assert removed.agent.HasField("remove_time")
    assert (removed.agent.unacknowledged_count, removed.left_group_count) == (1, 2)
    again = await remove(ann, "bob")
    assert (again.agent, again.left_group_count) == (removed.agent, 0)
    group = (await ann.call(pb.GetGroupRequest(group_id="one"))).group
    assert (list(group.agent_ids), group.agent_count) == (["cat"], 1)
    assert [each.agent_id for each in await team.agents()] == ["ann", "cat"]
    listed = (await ann.list_agents(include_removed=True)).agents
    assert [(each.agent_id, each.HasField("remove_time")) for each in listed] == [
        ("ann", False),
        ("bob", True),
        ("cat", False),
    ]
    told = await unknown(ann.send("bob", "bobb", "cat"))
    assert json.loads(told["agent_ids"]) == ["bob", "bobb"]
    assert (told["unknown_count"], told["removed_count"]) == ("2", "1")
    crew = pb.Group(group_id="crew", agent_ids=["bob"])
    for call in (
        ann.look(agent_id="bob"),
        ann.create(assignee_id="bob"),
        ann.do("assign", task_id, assignee_id="bob"),
        ann.call(pb.PutGroupRequest(group=crew)),
        ann.backlog(agent_id="bob"),
        ann.list_messages(recipient_id="bob"),
        bob.backlog(),
        bob.acknowledge(1),
        bob.call(pb.ReceiveMessagesRequest(max_wait=seconds(1))),
        bob.call(pb.MarkMessagesSeenRequest(sequences=[1])),
        bob.call(update("", "kind", kind=MODEL)),
    ):
        assert (await unknown(call))["removed_count"] == "1"
    assert await unknown(remove(ann, "bobb"))
    # What it has sent and created stays, and notices about that pass it by.
    cancelled = await ann.do("cancel", task_id)
    assert (cancelled.task.state, list(cancelled.notices)) == (CANCELLED, [])
    assert await unknown(ann.send("bob", in_reply_to="m1"))


async def test_a_removed_agent_comes_back_to_its_inbox(team: Team) -> None:
    ann, bob = await team.known("ann", "bob")
    made = await bob.register()
    for _ in range(3):
        await ann.send("bob")
    await bob.acknowledge(2)
    await remove(bob, "bob")
    assert await unknown(bob.look())
    again = await bob.register(display_name="Bob II", labels={"k": "1"}, kind=PERSON)
    assert again.created
    assert (again.agent.display_name, again.agent.kind) == ("Bob II", PERSON)
    assert (again.agent.last_sequence, again.agent.unacknowledged_count) == (3, 2)
    assert not again.agent.HasField("remove_time")
    assert again.agent.create_time.ToMicroseconds() > made.agent.create_time.ToMicroseconds()
    assert again.agent.etag not in ("", made.agent.etag)
    assert sequences(await bob.backlog()) == [1, 3]
    assert (await ann.send("bob")).receipts[0].sequence == 4
    # So does one that writes; it begins anew, but for its inbox.
    await remove(ann, "bob")
    await bob.send("ann")
    found = await bob.look()
    assert (found.display_name, found.kind, dict(found.labels)) == ("", 0, {})
    assert (found.last_sequence, found.unacknowledged_count) == (4, 3)


async def test_an_agent_with_work_stays(team: Team) -> None:
    ann, bob = await team.known("ann", "bob")
    first, second = await ann.made(assignee_id="bob"), await ann.made()
    await ann.do("start", second.task_id)
    await ann.do("request-input", second.task_id, agent_id="bob", text="which?")
    error = await failure(remove(ann, "bob"))
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    info = error_info(error)
    assert info.reason == "AGENT_HAS_WORK"
    assert (info.metadata["task_count"], info.metadata["question_count"]) == ("1", "1")
    assert info.metadata["task_id"] == first.task_id
    for said in ("1 open task is assigned to it", "1 question waits", "unassign"):
        assert said in (error.details() or "")
    await bob.do("provide-input", second.task_id, text="this")
    more = [await ann.made(assignee_id="bob") for _ in range(4)]
    error = await failure(remove(ann, "bob"))
    assert "5 open tasks are assigned to it, 't1'" in (error.details() or "")
    for each in (first, *more):
        await ann.do("cancel", each.task_id)
    await remove(ann, "bob")
    # Nobody would ever do a task that is reopened for it.
    reopened = await ann.do("reopen", first.task_id)
    assert (reopened.task.state, reopened.task.assignee_id) == (PENDING, "")


async def test_the_calls_of_a_removed_agent_end(team: Team) -> None:
    ann, bob = await team.known("ann", "bob")
    await ann.send("bob")
    other = pb.MessageFilter(thread_id="another")
    receive = bob.call(pb.ReceiveMessagesRequest(max_wait=seconds(50), filter=other))
    waits = [asyncio.create_task(receive), await team.waiting(bob, max_wait=50)]
    async with (
        bob.inbox() as own,
        bob.inbox(max_outstanding=1) as full,
        ann.inbox(agent_id="bob") as others,
        bob.watch() as watch,
        ann.inbox() as lasting,
    ):
        for stream in (own, full, others, lasting):
            await stream.backlog()
        await watch.backlog()
        await until(lambda: _waits(bob))
        await remove(ann, "bob")
        ends = (own.end(), full.end(), others.end(), watch.end(), *map(failure, waits))
        for error in await asyncio.gather(*ends):
            assert error.code() is grpc.StatusCode.NOT_FOUND, error.details()
            assert error_info(error).reason == "AGENT_NOT_FOUND"
        # Nothing of this has registered it again, and others read on.
        assert await unknown(bob.look())
        await ann.send("ann")
        assert await lasting.take(1)


async def _waits(caller: Caller) -> bool:
    """Whether a call waits at the messaging server, which knows its own exactly."""
    return (await caller.look()).waiting_calls > 0


async def test_a_worker_of_a_removed_agent_does_not_bring_it_back(team: Team) -> None:
    ann, bob = await team.known("ann", "bob")
    await remove(ann, "bob")
    waiting = asyncio.create_task(bob.claim(max_wait=50))
    assert await unknown(waiting)
    task = await ann.made()
    assert await unknown(bob.claim())
    assert (await ann.get(task.task_id)).state == PENDING
    # One that was never known is registered by the task that it gets.
    assert len(await team.caller("eve").claim()) == 1
    await bob.register()
    other = await ann.made()
    (claimed,) = await bob.claim()
    assert claimed.task.task_id == other.task_id


async def test_reading_registers_nobody(team: Team) -> None:
    ann, _ = await team.known("ann", "bob")
    typo = team.caller("bobb")
    told = await unknown(typo.backlog())
    assert json.loads(told["nearest_ids"]) == ["bob"]
    receive = pb.ReceiveMessagesRequest(acknowledge_sequences=[1])
    for call in (typo.call(receive), typo.acknowledge(1), typo.look()):
        await unknown(call)
    assert await typo.claim() == []
    assert await typo.watched() == []
    assert await unknown(ann.send("bobb"))
    assert [each.agent_id for each in await team.agents()] == ["ann", "bob"]
    # And an own inbox that is known is noted to be read, as before.
    await ann.backlog()


async def test_each_sender_of_unread_mail_is_told_once(team: Team) -> None:
    ann, bob, cat, dan = await team.known("ann", "bob", "cat", "dan")
    gone = team.caller("eve")
    await gone.send("bob", body="of one that is gone")
    await remove(gone, "eve")
    read = await cat.send("bob", body="read")
    await bob.acknowledge(*[each.sequence for each in read.receipts])
    for number in (1, 2, 3):
        last = await cat.send("bob", "dan", subject=f"question {number}", thread_id="a thread")
    only = await dan.send("bob", body="x")
    await bob.send("bob", body="to itself")
    await ann.send("bob", body="of the one that removes it")
    await ann.do("cancel", (await bob.made()).task_id)  # A notice is no mail of its sender.
    removed = await remove(ann, "bob")
    assert removed.agent.unacknowledged_count == 8
    assert (removed.told_sender_count, removed.untold_sender_count) == (2, 0)
    (told,) = [each.message for each in await cat.backlog()]
    notice = told.mail_notice
    assert (told.kind, told.sender_id, told.thread_id) == (2, "ann", "a thread")
    assert notice.event == pb.MAIL_EVENT_RECIPIENT_REMOVED
    assert (notice.message_id, notice.message_count) == (last.message_id, 3)
    assert (list(notice.recipient_ids), notice.recipient_count) == (["bob"], 1)
    subject = f"Message {last.message_id} and 2 more of yours will not be read by bob: question 3"
    assert told.subject == subject
    assert "is there if it is registered again" in told.body
    (other,) = [each.message for each in await dan.backlog() if each.message.kind == 2]
    assert (other.mail_notice.message_id, other.mail_notice.message_count) == (only.message_id, 1)
    assert not await ann.backlog()
    # What was unread is there again, and nobody is told twice.
    await bob.register()
    assert len(await bob.backlog()) == 8
    await remove(bob, "bob")
    assert (await remove(bob, "bob")).told_sender_count == 0


async def test_of_very_many_senders_those_of_the_newest_messages_are_told(team: Team) -> None:
    ann, _ = await team.known("ann", "bob")
    senders = [team.caller(f"sender-{number:03}") for number in range(203)]
    for sender in senders[:3]:
        await sender.send("bob")
    await asyncio.gather(*(sender.send("bob") for sender in senders[3:]))
    removed = await remove(ann, "bob")
    assert (removed.told_sender_count, removed.untold_sender_count) == (200, 3)
    assert not (await senders[2].look()).last_sequence
    assert (await senders[202].look()).last_sequence == 1
