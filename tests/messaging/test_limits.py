"""How much an inbox and a team may keep: what is refused, what is not, and that it is counted."""

from __future__ import annotations

import json

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from dovetail.admin.v1 import admin_pb2 as a
from dovetail.messaging.v1 import messaging_pb2 as m
from dovetail.server.store import doctor
from support.callers import Caller, sequences
from support.cleaning import NOW, clean, keep
from support.pair import identity
from support.refusals import failure, refusal
from support.teams import Team

TIMES = 10
"""Bytes by which messages alike may differ: of numbers and times, small ones take less."""


async def limit(team: Team, **limits: int) -> a.Team:
    """Set limits of a team, as anybody may where no credentials are asked for."""
    request = a.UpdateTeamRequest(
        team=a.Team(limits=a.Limits(**limits)), update_mask=FieldMask(paths=["limits"])
    )
    response = await team.pair.admin.UpdateTeam(request, metadata=identity("", team.team_id))
    return response.team


async def figures(team: Team) -> a.TeamFigures:
    """How much a team keeps."""
    metadata = identity("", team.team_id)
    response = await team.pair.other_admin.GetTeam(a.GetTeamRequest(), metadata=metadata)
    return response.team.figures


async def test_a_full_inbox_takes_notices_only_until_some_is_acknowledged(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    await limit(team, inbox_messages=2)
    await alice.send("bob")
    await alice.send("bob", request_id="second")
    before = await team.agents()
    code, reason, metadata = await refusal(alice.send("alice", "bob"))
    assert (code.name, reason) == ("RESOURCE_EXHAUSTED", "INBOX_FULL")
    assert metadata == {
        "agent_id": "bob",
        "agent_ids": json.dumps(["bob"]),
        "full_count": "1",
        "measure": "messages",
        "limit": "2",
        "used": "2",
        "needed": "1",
    }
    assert await team.agents() == before
    # A repeat sends nothing, and so is not refused. Notices stand outside, and do not count.
    assert (await alice.send("bob", request_id="second")).message_id == "m2"
    await alice.made(assignee_id="bob")
    assert sequences(await bob.backlog()) == [1, 2, 3]
    await bob.acknowledge(3)
    assert (await refusal(alice.send("bob")))[1] == "INBOX_FULL"
    await bob.acknowledge(1)
    await alice.send("bob")
    # All or none: of a batch of two the second would be one too many.
    await bob.acknowledge(2)
    two = [m.SendMessageRequest(recipient_ids=["bob"])] * 2
    assert (await refusal(alice.call(m.BatchSendMessagesRequest(requests=two))))[2]["needed"] == "2"
    assert (await alice.call(m.BatchSendMessagesRequest(requests=two[:1]))).messages
    await limit(team)
    assert (await alice.call(m.BatchSendMessagesRequest(requests=two))).messages


async def test_bytes_are_counted_exactly(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    await alice.send("bob", body="x" * 1_000)
    size = (await figures(team)).message_bytes
    assert 1_000 < size < 1_300
    await limit(team, inbox_bytes=2 * size + TIMES)
    await alice.send("bob", body="x" * 1_000)
    used = str((await figures(team)).message_bytes)
    _, reason, metadata = await refusal(alice.send("bob", body=""))
    assert (reason, metadata["measure"], metadata["used"]) == ("INBOX_FULL", "bytes", used)
    await bob.acknowledge(1)
    await alice.send("bob", body="x" * 1_000)
    assert (await figures(team)).unacknowledged_count == 2


@pytest.mark.parametrize("measure", ["messages", "bytes"])
async def test_a_full_team_sends_again_once_old_messages_were_removed(
    team: Team, measure: str
) -> None:
    alice, bob = await team.known("alice", "bob")
    await alice.send("bob")
    size = (await figures(team)).message_bytes
    await limit(team, **{measure: 2 if measure == "messages" else 2 * size + TIMES})
    await alice.send("bob")
    error = await failure(alice.send("bob"))
    assert "retention" in (error.details() or "")
    _, reason, metadata = await refusal(alice.send("alice"))
    assert (reason, metadata["team_id"], metadata["measure"]) == (
        "TEAM_FULL",
        team.team_id,
        measure,
    )
    # Acknowledging makes no room: what is kept counts, until it is removed.
    await bob.acknowledge(1, 2)
    assert (await refusal(alice.send("bob")))[1] == "TEAM_FULL"
    await alice.made(assignee_id="bob")
    await keep(team, message_age=NOW)
    await clean(team.pair.messaging_store)
    await alice.send("bob")
    found = await figures(team)
    assert (found.messages, found.notices, found.removed_messages) == (1, 1, 2)


async def test_what_is_counted_agrees_with_what_is_there(team: Team) -> None:
    alice, bob = await team.known("alice", "bob")
    for body in ("", "x" * 500, "y"):
        await alice.send("alice", "bob", body=body)
    await alice.made(assignee_id="bob")
    await bob.acknowledge(2, 4)
    await keep(team, notice_age=NOW, unacknowledged_age=NOW)
    await alice.made(assignee_id="bob")
    await clean(team.pair.messaging_store)
    await alice.send("bob", "alice")
    found = {each.check: each.level for each in doctor.check_store(team.pair.store_url)}
    counters = ("inbox counters", "team counters", "message counters", "report figures")
    assert {found[check] for check in counters} == {doctor.Level.OK}
    shown = await figures(team)
    inboxes: list[Caller] = [alice, bob]
    unacknowledged = [len(await each.backlog()) for each in inboxes]
    assert shown.unacknowledged_count == sum(unacknowledged)
