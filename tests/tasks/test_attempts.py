"""The attempts of a task: who held it, and how each ended."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf.struct_pb2 import Struct

from dovetail.server.store.tables import attempts
from dovetail.server.tasks.attempts import token_hash
from dovetail.tasks.v1 import tasks_pb2 as pb
from dovetail.types.v1 import types_pb2
from support.callers import Caller, seconds
from support.refusals import refusal
from support.tables import IN_PROGRESS
from support.teams import Team

AT_ONCE = {"initial_backoff": seconds(0)}


async def page(caller: Caller, task_id: str, **fields: Any) -> pb.ListTaskAttemptsResponse:
    return await caller.call(pb.ListTaskAttemptsRequest(task_id=task_id, **fields))


async def attempts_of(caller: Caller, task_id: str, **fields: Any) -> list[pb.TaskAttempt]:
    """All attempts of a task, page by page."""
    found: list[pb.TaskAttempt] = []
    token = ""
    while True:
        fields["page_token"] = token
        response = await page(caller, task_id, **fields)
        found.extend(response.attempts)
        token = response.next_page_token
        if not token:
            return found


def ends(found: list[pb.TaskAttempt]) -> list[str]:
    return [pb.AttemptEnd.Name(each.end).removeprefix("ATTEMPT_END_") for each in found]


def failure(**data: Any) -> pb.TaskFailure:
    made = Struct()
    made.update(data)
    return pb.TaskFailure(message="no luck", data=made, retryable=True)


async def test_a_task_that_failed_and_was_completed_by_another_shows_all_attempts(
    team: Team,
) -> None:
    boss, ann, joe = await team.known("boss", "ann", "joe")
    await boss.made(task_id="x", **AT_ONCE)
    for number in (1, 2):
        (claimed,) = await ann.claim()
        token = claimed.lease_token
        progress = pb.TaskProgress(percent=10 * number, note=f"note {number}")
        await ann.do("heartbeat", "x", lease_token=token, progress=progress)
        usage = pb.Usage(input_tokens=number)
        await ann.do("fail", "x", failure=failure(number=number), usage=usage, lease_token=token)
    (claimed,) = await joe.claim()
    assert claimed.task.last_failure == failure(number=2)
    assert ends(await attempts_of(boss, "x")) == ["FAILED", "FAILED", "UNSPECIFIED"]
    usage = pb.Usage(input_tokens=3)
    await joe.do("complete", "x", usage=usage, lease_token=claimed.lease_token)
    found = await attempts_of(boss, "x")
    assert [each.usage.input_tokens for each in found] == [1, 2, 3]
    assert ends(found) == ["FAILED", "FAILED", "COMPLETED"]
    assert [each.holder_id for each in found] == ["ann", "ann", "joe"]
    assert [each.attempt for each in found] == [1, 2, 3]
    assert [each.failure for each in found[:2]] == [failure(number=1), failure(number=2)]
    assert not found[2].HasField("failure")
    assert [(each.progress.percent, each.progress.note) for each in found] == [
        (10, "note 1"),
        (20, "note 2"),
        (0, ""),
    ]
    events = {event.number: event for event in await team.events("x")}
    for each in found:
        begin, end = events[each.start_event_number], events[each.end_event_number]
        assert (begin.verb.name, begin.attempt) == ("CLAIM", each.attempt)
        assert begin.create_time == each.start_time.ToMicroseconds()
        assert end.create_time == each.end_time.ToMicroseconds()
        assert end.attempt == each.attempt


@pytest.mark.parametrize("leased", [False, True])
async def test_an_attempt_says_how_it_ended(team: Team, leased: bool) -> None:
    boss, ann = await team.known("boss", "ann")
    await boss.made(task_id="x", assignee_id="ann", **AT_ONCE)

    async def started() -> dict[str, str]:
        if leased:
            return {"lease_token": await ann.held("x")}
        await ann.do("start", "x")
        return {}

    token = await started()
    await ann.do("release", "x", reason="busy", **token)
    await started()
    await boss.do("unassign", "x", force=True)
    await boss.do("assign", "x", assignee_id="ann")
    await started()
    await boss.do("assign", "x", assignee_id="ann", force=True)
    token = await started()
    await ann.do("request-input", "x", **token)
    await ann.do("fail", "x", failure=pb.TaskFailure(message="hopeless"), **token)
    await boss.do("reopen", "x")
    await started()
    await boss.do("cancel", "x", reason="not needed")
    await boss.do("reopen", "x")
    await boss.do("cancel", "x", reason="never started")
    found = await attempts_of(boss, "x")
    assert ends(found) == ["RELEASED", "TAKEN_AWAY", "TAKEN_AWAY", "FAILED", "CANCELLED"]
    assert [each.attempt for each in found] == [1, 2, 3, 4, 1]
    assert [each.reason for each in found] == ["busy", "", "", "", "not needed"]
    assert found[3].failure == pb.TaskFailure(message="hopeless")
    assert {each.holder_id for each in found} == {"ann"}


async def test_a_lost_lease_ends_its_attempt_and_the_next_holder_reads_why(team: Team) -> None:
    boss, ann = await team.known("boss", "ann")
    await boss.made(task_id="x")
    (_,) = await ann.claim(lease_duration=0.5)
    (again,) = await ann.claim(max_wait=30)
    lost, present = await attempts_of(boss, "x")
    assert ends([lost, present]) == ["LEASE_LOST", "UNSPECIFIED"]
    assert lost.failure == again.task.last_failure
    assert "no heartbeat" in lost.failure.message
    assert lost.failure.retryable
    (told,) = [d.message for d in await boss.received()]
    assert told.notice.verb == types_pb2.TASK_VERB_EXPIRE_LEASE
    assert lost.failure.message in told.body


async def test_the_notice_of_a_retry_has_the_failure_with_its_data(team: Team) -> None:
    boss, ann = await team.known("boss", "ann")
    await boss.made(task_id="x", assignee_id="ann")
    await ann.do("start", "x")
    await ann.do("fail", "x", failure=failure(exit_code=3))
    (told,) = [d.message for d in await boss.received()]
    assert (told.notice.verb, told.body) == (types_pb2.TASK_VERB_RETRY, "no luck")
    assert dict(told.data) == {"exit_code": 3}


async def test_the_present_attempt_is_the_last_with_its_progress_and_its_question(
    team: Team,
) -> None:
    (ann,) = await team.known("ann")
    await ann.made(task_id="x")
    assert await attempts_of(ann, "x") == []
    await ann.do("start", "x")
    await ann.do("release", "x")
    token = await ann.held("x")
    progress = pb.TaskProgress(percent=40, note="half of it")
    await ann.do("heartbeat", "x", lease_token=token, progress=progress)
    for _ in range(2):
        present = (await attempts_of(ann, "x"))[-1]
        assert (present.progress, present.attempt) == (progress, 2)
        assert not present.HasField("end_time")
        assert present.end_event_number == 0
        if (await ann.get("x")).state == IN_PROGRESS:
            await team.known("boss")
            await ann.do("request-input", "x", agent_id="boss", lease_token=token)


@pytest.mark.parametrize("size", [1, 2, 3])
async def test_pages_of_attempts_join_in_both_orders_though_one_ends_meanwhile(
    team: Team, size: int
) -> None:
    (ann,) = await team.known("ann")
    await ann.made(task_id="x")
    await ann.made(task_id="x2")  # its attempts are not those of x
    await ann.do("start", "x2")
    for _ in range(4):
        await ann.do("start", "x")
        await ann.do("release", "x")
    await ann.do("start", "x")
    newest = types_pb2.ORDER_NEWEST_FIRST
    oldest = await attempts_of(ann, "x", page_size=size)
    assert [each.attempt for each in oldest] == [1, 2, 3, 4, 5]
    assert await attempts_of(ann, "x", page_size=size, order=newest) == oldest[::-1]
    first = await page(ann, "x", page_size=size, order=newest)
    await ann.do("release", "x")
    await ann.do("start", "x")
    rest = await page(ann, "x", order=newest, page_token=first.next_page_token)
    assert [each.attempt for each in (*first.attempts, *rest.attempts)] == [5, 4, 3, 2, 1]


async def test_attempts_of_a_deleted_task_stay_and_of_none_are_not_found(team: Team) -> None:
    (ann,) = await team.known("ann")
    await ann.made(task_id="x")
    await ann.do("start", "x")
    await ann.do("complete", "x")
    await ann.do("delete", "x")
    assert ends(await attempts_of(ann, "x")) == ["COMPLETED"]
    status, reason, metadata = await refusal(attempts_of(ann, "y"))
    assert (status, reason) == (grpc.StatusCode.NOT_FOUND, "TASK_NOT_FOUND")
    assert metadata == {"task_id": "y", "deleted": "false"}


async def test_a_page_of_attempts_ends_at_a_mebibyte(team: Team) -> None:
    (ann,) = await team.known("ann")
    await ann.made(task_id="x", max_attempts=1_000, **AT_ONCE)
    why = pb.TaskFailure(message="ä" * 32_000, retryable=True)
    why.data.update({"log": "x" * 200_000})
    for _ in range(6):
        await ann.do("start", "x")
        await ann.do("fail", "x", failure=why)
    first = await page(ann, "x")
    assert 0 < len(first.attempts) < 6
    assert first.ByteSize() < 1024 * 1024
    assert len(await attempts_of(ann, "x")) == 6


async def test_a_token_is_found_among_the_last_hundred_attempts(team: Team) -> None:
    (ann,) = await team.known("ann")
    await ann.made(task_id="x")
    tokens: list[str] = []
    for _ in range(attempts.SEARCHED_MAX + 1):
        tokens.append(await ann.held("x"))
        await ann.do("release", "x", lease_token=tokens[-1])

    async def number(token: str) -> int | None:
        found = await team.pair.tasks_store.read(
            team.team_id, lambda s: attempts.find_held(s, "x", token_hash(token))
        )
        return found.attempt if found else None

    assert await number(tokens[0]) is None
    assert [await number(tokens[1]), await number(tokens[-1])] == [2, attempts.SEARCHED_MAX + 1]


async def test_what_a_caller_without_an_agent_started_has_no_holder(team: Team) -> None:
    operator = team.caller()
    await operator.made(task_id="x")
    await operator.do("start", "x")
    await operator.do("complete", "x")
    (only,) = await attempts_of(operator, "x")
    assert (only.holder_id, ends([only])) == ("", ["COMPLETED"])
