"""Attachments of tasks: of inputs, results and late results, as long as those are there."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from dovetail.server.store.schema import TaskAttachmentRow
from dovetail.tasks.v1 import tasks_pb2 as pb
from dovetail.types.v1.types_pb2 import Attachment
from support.callers import Caller
from support.files import some, told, whole
from support.refusals import bad_fields, failure, faults, refusal
from support.teams import Team
from tasks.test_attempts import attempts_of

MIB = 1024 * 1024
RESULT, LATE = pb.ATTACHMENT_PLACE_RESULT, pb.ATTACHMENT_PLACE_LATE_RESULT
OUTPUT = [Attachment(name="b.png", data=b"of the result"), Attachment(name="x", url="a://b")]
"""One has the name of an input."""


async def attachment(caller: Caller, task_id: str, name: str, **fields: Any) -> Attachment:
    request = pb.GetTaskAttachmentRequest(task_id=task_id, name=name, **fields)
    return (await caller.call(request)).attachment


async def missing(caller: Caller, task_id: str, name: str, **fields: Any) -> tuple[str, str]:
    """The reason and the text of an error."""
    error = await failure(attachment(caller, task_id, name, **fields))
    assert error.code() is grpc.StatusCode.NOT_FOUND
    _, reason, _ = await refusal(attachment(caller, task_id, name, **fields))
    return reason, str(error.details())


async def kept(team: Team, task_id: str) -> int:
    """How many attachments the store has of a task."""
    query = TaskAttachmentRow.select(TaskAttachmentRow.name).where(
        TaskAttachmentRow.team_id == team.team_id, TaskAttachmentRow.task_id == task_id
    )
    return len(await team.pair.tasks_store.read(team.team_id, lambda s: s.select(query)))


async def test_input_and_result_are_shown_without_bytes_and_returned_by_name(team: Team) -> None:
    boss, ann = await team.known("boss", "ann")
    made = await boss.create(task_id="x", assignee_id="ann", input_attachments=some())
    (claimed,) = await ann.claim()
    (event,) = (await ann.received())[0:1]
    assert "Attached: b.png, a table.csv, empty, big.tar, somewhere" in event.message.body
    fields = {"result": pb.TaskResult(summary="done", attachments=OUTPUT)}
    done = await ann.do("complete", "x", lease_token=claimed.lease_token, **fields)
    page, found = await boss.page(), await boss.get("x")
    for task in (made.task, claimed.task, done.task, found, page.tasks[0]):
        assert list(task.input_attachments) == told(some())
    for task in (done.task, found, page.tasks[0]):
        assert list(task.result.attachments) == told(OUTPUT)
    assert page.ByteSize() < 1_500
    assert (await boss.received())[0].message.body == "done\n\nAttached: b.png, x"
    for caller in (boss, ann):
        for each in some():
            assert await attachment(caller, "x", each.name) == whole(each)
        for each in OUTPUT:
            assert await attachment(caller, "x", each.name, place=RESULT) == whole(each)
    reason, text = await missing(boss, "x", "empty", place=RESULT)
    assert reason == "ATTACHMENT_NOT_FOUND"
    assert "the result of task 'x' has no attachment 'empty'; it has 'b.png', 'x'" in text
    assert (await missing(boss, "y", "b.png"))[0] == "TASK_NOT_FOUND"
    stranger = Caller(team.pair, "boss", f"{team.team_id} other")
    assert (await missing(stranger, "x", "b.png"))[0] == "TASK_NOT_FOUND"


async def test_those_of_a_batch_belong_to_their_tasks(team: Team) -> None:
    boss, ann = await team.known("boss", "ann")
    batch = pb.BatchCreateTasksRequest(request_id="r")
    for number in range(3):
        each = batch.requests.add(title=str(number), task_id=str(number))
        each.input_attachments.add(name="n", data=str(number).encode())
    for _ in range(2):
        created = await boss.call(batch)
        assert [len(task.input_attachments) for task in created.tasks] == [0, 0, 0]
    ends = pb.BatchCompleteTasksRequest()
    for number in range(3):
        if number != 1:
            await ann.do("start", str(number))
        each = ends.requests.add(task_id=str(number), request_id=str(number))
        each.result.attachments.add(name="n", data=f"result {number}".encode())
    for _ in range(2):
        outcomes = (await ann.call(ends)).outcomes
        assert [each.WhichOneof("outcome") for each in outcomes] == ["task", "refusal", "task"]
        assert not outcomes[0].task.result.attachments
    for number in range(3):
        assert (await attachment(boss, str(number), "n")).data == str(number).encode()
    for number in (0, 2):
        found = await attachment(boss, str(number), "n", place=RESULT)
        assert found.data == f"result {number}".encode()
    assert (await missing(boss, "1", "n", place=RESULT))[0] == "ATTACHMENT_NOT_FOUND"


async def test_reopening_removes_those_of_the_result_and_deleting_all(team: Team) -> None:
    boss, ann = await team.known("boss", "ann")
    await boss.made(task_id="x", input_attachments=some())
    result = pb.TaskResult(attachments=OUTPUT)
    for _ in range(2):
        await ann.do("start", "x")
        await ann.do("complete", "x", result=result)
        assert (await attachment(boss, "x", "b.png", place=RESULT)).data == b"of the result"
        reopened = await boss.did("reopen", "x")
        assert not reopened.HasField("result")
        assert list(reopened.input_attachments) == told(some())
        assert (await missing(boss, "x", "b.png", place=RESULT))[0] == "ATTACHMENT_NOT_FOUND"
    await ann.do("start", "x")
    await ann.do("complete", "x", result=result)
    assert await kept(team, "x") == len(some()) + len(OUTPUT)
    await boss.do("delete", "x")
    assert await kept(team, "x") == 0
    for place in (pb.ATTACHMENT_PLACE_INPUT, RESULT):
        assert (await missing(boss, "x", "b.png", place=place))[0] == "TASK_NOT_FOUND"


@pytest.mark.parametrize("way", ["unassign", "cancel"])
async def test_those_of_a_late_result_stay_with_their_attempt(team: Team, way: str) -> None:
    boss, ann = await team.known("boss", "ann")
    await boss.made(task_id="x")
    token = await ann.held("x")
    await boss.do(way, "x", **({"force": True} if way == "unassign" else {}))
    result = pb.TaskResult(summary="late", attachments=OUTPUT)
    for _ in range(2):
        status, reason, metadata = await refusal(
            ann.do("complete", "x", lease_token=token, result=result)
        )
        assert (status, reason) == (grpc.StatusCode.ABORTED, "LEASE_LOST")
        assert metadata["late_result_kept"] == "true"
    (attempt,) = await attempts_of(boss, "x")
    assert list(attempt.late_result.result.attachments) == told(OUTPUT)
    place: dict[str, Any] = {"place": LATE, "start_event_number": attempt.start_event_number}
    # The event of the attempt is that of the task's last one: the two places stay apart.
    assert (await missing(boss, "x", "b.png", place=RESULT))[0] == "ATTACHMENT_NOT_FOUND"
    if way == "cancel":
        await boss.do("reopen", "x")
    await boss.do("delete", "x")
    for each in OUTPUT:
        assert await attachment(boss, "x", each.name, **place) == whole(each)
    assert "'b.png', 'x'" in (await missing(boss, "x", "other", **place))[1]
    for wrong in (1, 2**62):
        reason, _ = await missing(boss, "x", "b.png", place=LATE, start_event_number=wrong)
        assert reason == "ATTACHMENT_NOT_FOUND"
    reason, _ = await missing(boss, "y", "b.png", place=LATE, start_event_number=1)
    assert reason == "TASK_NOT_FOUND"


async def test_input_and_result_have_one_mebibyte_of_bytes_each(team: Team) -> None:
    boss, ann = await team.known("boss", "ann")
    half = [Attachment(name=name, data=b"x" * (MIB // 2)) for name in ("a", "b")]
    await boss.made(task_id="x", description="x" * 256 * 1024, input_attachments=half)
    await ann.do("start", "x")
    result = pb.TaskResult(summary="x" * 60_000, attachments=half)
    result.attachments[0].data += b"x"
    error = await failure(ann.do("complete", "x", result=result))
    told = "must have at most 1,048,576 bytes in all, have 1,048,577: put what is larger"
    assert told in bad_fields(error)["result.attachments"]
    half[0].data += b"x"
    too_much = pb.CreateTaskRequest(title="T", input_attachments=half)
    assert await faults(boss.call(too_much)) == {"input_attachments"}
    result.attachments[0].data = result.attachments[0].data[1:]
    await ann.do("complete", "x", result=result)
    assert (await boss.get("x")).ByteSize() < 400_000
    assert (await attachment(boss, "x", "b", place=RESULT)).size == MIB // 2
