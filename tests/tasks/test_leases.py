"""Leases: how they last, how they are lost, and what a token is good for."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator
from typing import Any

import grpc
import psycopg
import pytest

from dovetail.server.store.tables import leases
from dovetail.server.store.tables.events import TaskEvent
from dovetail.server.store.tables.leases import HeldLease
from dovetail.server.store.transaction import Snapshot
from dovetail.server.tasks.claims.lease_monitor import GAP_SECONDS_MAX
from dovetail.tasks.v1 import tasks_pb2 as pb
from dovetail.types.v1 import types_pb2
from support.callers import Caller, seconds
from support.pair import Pair, running_pair
from support.refusals import faults, refusal
from support.tables import IN_PROGRESS, INPUT_REQUIRED, PENDING
from support.teams import Team
from support.waiting import until
from tasks.changes import changed_fields

SHORT = 0.5
HELD = ("heartbeat", "release", "request-input", "complete", "fail")


async def lost(team: Team, task_id: str) -> TaskEvent:
    """The event by which a task's lease was lost, once it is."""

    async def is_lost() -> bool:
        return (await team.verbs(task_id))[-1] == "expire-lease"

    await until(is_lost)
    return (await team.events(task_id))[-1]


async def claimed(worker: Caller, lease: float = SHORT) -> tuple[str, str]:
    """A task that the worker has claimed, and its token."""
    (one,) = await worker.claim(lease_duration=lease)
    return one.task.task_id, one.lease_token


async def test_a_lease_without_heartbeats_is_lost_after_its_length(team: Team) -> None:
    joe, ann = await team.known("joe", "ann")
    await joe.made()
    task_id, _ = await claimed(ann)
    started = await joe.get(task_id)
    event = await lost(team, task_id)
    assert event.create_time - started.start_time.ToMicroseconds() >= SHORT * 1_000_000
    assert (event.actor_id, event.from_state, event.to_state) == ("", IN_PROGRESS, PENDING)
    task = await joe.get(task_id)
    assert (task.state, task.assignee_id, task.pooled) == (PENDING, "", False)
    assert (task.attempt, task.failed_attempts) == (1, 1)
    assert not any(map(task.HasField, ("lease", "start_time", "assign_time", "schedule_time")))
    for worker in (joe, ann):
        (delivery,) = await worker.received()
        assert delivery.message.notice.verb == types_pb2.TASK_VERB_EXPIRE_LEASE
        assert delivery.message.sender_id == ""


async def test_a_task_that_was_assigned_stays_so_when_its_lease_is_lost(team: Team) -> None:
    joe, ann = await team.known("joe", "ann")
    task = await joe.made(assignee_id="ann")
    await ann.held(task.task_id, SHORT)
    await lost(team, task.task_id)
    assert (await joe.get(task.task_id)).assignee_id == "ann"
    assert [each.task.task_id for each in await ann.claim()] == [task.task_id]


async def test_a_lease_is_lost_once_though_two_servers_watch_over_it(team: Team) -> None:
    joe, ann = await team.known("joe", "ann")
    async with running_pair(team.pair.store_url, shortest_lease_seconds=SHORT):
        for _ in range(2):  # the second lot is lost after both servers have seen the first
            drafts = [pb.CreateTaskRequest(title="t", assignee_id="ann") for _ in range(10)]
            await joe.call(pb.BatchCreateTasksRequest(requests=drafts))
            given = await ann.claim(max_tasks=10, lease_duration=SHORT)
            for each in given:
                await lost(team, each.task.task_id)
            for each in given:
                await joe.do("cancel", each.task.task_id)
    for task in await joe.all():
        assert await team.verbs(task.task_id) == ["create", "claim", "expire-lease", "cancel"]
        assert task.failed_attempts == 1


async def test_heartbeats_keep_a_lease_while_another_is_lost(team: Team) -> None:
    joe, ann = await team.known("joe", "ann")
    await joe.made()
    kept, token = await claimed(ann)
    await joe.made()
    let_go, _ = await claimed(ann)

    async def beat() -> None:
        while True:
            await ann.do("heartbeat", kept, lease_token=token)
            await asyncio.sleep(0.05)

    beating = asyncio.create_task(beat())
    await lost(team, let_go)
    beating.cancel()
    assert await team.verbs(kept) == ["create", "claim"]
    assert (await ann.did("complete", kept, lease_token=token)).failed_attempts == 0


