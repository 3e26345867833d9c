"""Claims: who gets which task, what wakes those who wait, and in which order they are served."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from itertools import chain
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from dovetail.admin.v1 import admin_pb2
from dovetail.server.store.tables.events import TaskVerb
from dovetail.tasks.v1 import tasks_pb2 as pb
from dovetail.tasks.v1 import tasks_pb2_grpc
from store.opened import held
from support.callers import Caller, seconds
from support.guarded import bearer, guarded_pair
from support.pair import identity, running, running_pair
from support.refusals import faults, refusal
from support.tables import IN_PROGRESS, PENDING
from support.teams import Team
from support.waiting import until

FAR = Timestamp(seconds=4_000_000_000)


def soon(after: float) -> Timestamp:
    """A time so many seconds from now."""
    made = Timestamp()
    made.FromMicroseconds(time.time_ns() // 1_000 + round(after * 1_000_000))
    return made


def titles(claimed: list[pb.ClaimedTask]) -> list[str]:
    return [each.task.title for each in claimed]


async def test_own_tasks_come_first_then_priority_due_time_and_age(team: Team) -> None:
    joe, ann, _ = await team.known("joe", "ann", "bob")
    drafts: dict[str, dict[str, Any]] = {
        "pool, low": {"priority": -1},
        "pool, first": {},
        "pool, second": {},
        "pool, due late": {"due_time": Timestamp(seconds=FAR.seconds + 1)},
        "pool, due": {"due_time": FAR},
        "pool, high": {"priority": 2**31 - 1},
        "own, low": {"assignee_id": "ann", "priority": -(2**31)},
        "own, due": {"assignee_id": "ann", "due_time": FAR},
        "own, high": {"assignee_id": "ann", "priority": 1},
        "another's": {"assignee_id": "bob", "priority": 9},
        "not yet": {"priority": 9, "schedule_time": FAR},
    }
    made = [await joe.made(title=title, **fields) for title, fields in drafts.items()]
    await joe.made(title="waits for another", depends_on=[made[0].task_id], priority=9)
    assert titles(await ann.claim(max_tasks=100)) == [
        *("own, high", "own, due", "own, low", "pool, high", "pool, due", "pool, due late"),
        *("pool, first", "pool, second", "pool, low"),
    ]


async def test_a_claimed_task_is_the_callers_and_started_under_a_lease(team: Team) -> None:
    joe, ann = await team.known("joe", "ann")
    before = await joe.made()
    ((task, token),) = [(each.task, each.lease_token) for each in await ann.claim()]
    assert (task.state, task.assignee_id, task.attempt) == (IN_PROGRESS, "ann", 1)
    assert (task.pooled, task.lease.duration) == (True, seconds(60))
    assert task.start_time == task.assign_time == task.update_time
    hint = task.lease.expire_time.ToMicroseconds() - task.start_time.ToMicroseconds()
    assert hint == 60_000_000
    assert task.etag != before.etag
    assert await joe.get(task.task_id) == task
    (_, event) = await team.events(task.task_id)
    assert (event.verb, event.actor_id, event.message_number) == (TaskVerb.CLAIM, "ann", None)
    await ann.do("complete", task.task_id, lease_token=token)


async def test_a_claim_answers_as_many_as_it_asks_for_and_are_ready(team: Team) -> None:
    joe, ann = await team.known("joe", "ann")
    for title in "abcde":
        await joe.made(title=title)
    assert titles(await ann.claim()) == ["a"]
    assert titles(await ann.claim(max_tasks=2)) == ["b", "c"]
    assert titles(await ann.claim(max_tasks=100, max_wait=30)) == ["d", "e"]
    assert await ann.claim(max_tasks=100) == []
    assert await ann.claim(max_wait=0.05) == []


async def test_a_filter_narrows_what_is_claimed(team: Team) -> None:
    joe, ann = await team.known("joe", "ann")
    whole = await joe.made(title="whole", assignee_id="joe")
    await joe.made(title="part", parent_task_id=whole.task_id)
    await joe.made(title="red", labels={"hue": "red", "room": "hall"})
    await ann.made(title="ann's")
    filters: list[tuple[str, dict[str, Any]]] = [
        ("red", {"labels": {"hue": "red"}}),
        ("part", {"parent_task_id": whole.task_id}),
        ("ann's", {"creator_ids": ["ann"]}),
    ]
    assert await ann.claim(filter=pb.TaskFilter(labels={"hue": "blue"})) == []
    for title, fields in filters:
        assert titles(await ann.claim(filter=pb.TaskFilter(**fields))) == [title]
    assert await ann.claim() == []


async def test_what_is_wrong_with_a_claim_is_named(team: Team) -> None:
    (ann,) = await team.known("ann")
    filter = pb.TaskFilter(states=[PENDING], assignee_ids=["ann"], unassigned=True)
    named = {"filter.states", "filter.assignee_ids", "filter.unassigned"}
    assert await faults(ann.claim(filter=filter)) == named
    assert await faults(ann.claim(max_wait=50.1, max_tasks=101, lease_duration=3_601)) == {
        *("max_wait", "max_tasks", "lease_duration")
    }
    assert await faults(ann.claim(max_wait=-1, max_tasks=-1, lease_duration=0)) == {
        *("max_wait", "max_tasks", "lease_duration")
    }


async def test_a_caller_without_an_agent_cannot_claim(team: Team) -> None:
    await team.caller().made()
    code, reason, _ = await refusal(team.caller().claim())
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "CALLER_AGENT_REQUIRED")


async def test_what_is_claimed_is_never_of_another_team(team: Team) -> None:
    await Team.new(team.pair).caller("joe").made()
    assert await team.caller("ann").claim() == []


Scene = AsyncGenerator[None]
"""What makes a task ready for ann: before the yield what leads there, after it what does it."""


async def created(joe: Caller, bob: Caller) -> Scene:
    yield
    await joe.made()


async def created_for_ann(joe: Caller, bob: Caller) -> Scene:
    yield
    await joe.made(assignee_id="ann")


async def created_in_a_batch(joe: Caller, bob: Caller) -> Scene:
    yield
    await joe.call(pb.BatchCreateTasksRequest(requests=[pb.CreateTaskRequest(title="t")]))


async def assigned(joe: Caller, bob: Caller) -> Scene:
    task = await joe.made(assignee_id="bob")
    yield
    await joe.do("assign", task.task_id, assignee_id="ann")


async def unassigned(joe: Caller, bob: Caller) -> Scene:
    task = await joe.made(assignee_id="bob")
    yield
    await joe.do("unassign", task.task_id)


async def taken_away(joe: Caller, bob: Caller) -> Scene:
    task = await joe.made(assignee_id="bob")
    await bob.held(task.task_id)
    yield
    await joe.do("unassign", task.task_id, force=True)


async def released(joe: Caller, bob: Caller) -> Scene:
    await joe.made()
    (claimed,) = await bob.claim()
    yield
    await bob.do("release", claimed.task.task_id, lease_token=claimed.lease_token)


async def lease_lost(joe: Caller, bob: Caller) -> Scene:
    await joe.made()
    await bob.claim(lease_duration=0.5)
    yield


async def retried(joe: Caller, bob: Caller) -> Scene:
    task = await joe.made(initial_backoff=seconds(0.2))
    await bob.do("start", task.task_id)
    yield
    await bob.do("fail", task.task_id, failure=pb.TaskFailure(message="no", retryable=True))


async def dependency_completed(joe: Caller, bob: Caller) -> Scene:
    first = await joe.made(assignee_id="bob")
    await joe.made(depends_on=[first.task_id])
    await bob.do("start", first.task_id)
    yield
    await bob.do("complete", first.task_id)


async def dependencies_dropped(joe: Caller, bob: Caller) -> Scene:
    first = await joe.made(assignee_id="bob")
    task = await joe.made(depends_on=[first.task_id])
    yield
    await joe.do("update", task.task_id, values={"depends_on": []})


async def time_came(joe: Caller, bob: Caller) -> Scene:
    await joe.made(schedule_time=soon(0.4))
    yield


async def time_was_moved(joe: Caller, bob: Caller) -> Scene:
    task = await joe.made(schedule_time=FAR)
    yield
    await joe.do("update", task.task_id, values={"schedule_time": soon(0.2)})


async def reopened(joe: Caller, bob: Caller) -> Scene:
    task = await joe.made()
    await joe.do("cancel", task.task_id)
    yield
    await joe.do("reopen", task.task_id)


WAKES: tuple[Callable[[Caller, Caller], Scene], ...] = (
    *(created, created_for_ann, created_in_a_batch, assigned, unassigned, taken_away, released),
    *(lease_lost, retried, dependency_completed, dependencies_dropped),
    *(time_came, time_was_moved, reopened),
)


@pytest.mark.parametrize("wake", WAKES, ids=lambda wake: wake.__name__)
async def test_a_waiting_claim_is_woken_by_whatever_makes_a_task_ready(
    team: Team, wake: Callable[[Caller, Caller], Scene]
) -> None:
    joe, ann, bob = await team.known("joe", "ann", "bob")
    scene = wake(joe, bob)
    await anext(scene)
    claim = await team.waiting(ann)
    await anext(scene, None)
    (task,) = [each.task for each in await claim]
    assert (task.state, task.assignee_id) == (IN_PROGRESS, "ann")


async def test_a_claim_is_woken_by_a_commit_through_another_server(team: Team) -> None:
    ann = team.caller("ann")
    claim = await team.waiting(ann)
    async with running_pair(team.pair.store_url) as other:
        await Team(other, team.team_id).caller("joe").made(title="there")
        assert titles(await claim) == ["there"]


async def test_waiting_claims_are_served_in_order_of_arrival(team: Team) -> None:
    names = ("cat", "ann", "bob")
    claims = [await team.waiting(team.caller(name)) for name in names]
    joe = team.caller("joe")
    for claim, title in zip(claims, "123", strict=True):
        await joe.made(title=title)
        assert titles(await claim) == [title]
    claims = [await team.waiting(team.caller(name)) for name in names]
    drafts = [pb.CreateTaskRequest(title=title) for title in "456"]
    await joe.call(pb.BatchCreateTasksRequest(requests=drafts))
    assert [titles(await claim) for claim in claims] == [["4"], ["5"], ["6"]]


async def test_many_tasks_at_once_are_all_given_to_those_who_wait(team: Team) -> None:
    """More than are given out in one commit."""
    claims = [await team.waiting(team.caller(name), max_tasks=100) for name in "abc"]
    drafts = [pb.CreateTaskRequest(title=str(number)) for number in range(250)]
    await team.caller("joe").call(pb.BatchCreateTasksRequest(requests=drafts))
    given = [titles(await claim) for claim in claims]
    assert [len(each) for each in given] == [100, 100, 50]
    assert list(chain.from_iterable(given)) == [str(number) for number in range(250)]


async def test_each_task_is_given_to_one_of_many_claimers_at_two_servers(team: Team) -> None:
    drafts = [pb.CreateTaskRequest(title=str(number)) for number in range(100)]
    await team.caller("joe").call(pb.BatchCreateTasksRequest(requests=drafts))

    async def claim_all(worker: Caller) -> list[str]:
        found: list[str] = []
        while claimed := await worker.claim(max_tasks=3):
            found += titles(claimed)
        return found

    async with running_pair(team.pair.store_url) as other:
        teams = [team, Team(other, team.team_id)]
        claimers = [teams[number % 2].caller(f"w{number}") for number in range(8)]
        given = await asyncio.gather(*map(claim_all, claimers))
    assert sorted(chain.from_iterable(given)) == sorted(draft.title for draft in drafts)


async def until_left(ann: Caller, team: Team) -> None:
    await until(lambda: not team.is_watched(ann))


async def test_a_caller_that_left_gets_nothing(team: Team) -> None:
    ann = team.caller("ann")
    claim = await team.waiting(ann)
    claim.cancel()
    await until_left(ann, team)
    task = await team.caller("joe").made()
    assert await team.verbs(task.task_id) == ["create"]
    assert [each.task.task_id for each in await team.caller("bob").claim()] == [task.task_id]


async def test_what_was_given_to_a_caller_that_left_is_back_at_once(team: Team) -> None:
    """It leaves between the write that gives it a task and the commit."""
    joe, ann = await team.known("joe", "ann")
    task = await joe.made()
    store = team.pair.tasks_store
    async with held(store, team.team_id):
        claim = await team.waiting(ann)
        after_it = asyncio.create_task(hold_until_left(ann, team))
        await ann.page(page_size=1)
    claim.cancel()
    await after_it
    (claimed,) = await team.caller("bob").claim(max_wait=30)
    assert claimed.task.task_id == task.task_id
    assert claimed.task.failed_attempts == 0


async def hold_until_left(ann: Caller, team: Team) -> None:
    async with held(team.pair.tasks_store, team.team_id):
        await until_left(ann, team)


async def test_waiting_claims_are_answered_when_the_server_stops(store_url: str) -> None:
    async with running("tasks", store_url) as server:
        channel = grpc.aio.insecure_channel(server.address)
        stub = tasks_pb2_grpc.TaskServiceStub(channel)
        request = pb.ClaimTaskRequest(max_wait=seconds(50))
        call = asyncio.ensure_future(stub.ClaimTask(request, metadata=identity("ann")))
        await until(server.store.bells.watched)
    assert list((await call).tasks) == []
    await channel.close()


async def test_a_revoked_token_ends_a_waiting_claim(store_url: str, tmp_path: Path) -> None:
    async with guarded_pair(store_url, tmp_path) as guarded:
        made = await guarded.made("agent", "red", "ann")
        pair = guarded.pair
        ann = Caller(pair, "ann", "red", bearer(made.token))
        claim = await Team(pair, "red").waiting(ann)
        revoke = admin_pb2.RevokeCredentialRequest(credential_id=made.credential.credential_id)
        await pair.admin.RevokeCredential(revoke, metadata=guarded.admin)
        code, reason, _ = await refusal(claim)
    assert (code, reason) == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_ENDED")


async def test_a_claim_given_up_by_its_deadline_leaves_the_task_to_others(team: Team) -> None:
    ann = team.caller("ann")
    request = pb.ClaimTaskRequest(max_wait=seconds(50))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await ann.tasks.ClaimTask(request, metadata=ann.metadata, timeout=0.2)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    await until_left(ann, team)
    task = await team.caller("joe").made()
    assert (await team.caller().get(task.task_id)).state == PENDING


async def test_a_claim_waits_again_after_it_was_answered(team: Team) -> None:
    ann, joe = team.caller("ann"), team.caller("joe")
    for title in ("one", "two"):
        claim = await team.waiting(ann)
        await joe.made(title=title)
        assert titles(await claim) == [title]
