"""Retries: attempts that may fail, pauses between them, and the pool to which tasks return."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf.struct_pb2 import Struct

from dovetail.server.store.transaction import MICROS, Transaction
from dovetail.tasks.v1 import tasks_pb2 as pb
from dovetail.types.v1 import types_pb2
from support.callers import seconds
from support.refusals import refusal
from support.tables import FAILED, PENDING
from support.teams import Team
from support.waiting import until

RETRYABLE = pb.TaskFailure(message="not this time", retryable=True)


def pause(task: pb.Task) -> float:
    """For how long a task waits after its last change, in seconds."""
    return (task.schedule_time.ToMicroseconds() - task.update_time.ToMicroseconds()) / 1_000_000


async def test_a_task_has_five_attempts_and_a_pause_of_a_second_unless_it_says_so(
    team: Team,
) -> None:
    joe = team.caller("joe")
    task = await joe.made()
    assert (task.max_attempts, task.initial_backoff, task.failed_attempts) == (5, seconds(1), 0)
    task = await joe.made(max_attempts=1_000, initial_backoff=seconds(24 * 3_600))
    assert (task.max_attempts, task.initial_backoff) == (1_000, seconds(24 * 3_600))
    task = await joe.made(initial_backoff=seconds(0))
    assert task.initial_backoff == seconds(0)


async def test_a_retryable_failure_is_tried_again_until_no_attempt_is_left(team: Team) -> None:
    joe, ann = await team.known("joe", "ann")
    task_id = (
        await joe.made(assignee_id="ann", max_attempts=3, initial_backoff=seconds(0))
    ).task_id
    for number in (1, 2):
        await ann.do("start", task_id)
        response = await ann.do("fail", task_id, failure=RETRYABLE)
        task = response.task
        assert (task.state, task.failed_attempts, task.attempt) == (PENDING, number, number)
        assert not any(map(task.HasField, ("start_time", "end_time", "schedule_time")))
        assert (task.last_failure, task.HasField("failure")) == (RETRYABLE, False)
        assert [notice.recipient_id for notice in response.notices] == ["joe"]
    await ann.do("start", task_id)
    task = await ann.did("fail", task_id, failure=RETRYABLE)
    assert (task.state, task.failed_attempts, task.attempt) == (FAILED, 3, 3)
    assert task.failure.message == RETRYABLE.message
    told = [delivery.message for delivery in await joe.received()]
    assert [RETRYABLE.message in message.body for message in told] == [True] * 3
    assert [message.notice.verb for message in told] == [
        types_pb2.TASK_VERB_RETRY,
        types_pb2.TASK_VERB_RETRY,
        types_pb2.TASK_VERB_FAIL,
    ]


@pytest.mark.parametrize("ending", ["complete", "cancel", "reopen"])
async def test_why_an_attempt_failed_stays_in_the_task_until_it_is_reopened(
    team: Team, ending: str
) -> None:
    joe, ann = await team.known("joe", "ann")
    task_id = (await joe.made(assignee_id="ann", initial_backoff=seconds(0))).task_id
    data = Struct()
    data.update({"exit_code": 3})
    why = pb.TaskFailure(message="exit code 3", data=data, retryable=True)
    await ann.do("start", task_id)
    await ann.do("fail", task_id, failure=why)
    await ann.do("start", task_id)
    task = await joe.get(task_id)
    assert task.last_failure == why
    if ending == "reopen":
        await ann.do("fail", task_id, failure=pb.TaskFailure(message="hopeless"))
        assert (await joe.get(task_id)).failure.message == "hopeless"
    ended = await ann.did(ending, task_id)
    assert not ended.HasField("failure")
    assert ended.last_failure == (pb.TaskFailure() if ending == "reopen" else why)


async def test_the_pause_doubles_with_each_failure_up_to_a_day(team: Team) -> None:
    joe = team.caller("joe")
    for first, pauses in ((3, (3, 6, 12, 24)), (50_000, (50_000, 86_400, 86_400))):
        task_id = (await joe.made(initial_backoff=seconds(first), max_attempts=1_000)).task_id
        for expected in pauses:
            await joe.do("start", task_id)
            task = await joe.did("fail", task_id, failure=RETRYABLE)
            assert pause(task) == expected
            code, reason, metadata = await refusal(joe.do("start", task_id))
            assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "TASK_NOT_READY")
            assert (metadata["waiting_for_count"], metadata["waits_for_time"]) == ("0", "true")
            await joe.do("update", task_id, values={"schedule_time": task.create_time})


async def test_a_pause_never_grows_beyond_what_can_be_counted(team: Team) -> None:
    joe = team.caller("joe")
    task = await joe.made(initial_backoff=seconds(0.000001), max_attempts=1_000)
    task_id = task.task_id
    for _ in range(70):
        await joe.do("start", task_id)
        task = await joe.did("fail", task_id, failure=RETRYABLE)
        await joe.do("update", task_id, values={"schedule_time": task.create_time})
    assert pause(task) == 86_400


async def test_a_failure_that_is_not_retryable_ends_the_task_at_once(team: Team) -> None:
    joe = team.caller("joe")
    task_id = (await joe.made(max_attempts=1_000)).task_id
    await joe.do("start", task_id)
    task = await joe.did("fail", task_id, failure=pb.TaskFailure(message="hopeless"))
    assert (task.state, task.failed_attempts) == (FAILED, 0)


@pytest.mark.parametrize("state", ["PENDING", "INPUT_REQUIRED"])
async def test_a_task_that_nobody_works_on_now_is_not_tried_again(team: Team, state: str) -> None:
    joe, ann = await team.known("joe", "ann")
    task_id = (await joe.made(assignee_id="ann", max_attempts=1_000)).task_id
    await ann.bring(task_id, pb.TaskState.Value(f"TASK_STATE_{state}"))
    assert (await joe.did("fail", task_id, failure=RETRYABLE)).state == FAILED


async def test_lost_leases_count_as_failed_attempts_and_are_retried_at_once(team: Team) -> None:
    joe, ann = await team.known("joe", "ann")
    task_id = (await joe.made(max_attempts=2, initial_backoff=seconds(3_600))).task_id
    (_,) = await ann.claim(lease_duration=0.5)
    (again,) = await ann.claim(lease_duration=0.5, max_wait=30)
    assert (again.task.attempt, again.task.failed_attempts) == (2, 1)

    async def has_failed() -> bool:
        return (await joe.get(task_id)).state == FAILED

    await until(has_failed)
    task = await joe.get(task_id)
    assert (task.failed_attempts, task.assignee_id) == (2, "ann")
    assert task.failure.message
    assert (await team.verbs(task_id))[1:] == ["claim", "expire-lease"] * 2
    assert [d.message.notice.verb for d in await joe.received()] == [
        types_pb2.TASK_VERB_EXPIRE_LEASE
    ] * 2


async def test_reopening_clears_the_attempts(team: Team) -> None:
    joe = team.caller("joe")
    task_id = (await joe.made(max_attempts=1)).task_id
    for _ in range(2):
        await joe.do("start", task_id)
        assert (await joe.did("fail", task_id, failure=RETRYABLE)).failed_attempts == 1
        task = await joe.did("reopen", task_id)
        assert (task.state, task.attempt, task.failed_attempts) == (PENDING, 0, 0)


async def test_attempts_and_pauses_can_be_changed_on_the_way(team: Team) -> None:
    joe = team.caller("joe")
    task_id = (await joe.made(max_attempts=1)).task_id
    await joe.do("start", task_id)
    await joe.do("update", task_id, values={"max_attempts": 2, "initial_backoff": seconds(7)})
    task = await joe.did("fail", task_id, failure=RETRYABLE)
    assert (task.state, pause(task)) == (PENDING, 7)


@pytest.mark.parametrize("way", ["start", "claim"])
async def test_what_came_from_the_pool_returns_to_it(team: Team, way: str) -> None:
    joe, ann = await team.known("joe", "ann")
    task_id = (await joe.made(initial_backoff=seconds(0))).task_id

    async def taken() -> dict[str, str]:
        if way == "start":
            return {"lease_token": await ann.held(task_id)}
        (claimed,) = await ann.claim()
        return {"lease_token": claimed.lease_token}

    for verb, fields in (("release", {}), ("fail", {"failure": RETRYABLE})):
        token = await taken()
        assert (await joe.get(task_id)).pooled
        task = await ann.did(verb, task_id, **fields, **token)
        assert (task.state, task.assignee_id, task.pooled) == (PENDING, "", False)
        assert not task.HasField("assign_time")
    await ann.do("complete", task_id, **await taken())
    task = await joe.did("reopen", task_id)
    assert (task.assignee_id, task.pooled) == ("", False)


async def test_an_explicit_assignment_takes_a_task_out_of_the_pool(team: Team) -> None:
    joe, ann, _ = await team.known("joe", "ann", "bob")
    task_id = (await joe.made()).task_id
    await ann.held(task_id)
    task = await joe.did("assign", task_id, assignee_id="bob", force=True)
    assert (task.assignee_id, task.pooled) == ("bob", False)
    bob = team.caller("bob")
    token = await bob.held(task_id)
    task = await bob.did("release", task_id, lease_token=token)
    assert (task.assignee_id, task.pooled) == ("bob", False)


async def test_a_clock_that_was_days_ahead_once_keeps_no_retry_waiting(team: Team) -> None:
    def run_ahead(transaction: Transaction) -> None:
        transaction.team.stamp += 3 * 24 * 3_600 * MICROS
        transaction.add_team(transaction.team_id)  # so that it is committed

    joe, ann = await team.known("joe", "ann")
    await joe.made(initial_backoff=seconds(1))
    (given,) = await ann.claim()
    await team.pair.tasks_store.write(team.team_id, run_ahead)
    failing = {"failure": RETRYABLE, "lease_token": given.lease_token}
    await ann.do("fail", given.task.task_id, **failing)
    (again,) = await ann.claim(max_wait=30)
    assert again.task.attempt == 2