async def test_the_clock_of_a_lease_stands_still_until_the_answer(team: Team) -> None:
    joe, ann = await team.known("joe", "ann")
    await joe.made()
    asking, token = await claimed(ann)
    task = await ann.did("request-input", asking, lease_token=token)
    assert task.lease == pb.Lease(duration=seconds(SHORT))
    await joe.made()
    let_go, _ = await claimed(ann)
    await lost(team, let_go)
    assert (await joe.get(asking)).state == INPUT_REQUIRED
    task = await joe.did("provide-input", asking)
    left = task.lease.expire_time.ToMicroseconds() - task.update_time.ToMicroseconds()
    assert left == SHORT * 1_000_000
    beat = await ann.do("heartbeat", asking, lease_token=token)
    assert (beat.state, beat.HasField("lease_expire_time")) == (IN_PROGRESS, True)
    event = await lost(team, asking)
    assert event.create_time - task.update_time.ToMicroseconds() >= SHORT * 1_000_000


async def test_a_task_without_a_lease_is_never_lost(team: Team) -> None:
    joe, ann = await team.known("joe", "ann")
    kept = await joe.made()
    await ann.do("start", kept.task_id)
    await joe.made()
    let_go, _ = await claimed(ann)
    await lost(team, let_go)
    assert (await joe.get(kept.task_id)).state == IN_PROGRESS


# How a lease ends: who does what, and the state after.
ENDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "release": ("ann", "PENDING", {}),
    "complete": ("ann", "COMPLETED", {}),
    "fail": ("ann", "FAILED", {}),
    "cancel": ("joe", "CANCELLED", {}),
    "assign": ("joe", "PENDING", {"assignee_id": "bob", "force": True}),
    "unassign": ("joe", "PENDING", {"force": True}),
    "expire-lease": ("", "PENDING", {}),
}


@pytest.mark.parametrize("end", ENDS)
async def test_a_token_that_is_over_tells_its_bearer_what_became_of_the_task(
    team: Team, end: str
) -> None:
    joe, ann, _ = await team.known("joe", "ann", "bob")
    who, state, fields = ENDS[end]
    task_id = (await joe.made()).task_id
    token = await ann.held(task_id, SHORT if end == "expire-lease" else 3_600)
    if end == "expire-lease":
        await lost(team, task_id)
    else:
        own = {"lease_token": token} if who == "ann" else {}
        await team.caller(who).do(end, task_id, **fields, **own)
    before, picture = await joe.get(task_id), await team.picture(task_id)
    for verb in HELD:
        code, reason, metadata = await refusal(ann.do(verb, task_id, lease_token=token))
        assert (code, reason) == (grpc.StatusCode.ABORTED, "LEASE_LOST")
        kept = str(who != "ann").lower() if verb in ("complete", "fail") else None
        assert metadata.pop("late_result_kept", None) == kept
        assert metadata == {
            "task_id": task_id,
            "state": state,
            "last_verb": end.upper().replace("-", "_"),
            "last_actor_id": who,
        }
    assert await joe.get(task_id) == before
    assert (await team.picture(task_id) == picture) == (who == "ann")


async def test_a_token_is_not_good_for_the_next_lease_or_another_task(team: Team) -> None:
    joe, ann = await team.known("joe", "ann")
    task_id, other = [(await joe.made(assignee_id="ann")).task_id for _ in range(2)]
    old = await ann.held(task_id)
    await ann.do("release", task_id, lease_token=old)
    new, others = await ann.held(task_id), await ann.held(other)
    assert len({old, new, others}) == 3
    for verb in HELD:
        for token in (old, others, "é", "x" * 64):
            assert (await refusal(ann.do(verb, task_id, lease_token=token)))[1] == "LEASE_LOST"
    await ann.do("heartbeat", task_id, lease_token=new)


@pytest.mark.parametrize("verb", HELD)
async def test_what_is_held_under_a_lease_needs_its_token(team: Team, verb: str) -> None:
    joe, ann = await team.known("joe", "ann")
    task_id = (await joe.made()).task_id
    await ann.held(task_id)
    before = await team.picture(task_id)
    code, reason, metadata = await refusal(ann.do(verb, task_id))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "LEASE_TOKEN_REQUIRED")
    assert metadata == {"task_id": task_id, "assignee_id": "ann"}
    assert await team.picture(task_id) == before


async def test_a_repeated_start_answers_its_own_token_while_its_lease_lasts(team: Team) -> None:
    joe, ann = await team.known("joe", "ann")
    task_id = (await joe.made(assignee_id="ann")).task_id
    again = {"lease_duration": seconds(3_600), "request_id": "r1"}
    first = await ann.do("start", task_id, **again)
    assert first.lease_token
    assert await ann.do("start", task_id, **again) == first
    await ann.do("heartbeat", task_id, lease_token=first.lease_token)
    await ann.do("request-input", task_id, lease_token=first.lease_token)
    assert (await ann.do("start", task_id, **again)).lease_token == first.lease_token
    await ann.do("release", task_id, lease_token=first.lease_token)
    assert (await ann.do("start", task_id, **again)).lease_token == ""
    second = await ann.held(task_id)
    assert second != first.lease_token
    assert (await ann.do("start", task_id, **again)).lease_token == ""


