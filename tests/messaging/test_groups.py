"""Groups: named sets of agents, and what is sent to them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import grpc
import pytest

from dovetail.messaging.v1 import messaging_pb2 as pb
from support.callers import Caller
from support.refusals import error_info, failure
from support.teams import Team

EVERYBODY = ("ann", "bob", "cat", "dan")


async def put(caller: Caller, group_id: str, *members: str, etag: str = "", **fields: Any) -> Any:
    """PutGroup."""
    group = pb.Group(group_id=group_id, agent_ids=members, **fields)
    return await caller.call(pb.PutGroupRequest(group=group, etag=etag))


async def get(caller: Caller, group_id: str) -> pb.Group:
    return (await caller.call(pb.GetGroupRequest(group_id=group_id))).group


async def refused(call: Any) -> tuple[str, Any]:
    """The status of a call, and why it was refused."""
    error = await failure(call)
    return error.code().name, error_info(error)


async def test_a_group_is_made_and_replaced_as_a_whole(team: Team) -> None:
    ann, *_ = await team.known(*EVERYBODY)
    made = await put(ann, "crew", "cat", "bob", "cat", display_name="The crew", labels={"a": "1"})
    assert made.created
    assert list(made.group.agent_ids) == ["bob", "cat"]
    assert (made.group.agent_count, made.group.creator_id) == (2, "ann")
    assert (made.group.display_name, dict(made.group.labels)) == ("The crew", {"a": "1"})
    assert made.group.create_time == made.group.update_time
    assert await get(ann, "crew") == made.group
    again = await put(ann, "crew", "bob", "cat", display_name="The crew", labels={"a": "1"})
    assert (again.created, again.group) == (False, made.group)
    other = (await put(team.caller("dan"), "crew", "dan", "cat")).group
    assert list(other.agent_ids) == ["cat", "dan"]
    assert (other.display_name, dict(other.labels), other.creator_id) == ("", {}, "ann")
    assert other.etag != made.group.etag
    assert other.create_time == made.group.create_time
    assert other.update_time.ToMicroseconds() > made.group.update_time.ToMicroseconds()
    assert (await put(ann, "crew")).group.agent_count == 0


async def test_an_etag_guards_a_group_also_against_one_that_had_its_name(team: Team) -> None:
    (ann,) = await team.known("ann")
    old = (await put(ann, "crew", "ann")).group
    new = (await put(ann, "crew", etag=old.etag)).group
    for call in (
        put(ann, "crew", "ann", display_name="other", etag=old.etag),
        put(ann, "none", "ann", etag=old.etag),
        ann.call(pb.DeleteGroupRequest(group_id="crew", etag=old.etag)),
    ):
        status, info = await refused(call)
        assert (status, info.reason) == ("ABORTED", "ETAG_MISMATCH")
    # What is there already is no conflict: a repeat whose first response was lost.
    assert (await put(ann, "crew", etag=old.etag)).group == new
    delete = pb.DeleteGroupRequest(group_id="crew", etag=new.etag)
    assert (await ann.call(delete)).deleted
    assert not (await ann.call(delete)).deleted
    assert (await put(ann, "crew")).group.etag not in (old.etag, new.etag)


async def test_groups_are_listed_without_members_and_by_member_or_label(team: Team) -> None:
    ann, *_ = await team.known(*EVERYBODY)
    await put(ann, "b", "ann", "bob", labels={"k": "1"})
    await put(ann, "a", "bob")
    await put(ann, "c")

    async def found(**fields: Any) -> list[str]:
        listed = await ann.call(pb.ListGroupsRequest(**fields))
        assert not any(each.agent_ids for each in listed.groups)
        return [f"{each.group_id}{each.agent_count}" for each in listed.groups]

    assert await found() == ["a1", "b2", "c0"]
    assert await found(agent_id="bob") == ["a1", "b2"]
    assert await found(agent_id="ann") == ["b2"]
    assert await found(agent_id="dan") == []
    assert await found(labels={"k": "1"}) == ["b2"]
    first = await ann.call(pb.ListGroupsRequest(page_size=2))
    assert len(first.groups) == 2
    assert await found(page_token=first.next_page_token) == ["c0"]
    status, info = await refused(ann.call(pb.ListGroupsRequest(agent_id="bobb")))
    assert (status, info.reason) == ("NOT_FOUND", "AGENT_NOT_FOUND")


async def test_what_a_group_may_not_have_is_refused(team: Team) -> None:
    ann, *_ = await team.known(*EVERYBODY)
    status, info = await refused(put(ann, "crew", "bob", "carl", "bobb"))
    assert (status, info.reason) == ("NOT_FOUND", "AGENT_NOT_FOUND")
    assert json.loads(info.metadata["agent_ids"]) == ["bobb", "carl"]
    status, info = await refused(get(ann, "crew"))
    assert (status, info.reason) == ("NOT_FOUND", "GROUP_NOT_FOUND")
    # Whoever puts a group is registered by that, and may be in it.
    assert list((await put(team.caller("eve"), "crew", "eve")).group.agent_ids) == ["eve"]


async def test_a_message_to_groups_reaches_each_member_once(team: Team) -> None:
    ann, bob, *_ = await team.known(*EVERYBODY)
    await put(ann, "readers", "ann", "bob", "cat")
    await put(ann, "writers", "cat", "dan")
    sent = await ann.send("dan", group_ids=["readers", "writers", "readers"], request_id="r")
    assert [each.recipient_id for each in sent.receipts] == ["dan", "bob", "cat"]
    message = (await bob.backlog())[0].message
    assert list(message.group_ids) == ["readers", "writers"]
    assert (message.recipient_count, list(message.recipient_ids)) == (3, ["dan", "bob", "cat"])
    # The message stays as it is, and a repeat returns it, whatever becomes of the groups.
    await ann.call(pb.DeleteGroupRequest(group_id="writers"))
    await put(ann, "readers")
    repeat = await ann.send("dan", group_ids=["readers", "writers", "readers"], request_id="r")
    assert repeat == sent
    assert (await bob.read(sent.message_id)).message == message
    assert not (await ann.look()).last_sequence
    # The sender gets it only if it names itself.
    await put(ann, "readers", "ann", "bob")
    itself = await ann.send("ann", group_ids=["readers"])
    assert [each.recipient_id for each in itself.receipts] == ["ann", "bob"]


async def test_a_batch_may_be_sent_to_groups(team: Team) -> None:
    ann, bob, *_ = await team.known(*EVERYBODY)
    await put(ann, "crew", "bob", "cat")
    requests = [
        pb.SendMessageRequest(group_ids=["crew"], body="1"),
        pb.SendMessageRequest(recipient_ids=["bob"], body="2"),
        pb.SendMessageRequest(recipient_ids=["dan"], group_ids=["crew"], body="3"),
    ]
    await ann.call(pb.BatchSendMessagesRequest(requests=requests))
    found = [each.message for each in await bob.backlog()]
    assert [each.body for each in found] == ["1", "2", "3"]
    assert [each.recipient_count for each in found] == [2, 1, 3]
    assert [list(each.group_ids) for each in found] == [["crew"], [], ["crew"]]
    requests[1].group_ids[:] = ["gone"]
    status, info = await refused(ann.call(pb.BatchSendMessagesRequest(requests=requests)))
    assert (status, info.reason) == ("NOT_FOUND", "GROUP_NOT_FOUND")
    assert (await bob.look()).last_sequence == 3


async def test_unknown_groups_are_all_named_with_the_nearest(team: Team) -> None:
    ann, bob, *_ = await team.known(*EVERYBODY)
    await put(ann, "reviewers", "bob")
    status, info = await refused(ann.send(group_ids=["reviewer", "reviewers", "crew"]))
    assert (status, info.reason) == ("NOT_FOUND", "GROUP_NOT_FOUND")
    assert json.loads(info.metadata["group_ids"]) == ["reviewer", "crew"]
    assert json.loads(info.metadata["nearest_ids"]) == ["reviewers"]
    assert info.metadata["unknown_count"] == "2"
    assert not (await bob.look()).last_sequence


@pytest.mark.parametrize("members", [(), ("ann",)], ids=["nobody", "the sender"])
async def test_a_message_to_nobody_is_refused(team: Team, members: tuple[str, ...]) -> None:
    ann, *_ = await team.known(*EVERYBODY)
    await put(ann, "crew", *members)
    error = await failure(ann.send(group_ids=["crew"]))
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert error_info(error).reason == "NO_RECIPIENTS"
    assert "'crew' has no member but the sender" in (error.details() or "")
    assert (await ann.send("bob", group_ids=["crew"])).receipts[0].recipient_id == "bob"


async def test_a_message_has_a_thousand_recipients_at_most_with_its_groups(team: Team) -> None:
    (ann,) = await team.known("ann")
    names = [f"agent-{number:04}" for number in range(1_001)]
    for start in range(0, len(names), 100):
        some = names[start : start + 100]
        await asyncio.gather(*(ann.register(agent_id=each) for each in some))
    await put(ann, "most", *names[:1_000])
    await put(ann, "some", *names[500:1_001])
    status, info = await refused(ann.send(group_ids=["most", "some"]))
    assert (status, info.reason) == ("FAILED_PRECONDITION", "TOO_MANY_RECIPIENTS")
    assert (info.metadata["recipient_count"], info.metadata["most"]) == ("1001", "1000")
    whole = await ann.send(names[0], group_ids=["most"])
    assert len(whole.receipts) == 1_000
    batch = [pb.SendMessageRequest(group_ids=["most"])] * 11
    status, info = await refused(ann.call(pb.BatchSendMessagesRequest(requests=batch)))
    assert (status, info.reason) == ("FAILED_PRECONDITION", "TOO_MANY_RECIPIENTS")
    assert (info.metadata["recipient_count"], info.metadata["most"]) == ("11000", "10000")
    # Before any member is read: 20,000 at most, in all groups.
    for number in range(20):
        await put(ann, f"most-{number}", *names[:1_000])
    wide = [f"most-{number}" for number in range(20)]
    requests = [
        pb.SendMessageRequest(group_ids=wide),
        pb.SendMessageRequest(group_ids=["some"]),
    ]
    status, info = await refused(ann.call(pb.BatchSendMessagesRequest(requests=requests)))
    assert (info.reason, info.metadata["most"]) == ("TOO_MANY_RECIPIENTS", "20000")
    assert len((await ann.send(group_ids=wide)).receipts) == 1_000


async def test_a_team_has_a_thousand_groups_at_most(team: Team) -> None:
    (ann,) = await team.known("ann")
    for start in range(0, 1_000, 100):
        numbers = range(start, start + 100)
        await asyncio.gather(*(put(ann, f"group-{number}") for number in numbers))
    status, info = await refused(put(ann, "one more"))
    assert (status, info.reason) == ("RESOURCE_EXHAUSTED", "TOO_MANY_GROUPS")
    assert (await put(ann, "group-7", "ann")).group.agent_count == 1
    await ann.call(pb.DeleteGroupRequest(group_id="group-8"))
    assert (await put(ann, "one more")).created


async def test_groups_and_messages_of_one_commit_see_each_other(team: Team) -> None:
    """Units that wait together are one transaction; each sees what those before it have put."""
    ann, bob, *_ = await team.known(*EVERYBODY)
    sends: list[Any] = []
    for number in range(30):
        sends.append(put(ann, f"crew-{number % 3}", "bob", "cat"))
        sends.append(put(ann, f"crew-{number % 3}", "bob"))
    await asyncio.gather(*sends)
    for number in range(3):
        await put(ann, f"crew-{number}", "bob", "dan")
    many = [ann.send(group_ids=[f"crew-{number % 3}"], body=str(number)) for number in range(60)]
    await asyncio.gather(*many)
    assert (await bob.look()).last_sequence == 60
    assert (await team.caller("dan").look()).last_sequence == 60
