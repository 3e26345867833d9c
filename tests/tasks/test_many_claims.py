"""Claims of very many teams, and of very many kinds: nothing is kept, and nobody is passed over."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Sequence

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from dovetail.server import clock
from dovetail.server.store.transaction import Snapshot
from dovetail.server.tasks.claims import matcher
from dovetail.server.tasks.claims.matching import MatchResult, WaitingClaim
from dovetail.tasks.v1 import tasks_pb2 as pb
from support.teams import Team
from support.waiting import until


def titles(claimed: list[pb.ClaimedTask]) -> list[str]:
    return [each.task.title for each in claimed]


async def test_nothing_is_kept_of_a_team_in_which_nobody_waits_any_more(team: Team) -> None:
    """Anybody may name as many teams as they like: names must not pile up in the server."""

    async def all_are_gone() -> bool:
        gc.collect()
        return not [
            each
            for each in gc.get_objects()
            if isinstance(each, matcher.Matcher) and each.team_id.startswith(team.team_id)
        ]

    for number in range(20):
        other = Team(team.pair, f"{team.team_id}-{number}")
        assert await other.caller("ann").claim() == []
    await until(all_are_gone)


async def test_a_task_that_becomes_due_while_another_queue_is_looked_at_is_granted(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look for bob sees no later time any more, but does not look for ann."""
    joe, ann, bob = await team.known("joe", "ann", "bob")
    due = clock.now() + 1_000_000
    find_ready = matcher.find_ready

    def delayed(snapshot: Snapshot, claims: Sequence[WaitingClaim], rung: set[str]) -> MatchResult:
        while "bob" in rung and clock.now() <= due:
            time.sleep(0.01)
        return find_ready(snapshot, claims, rung)

    # Nor does the look for rings that were lost, which rings all queues after any change.
    monkeypatch.setattr(team.pair.tasks_store, "_ring_changed", lambda: asyncio.sleep(0))
    waiting = [await team.waiting(worker, max_wait=50) for worker in (ann, bob)]
    monkeypatch.setattr(matcher, "find_ready", delayed)
    await joe.made(
        assignee_id="ann",
        title="later",
        schedule_time=Timestamp(seconds=due // 1_000_000, nanos=due % 1_000_000 * 1_000),
    )
    await joe.made(assignee_id="bob", title="now")
    async with asyncio.timeout(30):
        given = await asyncio.gather(*waiting)
    assert [titles(each) for each in given] == [["later"], ["now"]]


async def test_claims_of_more_kinds_than_one_look_takes_are_all_served(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each with a filter of its own; those that are put off come next, also while others ring."""
    monkeypatch.setattr(matcher, "KINDS_MAX", 3)
    joe, *workers = await team.known("joe", *(f"w{n}" for n in range(10)))
    waiting = [
        asyncio.create_task(
            worker.claim(max_wait=50, filter=pb.TaskFilter(labels={"for": worker.agent_id}))
        )
        for worker in workers
    ]
    for worker in reversed(workers):
        await joe.made(labels={"for": worker.agent_id}, title=worker.agent_id)
    async with asyncio.timeout(30):
        given = await asyncio.gather(*waiting)
    assert [titles(each) for each in given] == [[worker.agent_id] for worker in workers]
