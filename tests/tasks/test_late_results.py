"""Late results: what a holder brings after others ended its attempt is refused, and kept."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf.struct_pb2 import Struct

from dovetail.tasks.v1 import tasks_pb2 as pb
from dovetail.types.v1 import types_pb2
from support.callers import Caller
from support.refusals import refusal
from support.tables import COMPLETED
from support.teams import Team
from support.waiting import until
from tasks.test_attempts import attempts_of, ends

DATA = Struct()
DATA.update({"lines": 12})
RESULT = pb.TaskResult(summary="the export", data=DATA)
FAILURE = pb.TaskFailure(message="no luck", data=DATA, retryable=True)
BRINGS: dict[str, dict[str, Any]] = {"complete": {"result": RESULT}, "fail": {"failure": FAILURE}}


async def taken(team: Team, **fields: Any) -> tuple[Caller, Caller, str]:
    """Boss made the task "x", ann holds it no more; her token."""
    boss, ann = await team.known("boss", "ann")
    await boss.made(task_id="x", **fields)
    token = await ann.held("x")
    await boss.do("unassign", "x", force=True)
    return boss, ann, token


async def brought(ann: Caller, token: str, verb: str = "complete", **fields: Any) -> str:
    """Bring a result too late: whether it is kept, as the refusal says."""
    fields = {**BRINGS[verb], "lease_token": token, **fields}
    status, reason, metadata = await refusal(ann.do(verb, "x", **fields))
    assert (status, reason) == (grpc.StatusCode.ABORTED, "LEASE_LOST")
    return metadata["late_result_kept"]


@pytest.mark.parametrize("verb", BRINGS)
async def test_a_late_result_is_refused_and_kept_with_its_attempt(team: Team, verb: str) -> None:
    boss, ann, token = await taken(team)
    before = await boss.get("x")
    assert await brought(ann, token, verb) == "true"
    (attempt,) = await attempts_of(boss, "x")
    late = attempt.late_result
    assert (late.result, late.failure) == (
        (RESULT, pb.TaskFailure()) if verb == "complete" else (pb.TaskResult(), FAILURE)
    )
    assert late.create_time.ToMicroseconds() > attempt.end_time.ToMicroseconds()
    assert ends([attempt]) == ["TAKEN_AWAY"]
    assert await boss.get("x") == before
    event = (await team.events("x"))[-1]
    assert (event.verb.words, event.actor_id, event.attempt) == ("keep-late-result", "ann", 1)
    assert (event.from_state, event.to_state) == (before.state, before.state)
    text = RESULT.summary if verb == "complete" else FAILURE.message
    assert event.reason == text
    (told,) = [delivery.message for delivery in await boss.received()]
    assert told.notice.verb == types_pb2.TASK_VERB_KEEP_LATE_RESULT
    assert (told.sender_id, told.notice.event_number) == ("ann", event.number)
    assert text in told.body
    assert "leaves the task PENDING" in told.body


@pytest.mark.parametrize("way", ["lost", "assign", "cancel"])
async def test_it_is_kept_whoever_ended_the_attempt(team: Team, way: str) -> None:
    boss, ann = await team.known("boss", "ann")
    await boss.made(task_id="x")
    token = await ann.held("x", 0.5 if way == "lost" else 3_600)
    if way == "lost":

        async def is_lost() -> bool:
            return (await team.verbs("x"))[-1] == "expire-lease"

        await until(is_lost)
    elif way == "assign":
        await boss.do("assign", "x", assignee_id="boss", force=True)
    else:
        await boss.do("cancel", "x")
    before = await boss.get("x")
    assert await brought(ann, token) == "true"
    assert await boss.get("x") == before
    (attempt,) = await attempts_of(boss, "x")
    assert attempt.late_result.result == RESULT


async def test_the_first_is_kept_and_a_repeat_writes_nothing(team: Team) -> None:
    boss, ann, token = await taken(team)
    assert await brought(ann, token, request_id="r") == "true"
    picture = await team.picture("x")
    (first,) = await attempts_of(boss, "x")
    assert await brought(ann, token, request_id="r") == "true"
    assert await brought(ann, token, "fail", request_id="other") == "true"
    assert await brought(ann, token) == "true"
    assert await team.picture("x") == picture
    assert await attempts_of(boss, "x") == [first]


async def test_the_next_holder_is_not_disturbed_and_each_attempt_has_its_own(team: Team) -> None:
    boss, ann, token = await taken(team)
    (bob,) = await team.known("bob")
    second = await bob.held("x")
    assert await brought(ann, token) == "true"
    await boss.do("unassign", "x", force=True)
    assert await brought(bob, second, "fail") == "true"
    third = await ann.held("x")
    task = await ann.did("complete", "x", lease_token=third)
    assert task.state == COMPLETED
    found = await attempts_of(boss, "x")
    assert [each.late_result.WhichOneof("outcome") for each in found] == ["result", "failure", None]
    told = [delivery.message.notice.verb for delivery in await boss.received()]
    late, completed = types_pb2.TASK_VERB_KEEP_LATE_RESULT, types_pb2.TASK_VERB_COMPLETE
    assert told == [late, late, completed]


async def test_the_refusal_names_who_changed_the_task_and_not_who_came_late(team: Team) -> None:
    _, ann, token = await taken(team)
    for _ in range(2):
        _, _, metadata = await refusal(ann.do("complete", "x", lease_token=token))
        assert (metadata["last_verb"], metadata["last_actor_id"]) == ("UNASSIGN", "boss")


async def test_what_its_own_holder_ended_or_another_agent_brings_is_not_kept(team: Team) -> None:
    boss, ann, token = await taken(team)
    assert await brought(boss, token) == "false"
    assert await brought(team.caller(), token) == "false"
    assert await brought(ann, "made up") == "false"
    again = await ann.held("x")
    await ann.do("release", "x", lease_token=again)
    assert await brought(ann, again) == "false"
    again = await ann.held("x")
    await ann.do("complete", "x", lease_token=again, request_id="r")
    assert await brought(ann, again) == "false"
    assert not any(each.HasField("late_result") for each in await attempts_of(boss, "x"))
    repeat = await ann.do("complete", "x", lease_token=again, request_id="r")
    assert repeat.task.state == COMPLETED
    assert "keep-late-result" not in await team.verbs("x")


@pytest.mark.parametrize("verb", ["heartbeat", "release", "request-input"])
async def test_other_verbs_of_a_former_holder_keep_nothing(team: Team, verb: str) -> None:
    _, ann, token = await taken(team)
    picture = await team.picture("x")
    status, reason, metadata = await refusal(ann.do(verb, "x", lease_token=token))
    assert (status, reason) == (grpc.StatusCode.ABORTED, "LEASE_LOST")
    assert "late_result_kept" not in metadata
    assert await team.picture("x") == picture


async def test_nothing_is_kept_of_a_deleted_task(team: Team) -> None:
    boss, ann, token = await taken(team)
    await boss.do("delete", "x")
    _, reason, _ = await refusal(ann.do("complete", "x", lease_token=token))
    assert reason == "TASK_NOT_FOUND"
    assert not (await attempts_of(boss, "x"))[0].HasField("late_result")


async def test_no_notice_is_written_on_request_nor_to_a_creator_who_is_late_itself(
    team: Team,
) -> None:
    boss, ann, token = await taken(team)
    assert await brought(ann, token, notify=pb.NOTIFY_NONE) == "true"
    assert await boss.received() == []
    own = await boss.held("x")
    await boss.do("unassign", "x", force=True)
    assert await brought(boss, own) == "true"
    assert await boss.received() == []
    assert (await team.verbs("x")).count("keep-late-result") == 2


async def test_a_refusal_in_a_batch_keeps_its_result_beside_the_others(team: Team) -> None:
    boss, ann, token = await taken(team)
    await boss.made(task_id="y")
    good = await ann.held("y")
    requests = [
        pb.CompleteTaskRequest(task_id="x", result=RESULT, lease_token=token),
        pb.CompleteTaskRequest(task_id="y", lease_token=good),
        pb.CompleteTaskRequest(task_id="x", result=RESULT, lease_token="made up"),
    ]
    response = await ann.call(pb.BatchCompleteTasksRequest(requests=requests))
    kept, completed, refused = response.outcomes
    assert (kept.refusal.reason, kept.refusal.metadata["late_result_kept"]) == (
        "LEASE_LOST",
        "true",
    )
    assert completed.task.state == COMPLETED
    assert refused.refusal.metadata["late_result_kept"] == "false"
    assert (await attempts_of(boss, "x"))[0].late_result.result == RESULT


async def test_a_long_result_is_kept_whole_and_told_in_part(team: Team) -> None:
    boss, ann, token = await taken(team)
    result = pb.TaskResult(summary="ö" * 32_000)
    result.data.update({"log": "x" * 250_000})
    assert await brought(ann, token, result=result) == "true"
    assert (await attempts_of(boss, "x"))[0].late_result.result == result
    assert len((await team.events("x"))[-1].reason) == 4_096
    (told,) = [delivery.message for delivery in await boss.received()]
    assert len(told.body) == 4_096
