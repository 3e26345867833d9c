"""The life of a task: updating, assigning, starting, ending, reopening."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from dovetail.tasks.v1 import tasks_pb2 as pb
from support.refusals import faults, refusal
from support.tables import CANCELLED, COMPLETED, FAILED, IN_PROGRESS, PENDING
from support.teams import Team
from tasks.changes import changed_fields

NEW: dict[str, Any] = {
    "title": "new",
    "description": "new too",
    "priority": 7,
    "labels": {"x": "y"},
    "due_time": Timestamp(seconds=4_000_000_000, nanos=1_000),
}
STAMPS = {"update_time", "etag"}


@pytest.mark.parametrize("field", NEW)
async def test_an_update_sets_the_field_that_its_mask_names_and_no_other(
    team: Team, field: str
) -> None:
    joe = team.caller("joe")
    before = await joe.made(assignee_id="joe")
    values = pb.Task(task_id=before.task_id, **NEW)
    response = await joe.call(
        pb.UpdateTaskRequest(task=values, update_mask=FieldMask(paths=[field]))
    )
    assert changed_fields(before, response.task) == {field, *STAMPS}
    assert getattr(response.task, field) == NEW[field]


async def test_an_update_sets_several_fields_and_clears_them_again(team: Team) -> None:
    joe = team.caller("joe")
    before = await joe.made(description="d", priority=1, labels={"a": "b"})
    after = await joe.did("update", before.task_id, values=NEW)
    assert changed_fields(before, after) == {*NEW, *STAMPS}
    paths = ["description", "priority", "labels", "due_time"]
    cleared = await joe.call(
        pb.UpdateTaskRequest(
            task=pb.Task(task_id=before.task_id), update_mask=FieldMask(paths=paths)
        )
    )
    assert changed_fields(after, cleared.task) == {*paths, *STAMPS}
    assert not cleared.task.HasField("due_time")


async def test_an_update_that_changes_nothing_writes_nothing(team: Team) -> None:
    joe, _ = await team.known("joe", "ann")
    task = await joe.made(assignee_id="ann", **NEW)
    before = await team.picture(task.task_id)
    response = await joe.do("update", task.task_id, values=NEW)
    assert (response.task, list(response.notices)) == (task, [])
    assert await team.picture(task.task_id) == before


@pytest.mark.parametrize(
    ("paths", "fields"),
    [
        ([], {"update_mask"}),
        (["state"], {"update_mask"}),
        (["priority", "assignee_id"], {"update_mask"}),
        (["*"], {"update_mask"}),
        (["title"], {"task.title"}),
        (["labels", "due_time", "no\nsuch"], {'task.labels["a\\u001e"]', "update_mask"}),
    ],
)
async def test_an_update_of_what_cannot_be_updated_is_refused(
    team: Team, paths: list[str], fields: set[str]
) -> None:
    joe = team.caller("joe")
    task = await joe.made(labels={"a": "b"})
    wrong = pb.Task(task_id=task.task_id, labels={"a\x1e": "b"})
    request = pb.UpdateTaskRequest(task=wrong, update_mask=FieldMask(paths=paths))
    assert await faults(joe.call(request)) == fields
    assert await joe.get(task.task_id) == task


async def test_a_task_that_is_worked_on_can_be_updated(team: Team) -> None:
    joe, ann = await team.known("joe", "ann")
    task = await joe.made(assignee_id="ann")
    await ann.do("start", task.task_id)
    response = await joe.do("update", task.task_id, values={"priority": 9})
    assert (response.task.state, response.task.priority) == (IN_PROGRESS, 9)
    assert [each.recipient_id for each in response.notices] == ["ann"]


async def test_assigning_moves_a_task_from_one_to_another(team: Team) -> None:
    joe, ann, bob = await team.known("joe", "ann", "bob")
    task = await joe.made(assignee_id="ann")
    response = await joe.do("assign", task.task_id, assignee_id="bob")
    assert response.task.assignee_id == "bob"
    assert response.task.assign_time == response.task.update_time
    assert [each.recipient_id for each in response.notices] == ["bob", "ann"]
    assert len(await ann.received()) == 2
    assert len(await bob.received()) == 1


@pytest.mark.parametrize(("started", "force"), [(False, False), (False, True), (True, False)])
async def test_assigning_to_the_present_assignee_writes_nothing(
    team: Team, started: bool, force: bool
) -> None:
    joe, ann = await team.known("joe", "ann")
    task = await joe.made(assignee_id="ann")
    await ann.bring(task.task_id, IN_PROGRESS if started else PENDING)
    before = await team.picture(task.task_id)
    response = await joe.do("assign", task.task_id, assignee_id="ann", force=force)
    assert response.task == await joe.get(task.task_id)
    assert list(response.notices) == []
    assert await team.picture(task.task_id) == before


@pytest.mark.parametrize(("started", "force"), [(False, False), (False, True), (True, False)])
async def test_unassigning_a_task_of_nobody_writes_nothing(
    team: Team, started: bool, force: bool
) -> None:
    task = await team.caller("joe").made()
    await team.caller().bring(task.task_id, IN_PROGRESS if started else PENDING)
    before = await team.picture(task.task_id)
    response = await team.caller("joe").do("unassign", task.task_id, force=force)
    assert list(response.notices) == []
    assert await team.picture(task.task_id) == before


async def test_force_takes_work_away_and_it_can_be_started_anew(team: Team) -> None:
    joe, ann, bob = await team.known("joe", "ann", "bob")
    task = await joe.made(assignee_id="ann")
    await ann.do("start", task.task_id)
    task = await joe.did("assign", task.task_id, assignee_id="bob", force=True)
    assert (task.state, task.assignee_id, task.attempt) == (PENDING, "bob", 1)
    assert not task.HasField("start_time")
    code, reason, _ = await refusal(ann.do("complete", task.task_id))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "TASK_STATE")
    task = await bob.did("start", task.task_id)
    assert (task.state, task.attempt) == (IN_PROGRESS, 2)
    task = await joe.did("assign", task.task_id, assignee_id="bob", force=True)
    assert (task.state, task.assignee_id) == (PENDING, "bob")
    await bob.do("start", task.task_id)
    task = await joe.did("unassign", task.task_id, force=True)
    assert (task.state, task.assignee_id, task.attempt) == (PENDING, "", 3)
    assert not task.HasField("assign_time")


async def test_assigning_to_an_unknown_agent_is_refused_with_the_nearest(team: Team) -> None:
    await team.known("Planner-1", "Planner-2")
    task = await team.caller("joe").made()
    before = await team.picture(task.task_id)
    call = team.caller("eve").do("assign", task.task_id, assignee_id="planner-1")
    code, reason, metadata = await refusal(call)
    assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "AGENT_NOT_FOUND")
    assert json.loads(metadata["agent_ids"]) == ["planner-1"]
    assert set(json.loads(metadata["nearest_ids"])) == {"Planner-1", "Planner-2"}
    assert await team.picture(task.task_id) == before


async def test_a_caller_that_nobody_knows_can_assign_to_itself(team: Team) -> None:
    task = await team.caller().made()
    response = await team.caller("new").do("assign", task.task_id, assignee_id="new")
    assert (response.task.assignee_id, list(response.notices)) == ("new", [])
    assert [agent.agent_id for agent in await team.agents()] == ["new"]


async def test_starting_a_task_of_nobody_makes_it_the_callers(team: Team) -> None:
    task = await team.caller("joe").made()
    task = await team.caller("new").did("start", task.task_id)
    assert (task.assignee_id, task.state, task.attempt) == ("new", IN_PROGRESS, 1)
    assert task.assign_time == task.start_time == task.update_time
    assert {agent.agent_id for agent in await team.agents()} == {"joe", "new"}


async def test_a_caller_without_an_agent_lives_a_task_of_nobody_through(team: Team) -> None:
    nobody = team.caller()
    task = await nobody.made()
    task = await nobody.did("start", task.task_id)
    assert (task.assignee_id, task.state) == ("", IN_PROGRESS)
    assert not task.HasField("assign_time")
    task = await nobody.did("complete", task.task_id)
    assert (task.assignee_id, task.creator_id, task.state) == ("", "", COMPLETED)
    assert await team.agents() == []


async def test_a_caller_without_an_agent_may_start_a_task_for_its_assignee(team: Team) -> None:
    await team.known("ann")
    before = await team.caller().made(assignee_id="ann")
    task = await team.caller().did("start", before.task_id)
    assert (task.assignee_id, task.state) == ("ann", IN_PROGRESS)
    assert task.assign_time == before.assign_time


async def test_another_agent_than_the_assignee_may_not_start(team: Team) -> None:
    joe, ann, bob = await team.known("joe", "ann", "bob")
    task = await joe.made(assignee_id="ann")
    before = await team.picture(task.task_id)
    code, reason, metadata = await refusal(bob.do("start", task.task_id))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "ASSIGNED_TO_ANOTHER")
    assert metadata == {"task_id": task.task_id, "assignee_id": "ann"}
    assert await team.picture(task.task_id) == before
    assert (await ann.did("start", task.task_id)).assign_time == task.assign_time


async def test_an_outcome_is_kept_until_the_task_is_reopened(team: Team) -> None:
    joe = team.caller("joe")
    content = Struct()
    content.update({"n": [1, 2.5, None, {"deep": "é\0"}], "": ""})
    task = await joe.made(assignee_id="joe")
    await joe.do("start", task.task_id)
    result = pb.TaskResult(summary="well\n", data=content)
    task = await joe.did("complete", task.task_id, result=result)
    assert (task.result, task.HasField("failure"), task.cancel_reason) == (result, False, "")
    task = await joe.did("reopen", task.task_id, reason="not yet")
    assert not any(map(task.HasField, ("result", "start_time", "end_time")))
    assert (task.state, task.attempt, task.assignee_id) == (PENDING, 0, "joe")
    failure = pb.TaskFailure(message="broken", data=content)
    task = await joe.did("fail", task.task_id, failure=failure)
    assert (task.failure, task.HasField("result"), task.state) == (failure, False, FAILED)
    assert not task.HasField("start_time")
    task = await joe.did("reopen", task.task_id)
    assert not task.HasField("failure")
    task = await joe.did("cancel", task.task_id, reason="no need")
    assert (task.cancel_reason, task.state) == ("no need", CANCELLED)
    task = await joe.did("reopen", task.task_id)
    assert (task.cancel_reason, task.attempt) == ("", 0)
    assert await joe.get(task.task_id) == task
    reasons = [event.reason for event in await team.events(task.task_id)]
    assert reasons == ["", "", "", "not yet", "", "", "no need", ""]


async def test_a_task_completed_without_a_result_has_an_empty_one(team: Team) -> None:
    joe = team.caller("joe")
    task = await joe.bring((await joe.made()).task_id, COMPLETED)
    assert task.HasField("result")
    assert task.result == pb.TaskResult()


async def test_what_is_wrong_with_an_end_is_named_and_the_task_stays(team: Team) -> None:
    joe = team.caller("joe")
    task = await joe.made()
    blob = Struct()
    blob.update({"blob": "x" * 262_144})
    too_long = "x" * 65_537
    calls: dict[str, Any] = {
        "result.summary": joe.do("complete", task.task_id, result=pb.TaskResult(summary=too_long)),
        "result.data": joe.do("complete", task.task_id, result=pb.TaskResult(data=blob)),
        "failure.message": joe.do("fail", task.task_id, failure=pb.TaskFailure()),
        "failure.data": joe.do(
            "fail", task.task_id, failure=pb.TaskFailure(message="x", data=blob)
        ),
        "reason": joe.do("cancel", task.task_id, reason="x" * 4_097),
        "notify": joe.do("cancel", task.task_id, notify=pb.Notify.ValueType(3)),
        "etag": joe.do("cancel", task.task_id, etag="x" * 65),
        "request_id": joe.do("cancel", task.task_id, request_id=" "),
    }
    for field, call in calls.items():
        assert await faults(call) == {field}
    assert await faults(joe.do("reopen", task.task_id, reason="a\0")) == {"reason"}
    assert await joe.get(task.task_id) == task


@pytest.mark.parametrize(
    "verb",
    ["update", "delete", "assign", "unassign", "start", "complete", "fail", "cancel", "reopen"],
)
async def test_a_stale_etag_is_refused_and_the_present_one_is_not(team: Team, verb: str) -> None:
    joe, _, _ = await team.known("joe", "ann", "bob")
    made = await joe.made(assignee_id="ann")
    stale = made.etag
    task = await joe.did("update", made.task_id, values={"priority": 1})
    if verb in ("complete", "reopen"):
        task = await team.caller("ann").did("start", made.task_id)
    if verb == "reopen":
        task = await joe.did("cancel", made.task_id)
    fields: dict[str, Any] = {"assignee_id": "bob"} if verb == "assign" else {}
    ann = team.caller("ann")
    before = await team.picture(made.task_id)
    code, reason, metadata = await refusal(ann.do(verb, made.task_id, etag=stale, **fields))
    assert (code, reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
    assert metadata == {"task_id": made.task_id, "etag": task.etag}
    assert await team.picture(made.task_id) == before
    response = await ann.do(verb, made.task_id, etag=task.etag, **fields)
    if verb != "delete":
        assert response.task.etag not in (stale, task.etag)


async def test_one_of_many_changes_on_the_same_etag_is_done(team: Team) -> None:
    joe = team.caller("joe")
    task = await joe.made()
    answers = await asyncio.gather(
        *(
            joe.do("update", task.task_id, values={"priority": n}, etag=task.etag)
            for n in range(1, 21)
        ),
        return_exceptions=True,
    )
    losers = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert len(losers) == 19
    assert {loser.code() for loser in losers} == {grpc.StatusCode.ABORTED}
    (winner,) = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert await joe.get(task.task_id) == winner.task
