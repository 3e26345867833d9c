"""Claims with a `request_id`: what a repeat is answered, while leases last and after."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from dovetail.tasks.v1 import tasks_pb2 as pb
from support.pair import running_pair
from support.refusals import refusal
from support.teams import Team


def proofs(claimed: list[pb.ClaimedTask]) -> list[tuple[str, str]]:
    """Which tasks, and by which tokens."""
    return [(each.task.task_id, each.lease_token) for each in claimed]


async def test_a_repeat_answers_the_same_tasks_and_tokens(team: Team) -> None:
    joe, ann = await team.known("joe", "ann")
    for _ in range(7):
        await joe.made(title="work")
    first = await ann.claim(max_tasks=5, request_id="r", lease_duration=60)
    assert len(first) == 5
    for wait in (0, 5):
        again = await ann.claim(max_tasks=5, request_id="r", lease_duration=60, max_wait=wait)
        assert proofs(again) == proofs(first)
    assert len(await ann.claim(max_tasks=5, request_id="other")) == 2


async def test_a_repeat_leaves_out_what_is_no_longer_held(team: Team) -> None:
    joe, ann = await team.known("joe", "ann")
    for _ in range(4):
        await joe.made(title="work")
    first = await ann.claim(max_tasks=3, request_id="r")
    await ann.do("complete", first[0].task.task_id, lease_token=first[0].lease_token)
    await ann.do("release", first[1].task.task_id, lease_token=first[1].lease_token)
    assert proofs(await ann.claim(max_tasks=3, request_id="r")) == proofs(first[2:])
    await ann.do("complete", first[2].task.task_id, lease_token=first[2].lease_token)
    assert await ann.claim(max_tasks=3, request_id="r", max_wait=20) == []
    assert len(await ann.claim(max_tasks=3, request_id="new")) == 2


async def test_a_repeat_of_a_claim_that_got_nothing_is_a_claim_like_any_other(team: Team) -> None:
    joe, ann = await team.known("joe", "ann")
    assert await ann.claim(request_id="r") == []
    await joe.made(title="work")
    assert len(await ann.claim(request_id="r")) == 1


async def test_a_claim_and_its_repeat_that_wait_at_once_take_one_task(team: Team) -> None:
    joe, ann = await team.known("joe", "ann")
    waiting = [await team.waiting(ann, request_id="r") for _ in range(5)]
    for _ in range(3):
        await joe.made(title="work")
    answers = [proofs(await each) for each in waiting]
    assert len(answers[0]) == 1
    assert answers == [answers[0]] * 5
    assert len(await ann.claim(max_tasks=9, request_id="other")) == 2


async def test_of_a_claim_and_its_repeat_the_one_that_stays_keeps_the_task(team: Team) -> None:
    joe, ann = await team.known("joe", "ann")
    leaving = await team.waiting(ann, request_id="r")
    staying = await team.waiting(ann, request_id="r")
    leaving.cancel()
    task = await joe.made(title="work")
    (held,) = await staying
    assert held.task.task_id == task.task_id
    await ann.do("complete", task.task_id, lease_token=held.lease_token)


async def test_a_repeat_that_differs_is_refused(team: Team) -> None:
    joe, ann = await team.known("joe", "ann")
    task = await joe.made(title="work")
    await ann.claim(request_id="r")
    for other in (
        ann.claim(request_id="r", max_tasks=2),
        ann.claim(request_id="r", lease_duration=60),
    ):
        assert (await refusal(other))[1] == "REQUEST_ID_REUSED"
    release = ann.do("release", task.task_id, request_id="r")
    assert (await refusal(release))[1] == "REQUEST_ID_REUSED"


async def test_a_claim_that_waits_beside_a_different_one_with_its_id_is_refused(team: Team) -> None:
    joe, ann = await team.known("joe", "ann")
    waiting = {await team.waiting(ann, request_id="r", max_tasks=most) for most in (1, 2)}
    await joe.made(title="work")
    (first,), (other,) = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    assert len(await first) == 1  # either of them: which one looks first is not promised
    await joe.made(title="more")
    assert (await refusal(other))[1] == "REQUEST_ID_REUSED"


async def test_ids_are_an_agents_own(team: Team) -> None:
    joe, ann, bob = await team.known("joe", "ann", "bob")
    for _ in range(2):
        await joe.made(title="work")
    assert proofs(await ann.claim(request_id="r")) != proofs(await bob.claim(request_id="r"))


@pytest.fixture
async def two_servers(store_url: str, tmp_path: Path) -> AsyncGenerator[tuple[Team, Team]]:
    """One team at two pairs of servers over one store."""
    async with running_pair(store_url) as first, running_pair(store_url) as second:
        yield Team(first, "crew"), Team(second, "crew")


async def test_a_claim_and_its_repeat_at_another_server_take_one_task(
    two_servers: tuple[Team, Team],
) -> None:
    here, _ = two_servers
    joe, ann = await here.known("joe", "ann")
    waiting = [
        await each.waiting(each.caller("ann"), request_id="r", max_wait=3) for each in two_servers
    ]
    await joe.made(title="work")
    first, second = [proofs(await each) for each in waiting]
    assert len(first) == 1
    assert first == second
    await joe.made(title="more")
    assert len(await ann.claim(max_tasks=9, request_id="other")) == 1
