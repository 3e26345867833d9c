"""Agents that were asked and are away: whoever asked is told, once for each question."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from functools import partial
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from dovetail.messaging.v1 import messaging_pb2 as talk
from dovetail.server.store.tables import presence
from dovetail.server.store.tables.credentials import NO_TEAM
from support.callers import Caller
from support.loops import let_an_hour_pass, limit
from support.mail import notices
from support.pair import Pair, running_pair
from support.teams import Team
from support.waiting import until

SECOND = 1_000_000


@pytest.fixture(scope="module")
async def looking(shared_url: str) -> AsyncGenerator[Pair]:
    """Servers that look often, and tell after a quarter of an hour."""
    often = {"away_look_seconds": 0.1, "presence_seconds": 1.0, "away_seconds": 900.0}
    async with running_pair(shared_url, **often) as pair:
        yield pair


@pytest.fixture
def team(looking: Pair) -> Team:
    """A new team on them."""
    return Team.new(looking)


async def asked(team: Team, task_id: str, asked_id: str, **offer: Any) -> str:
    """The message of a question that ann asks an agent."""
    ann = team.caller("ann")
    await team.caller("joe").create(task_id=task_id, assignee_id="ann")
    await ann.do("start", task_id)
    response = await ann.do("request-input", task_id, agent_id=asked_id, text="Which?", **offer)
    return response.notices[0].message_id


async def known_to_be_there(team: Team, agent_id: str) -> None:
    """Wait until the task server knows that an agent has something open on the other one."""
    store = team.pair.tasks_store
    find = partial(presence.of_agents, agent_ids=[agent_id])
    ((_, process_id, _),) = await until(lambda: store.read(team.team_id, find))

    async def beats() -> int:
        return (await store.read(NO_TEAM, presence.beats))[process_id]

    first = await beats()

    async def has_beaten_twice() -> bool:
        return await beats() >= first + 2

    await until(has_beaten_twice)


async def told(caller: Caller, count: int) -> list[talk.Message]:
    """So many notices about mail, as soon as they are there."""

    async def are_there() -> bool:
        return len(await notices(caller)) >= count

    await until(are_there)
    return await notices(caller)


async def test_whoever_asked_is_told_once_that_no_answer_is_to_be_expected(team: Team) -> None:
    joe, ann, ben = await team.known("joe", "ann", "ben")
    message_id = await asked(team, "t1", "ben")
    before = await team.row("t1")
    await let_an_hour_pass(team)
    (notice,) = await told(ann, 1)
    assert (notice.kind, notice.sender_id, notice.task_id) == (
        talk.MESSAGE_KIND_NOTICE,
        "",
        "t1",
    )
    assert notice.mail_notice == talk.MailNotice(
        event=talk.MAIL_EVENT_ASKED_AWAY,
        message_id=message_id,
        recipient_ids=["ben"],
        recipient_count=1,
        reason="ben has not been seen for 1 hour.",
    )
    assert notice.subject == "Task t1: ben, who was asked, is away"
    after = await team.row("t1")
    assert before
    assert after
    assert (after.version, after.event_count) == (before.version, before.event_count)
    # It is no change of the task: it can still be answered, and asked again, which is told again.
    await ben.do("provide-input", "t1", text="This.")
    await ann.do("request-input", "t1", agent_id="ben")
    assert [await notices(each) for each in (joe, ben)] == [[], []]
    await let_an_hour_pass(team)
    assert len(await told(ann, 2)) == 2


async def test_whoever_waits_for_an_agent_away_is_told_of_the_default(team: Team) -> None:
    _, ann, _ = await team.known("joe", "ann", "ben")
    month = Duration(seconds=30 * 86_400)
    await asked(team, "t1", "ben", answer_within=month, default_answer="the left one")
    deadline = (await ann.get("t1")).question.deadline_time
    await let_an_hour_pass(team)
    (notice,) = await told(ann, 1)
    by = f"{deadline.ToDatetime():%Y-%m-%dT%H:%M:%SZ}"
    assert f"If there is no answer by {by}, the answer is: the left one" in notice.body


async def test_who_is_there_is_not_away_nor_was_who_left_just_now(team: Team) -> None:
    _, ann, ben, _ = await team.known("joe", "ann", "ben", "cid")
    async with ben.inbox() as inbox:
        await inbox.backlog()
        await known_to_be_there(team, "ben")
        # In order of tasks: when the second is told, the first was looked at.
        await asked(team, "t1", "ben")
        await asked(team, "t2", "cid")
        await let_an_hour_pass(team)
        (notice,) = await told(ann, 1)
        assert notice.task_id == "t2"
    await limit(team, away=SECOND)
    first, second = await told(ann, 2)
    assert (first.task_id, second.task_id) == ("t2", "t1")


async def test_a_team_may_never_be_told(team: Team) -> None:
    _, ann, _ = await team.known("joe", "ann", "ben")
    other = Team.new(team.pair)
    await other.known("joe", "ann", "ben")
    for each in (team, other):
        await asked(each, "t1", "ben")
    await limit(team, away=0)
    for each in (team, other):
        await let_an_hour_pass(each)
    await told(other.caller("ann"), 1)
    await limit(team, away=2 * 3_600 * SECOND)
    await let_an_hour_pass(team)
    (notice,) = await told(ann, 1)
    assert notice.mail_notice.reason == "ben has not been seen for 2 hours."
