"""What is removed with a message and a task: files, ends of deliveries, words in the index."""

from __future__ import annotations

from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from dovetail.admin.v1 import admin_pb2 as a
from dovetail.messaging.v1 import messaging_pb2 as m
from dovetail.server import clock
from dovetail.server.store.counter_queries import COUNTERS
from dovetail.server.store.moving.places import opened
from dovetail.server.store.schema import MessageAttachmentRow, TaskAttachmentRow
from dovetail.server.store.tables.message_search import MESSAGES
from dovetail.server.store.transaction import Snapshot
from dovetail.tasks.v1 import tasks_pb2 as t
from dovetail.types.v1 import types_pb2
from support.callers import Caller, sequences
from support.cleaning import NOW, clean, keep
from support.pair import identity
from support.refusals import refusal
from support.teams import Team
from support.waiting import until

FILE = types_pb2.Attachment(name="plan.txt", data=b"a plan")


def wrong(team: Team) -> dict[str, list[Any]]:
    """What the doctor finds wrong in the counters of the team."""
    with opened(team.pair.store_url) as place:
        found = {
            name: place.rows(query.rpartition("LIMIT")[0], ()) for name, query in COUNTERS.items()
        }
    mine = {name: [row for row in rows if row[0] == team.team_id] for name, rows in found.items()}
    return {name: rows for name, rows in mine.items() if rows}


async def files(team: Team) -> tuple[int, int]:
    """How many attachments the team has: of messages, and of tasks."""

    def count(snapshot: Snapshot) -> tuple[int, int]:
        messages, tasks = (
            len(snapshot.select(model.select(model.name).where(model.team_id == snapshot.team_id)))
            for model in (MessageAttachmentRow, TaskAttachmentRow)
        )
        return messages, tasks

    return await team.pair.messaging_store.read(team.team_id, count)


async def hits(caller: Caller, query: str) -> list[str]:
    """The subjects of the messages in which a query is found."""
    found = await caller.call(m.SearchMessagesRequest(query=query))
    return [hit.record.message.subject for hit in found.hits]


async def soon(team: Team) -> Timestamp:
    """A moment of which the servers' monitors take note before long."""
    moment = Timestamp()
    moment.FromMicroseconds(clock.now() + 200_000)
    return moment


async def limit(team: Team, **limits: int) -> None:
    """Set how much the team may keep."""
    request = a.UpdateTeamRequest(
        team=a.Team(limits=a.Limits(**limits)), update_mask=FieldMask(paths=["limits"])
    )
    await team.pair.admin.UpdateTeam(request, metadata=identity("", team.team_id))