async def test_a_heartbeat_leaves_the_etag_and_tells_how_things_stand(team: Team) -> None:
    joe, ann = await team.known("joe", "ann")
    before = await joe.made(assignee_id="ann")
    token = await ann.held(before.task_id)
    before = await joe.get(before.task_id)
    progress = pb.TaskProgress(percent=40, note="half of it")
    beat = await ann.do("heartbeat", before.task_id, lease_token=token, progress=progress)
    task = await joe.get(before.task_id)
    assert changed_fields(before, task) == {"progress", "lease"}
    assert (task.progress, task.etag) == (progress, before.etag)
    assert task.lease.expire_time.ToMicroseconds() > before.lease.expire_time.ToMicroseconds()
    assert (beat.state, beat.lease_expire_time) == (IN_PROGRESS, task.lease.expire_time)
    assert beat.unacknowledged_count == 1
    assert (await team.verbs(before.task_id))[-2:] == ["start", "heartbeat"]
    await ann.acknowledge(1)
    await ann.do("request-input", before.task_id, lease_token=token)
    beat = await ann.do("heartbeat", before.task_id, lease_token=token)
    assert beat == pb.HeartbeatTaskResponse(state=INPUT_REQUIRED)
    assert (await joe.get(before.task_id)).progress == progress
    await ann.do("release", before.task_id, lease_token=token)
    assert not (await ann.did("start", before.task_id)).HasField("progress")


async def test_the_assignee_of_a_task_without_a_lease_may_send_heartbeats(team: Team) -> None:
    (ann,) = await team.known("ann")
    task_id = (await ann.made()).task_id
    await ann.do("start", task_id)
    beat = await ann.do("heartbeat", task_id, progress=pb.TaskProgress(percent=100))
    assert (beat.state, beat.HasField("lease_expire_time")) == (IN_PROGRESS, False)
    assert (await ann.get(task_id)).progress.percent == 100


async def test_a_length_that_no_lease_may_have_is_refused(sqlite_pair: Pair) -> None:
    ann = Team(sqlite_pair, "t").caller("ann")
    task_id = (await ann.made()).task_id
    for length in (-1, 0, 9.999999, 3_600.000001):
        assert await faults(ann.claim(lease_duration=length)) == {"lease_duration"}
        assert await faults(ann.do("start", task_id, lease_duration=seconds(length))) == {
            "lease_duration"
        }
    for length in (10, 3_600):
        token = await ann.held(task_id, length)
        await ann.do("release", task_id, lease_token=token)


@pytest.fixture
async def postgres_team(postgres_url: str) -> AsyncGenerator[Team]:
    async with running_pair(postgres_url, shortest_lease_seconds=SHORT) as pair:
        yield Team(pair, "t")


@pytest.mark.parametrize("lease", [GAP_SECONDS_MAX, GAP_SECONDS_MAX / 2])
async def test_a_server_that_could_not_look_for_long_counts_anew(
    postgres_team: Team, monkeypatch: pytest.MonkeyPatch, lease: float
) -> None:
    """Nobody can read a task for longer than the lease: its holder has one whole length after."""
    team, outage = postgres_team, lease + 0.5
    joe, ann = await team.known("joe", "ann")
    await joe.made()
    task_id, _ = await claimed(ann, lease)
    await _seen_by_the_monitor(monkeypatch)
    async with await psycopg.AsyncConnection.connect(team.pair.store_url) as connection:
        await connection.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
        await asyncio.sleep(outage)  # the outage itself
    end = time.time_ns() // 1_000
    event = await lost(team, task_id)
    assert event.create_time - end >= lease * 1_000_000


async def _seen_by_the_monitor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait until the lease monitor has found a lease."""
    loop, seen, look = asyncio.get_running_loop(), asyncio.Event(), leases.held

    def watched(snapshot: Snapshot) -> list[HeldLease]:
        found = look(snapshot)
        if found:
            loop.call_soon_threadsafe(seen.set)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(leases, "held", watched)
        await asyncio.wait_for(seen.wait(), 30)


async def test_no_report_keeps_a_lease_from_being_lost(team: Team) -> None:
    joe, ann = await team.known("joe", "ann")
    await joe.made()
    task_id, _ = await claimed(ann)
    ended = threading.Event()
    scans = [
        asyncio.ensure_future(team.pair.tasks_store.scan(team.team_id, lambda _: ended.wait(30)))
        for _ in range(4)
    ]
    await lost(team, task_id)
    ended.set()
    await asyncio.gather(*scans)