async def test_room_comes_back_in_every_way_in_which_a_delivery_ends(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    await limit(team, inbox_messages=1)

    async def is_full() -> bool:
        return (await refusal(alice.send("bob")))[1] == "INBOX_FULL"

    await alice.send("bob")
    assert await is_full()
    await bob.acknowledge(1)
    await alice.send("bob")
    assert await is_full()
    await bob.call(m.RejectMessageRequest(sequences=[2], reason="cannot"))
    sent = await alice.send("bob")
    assert await is_full()
    await alice.call(m.WithdrawMessageRequest(message_id=sent.message_id))
    await alice.send("bob", expire_time=await soon(team))

    async def is_empty() -> bool:
        return (await bob.look()).unacknowledged_count == 0

    await until(is_empty)
    await alice.send("bob")
    # Notices stand outside, also where they are withdrawn.
    task = await alice.made(assignee_id="bob")
    await alice.do("cancel", task.task_id)
    assert await is_full()
    assert wrong(team) == {}
    await bob.acknowledge(through_sequence=(await bob.look()).last_sequence)
    assert wrong(team) == {}


async def test_the_bytes_of_files_count_for_limits(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    file = types_pb2.Attachment(name="large", data=bytes(50_000))
    link = types_pb2.Attachment(name="far", url="https://example.org/x", size=10**9)
    await limit(team, inbox_bytes=60_000)
    await alice.send("bob", attachments=[link])
    await alice.send("bob", attachments=[file])
    _, reason, metadata = await refusal(alice.send("bob", attachments=[file]))
    assert (reason, metadata["measure"]) == ("INBOX_FULL", "bytes")
    assert wrong(team) == {}
    await bob.acknowledge(2)
    await alice.send("bob", attachments=[file])
    await keep(team, message_age=NOW)
    await clean(team.pair.messaging_store)
    assert (await files(team), wrong(team)) == ((2, 0), {})


async def test_a_message_goes_with_its_files_its_words_and_however_it_ended(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    await alice.send("bob", subject="rejected", body="common", attachments=[FILE])
    sent = await alice.send("bob", subject="withdrawn", body="common", attachments=[FILE])
    await alice.send("bob", subject="unread", body="common")
    await alice.send("bob", subject="expired", body="common", expire_time=await soon(team))
    await alice.send("bob", subject="open", body="common", attachments=[FILE])
    await bob.call(m.RejectMessageRequest(sequences=[1], reason="cannot"))
    await alice.call(m.WithdrawMessageRequest(message_id=sent.message_id))

    async def is_expired() -> bool:
        return (await bob.look()).unacknowledged_count == 2

    await until(is_expired)
    assert len(await hits(alice, "common")) == 5
    await keep(team, message_age=NOW)
    await clean(team.pair.messaging_store)
    assert await files(team) == (1, 0)
    assert await hits(alice, "common") == ["open", "unread"]
    # No stream ever sends what was rejected, withdrawn or has expired: no cursor misses it.
    for include in (False, True):
        async with bob.inbox(after_sequence=0, include_acknowledged=include) as inbox:
            assert sequences(await inbox.backlog()) == [3, 5]
    assert wrong(team) == {}
    await bob.acknowledge(3, 5)
    await clean(team.pair.messaging_store)
    assert await files(team) == (0, 0)
    assert (await hits(alice, "common"), wrong(team)) == ([], {})


async def test_a_search_survives_words_whose_message_is_gone(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    for subject in ("1", "2", "3"):
        await alice.send("bob", subject=subject, body="common")
    bite = await team.pair.messaging_store.read(team.team_id, MESSAGES.next_bite)
    await bob.acknowledge(1, 2)
    await keep(team, message_age=NOW)
    await clean(team.pair.messaging_store)
    # An indexer that read them before they went.
    await team.pair.messaging_store.write(team.team_id, lambda each: MESSAGES.write(each, bite, ()))
    assert len(bite.documents) == 3
    assert await hits(bob, "common") == ["3"]


async def test_attempts_and_tasks_go_with_their_files_but_for_a_result_that_stays(
    team: Team,
) -> None:
    (ann,) = await team.known("ann")
    task = await ann.made(input_attachments=[FILE])
    task_id = task.task_id
    result = t.TaskResult(summary="late", attachments=[FILE])
    token = await ann.held(task_id)
    await ann.do("unassign", task_id, force=True)
    await refusal(ann.do("complete", task_id, lease_token=token, result=result))
    token = await ann.held(task_id)
    await ann.do("complete", task_id, lease_token=token, result=result)
    assert await files(team) == (0, 3)
    await keep(team, attempt_age=NOW)
    await clean(team.pair.tasks_store)
    assert await files(team) == (0, 2)
    asked = t.GetTaskAttachmentRequest(task_id=task_id, name=FILE.name)
    asked.place = t.ATTACHMENT_PLACE_RESULT
    assert (await ann.call(asked)).attachment.data == FILE.data
    assert (await ann.call(t.SearchTasksRequest(query="late"))).hits
    assert wrong(team) == {}
    await keep(team, task_age=NOW)
    await clean(team.pair.tasks_store)
    assert await files(team) == (0, 0)
    assert not (await ann.call(t.SearchTasksRequest(query="late"))).hits
    assert wrong(team) == {}
