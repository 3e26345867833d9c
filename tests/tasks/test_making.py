"""Making, finding and deleting tasks: their ids, and what is kept of them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import grpc
import pytest
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from dovetail.tasks.v1 import tasks_pb2 as pb
from support.refusals import faults, refusal
from support.tables import IN_PROGRESS, PENDING
from support.teams import Team


def deep(levels: int) -> Struct:
    """Structured content in so many levels."""
    made = Struct()
    inner = made
    for _ in range(levels - 1):
        inner = inner.fields["in"].struct_value
    inner.update({"end": True})
    return made


async def test_a_task_keeps_all_that_it_was_made_with(team: Team) -> None:
    joe, _ = await team.known("joe", "ann")
    wanted = Struct()
    wanted.update({"n": 1.5, "list": [1, None, {"é": "\0"}], "": {}})
    due_time = Timestamp(seconds=4_102_444_800, nanos=123_456_000)
    fields: dict[str, Any] = {
        "task_id": "Mend (the -> tap) 🦊",
        "title": "  a\ttitle\n",
        "description": "long\r\n\n",
        "assignee_id": "ann",
        "priority": -(2**31),
        "labels": {"room": "空", "empty": ""},
        "input": wanted,
        "due_time": due_time,
        "thread_id": "house",
    }
    task = await joe.made(**fields)
    for name, value in fields.items():
        assert getattr(task, name) == value
    assert (task.state, task.creator_id, task.attempt) == (PENDING, "joe", 0)
    assert task.create_time == task.update_time == task.assign_time
    unset = ("start_time", "end_time", "result", "failure")
    assert not any(task.HasField(name) for name in unset)
    assert await team.caller("ann").get(task.task_id) == task


async def test_a_task_needs_no_more_than_a_title(team: Team) -> None:
    task = await team.caller().made(title="x")
    assert (task.task_id, task.thread_id, task.state) == ("t1", "t1", PENDING)
    assert (task.creator_id, task.assignee_id, task.priority) == ("", "", 0)
    assert not any(task.HasField(name) for name in ("assign_time", "input", "due_time"))


async def test_the_server_makes_ids_that_nobody_has(team: Team) -> None:
    joe = team.caller("joe")
    made = await asyncio.gather(*(joe.made() for _ in range(20)))
    assert len({task.task_id for task in made}) == 20


async def test_the_server_avoids_ids_that_callers_have_chosen(team: Team) -> None:
    joe = team.caller("joe")
    for task_id in ("t7", "t7-1", "t3"):
        await joe.made(task_id=task_id)
    made = [(await joe.made()).task_id for _ in range(10)]
    assert len({"t7", "t7-1", "t3", *made}) == 13


@pytest.mark.parametrize("deleted", [False, True])
async def test_a_taken_id_is_refused_even_of_a_deleted_task(team: Team, deleted: bool) -> None:
    joe = team.caller("joe")
    await joe.made(task_id="mend")
    if deleted:
        await joe.do("delete", "mend")
    before = await team.picture("mend")
    code, reason, metadata = await refusal(team.caller("new").create(task_id="mend"))
    assert (code, reason) == (grpc.StatusCode.ALREADY_EXISTS, "TASK_EXISTS")
    assert metadata == {"task_id": "mend"}
    assert await team.picture("mend") == before


async def test_an_id_that_the_server_made_is_taken_too(team: Team) -> None:
    task = await team.caller("joe").made()
    code, reason, _ = await refusal(team.caller("joe").create(task_id=task.task_id))
    assert (code, reason) == (grpc.StatusCode.ALREADY_EXISTS, "TASK_EXISTS")


async def test_one_of_many_who_choose_the_same_id_gets_it(team: Team) -> None:
    calls = (team.caller(f"w{n}").create(task_id="mend") for n in range(20))
    answers = await asyncio.gather(*calls, return_exceptions=True)
    losers = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert {loser.code() for loser in losers} == {grpc.StatusCode.ALREADY_EXISTS}
    assert len(losers) == 19


async def test_an_unknown_assignee_is_not_found_and_nothing_is_made(team: Team) -> None:
    await team.known("Anna", "bob")
    code, reason, metadata = await refusal(team.caller("joe").create(assignee_id="Ana"))
    assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "AGENT_NOT_FOUND")
    assert json.loads(metadata["agent_ids"]) == ["Ana"]
    assert json.loads(metadata["nearest_ids"]) == ["Anna"]
    assert [agent.agent_id for agent in await team.agents()] == ["Anna", "bob"]
    assert await team.caller().all() == []
    assert (await team.caller().made()).task_id == "t1"


async def test_the_one_who_makes_a_task_for_itself_becomes_known(team: Team) -> None:
    made = await team.caller("joe").create(assignee_id="joe")
    assert (made.task.assignee_id, list(made.notices)) == ("joe", [])
    assert [agent.agent_id for agent in await team.agents()] == ["joe"]


async def test_one_error_names_every_field_that_is_wrong(team: Team) -> None:
    blob = Struct()
    blob.update({"blob": "x" * 262_144})
    named = await faults(
        team.caller("joe").create(
            task_id=" x",
            title="t" * 513,
            description="d" * 262_145,
            assignee_id="a\n",
            thread_id="z" * 129,
            request_id="\u0065\u0301",
            labels={"": "x"},
            input=blob,
            notify=pb.Notify.ValueType(9),
        )
    )
    wrong = {"task_id", "title", "description", "assignee_id", "thread_id", "request_id"}
    assert named == wrong | {'labels[""]', "input", "notify"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", ""),
        ("title", "a\0b"),
        ("description", "a\0b"),
        ("labels", {str(n): "" for n in range(17)}),
        ("due_time", Timestamp(seconds=253_402_300_800)),
        ("due_time", Timestamp(nanos=-1)),
        ("input", Struct(fields={"x": {"number_value": float("nan")}})),  # type: ignore[dict-item]
    ],
)
async def test_a_field_that_is_wrong_is_named(team: Team, field: str, value: Any) -> None:
    named = await faults(team.caller("joe").create(**{field: value}))
    assert {name.partition(".")[0] for name in named} == {field}
    assert await team.caller().all() == []


async def test_content_that_answers_could_not_hold_is_refused(team: Team) -> None:
    joe = team.caller("joe")
    task = await joe.made(input=deep(30))
    await joe.bring(task.task_id, IN_PROGRESS)
    task = await joe.did("complete", task.task_id, result=pb.TaskResult(data=deep(30)))
    assert task.input == task.result.data == deep(30)
    assert await joe.get(task.task_id) == task
    assert await joe.all() == [task]
    assert await faults(joe.create(input=deep(31))) == {"input"}
    assert await faults(joe.do("complete", "x", result=pb.TaskResult(data=deep(31)))) == {
        "result.data"
    }
    failure = pb.TaskFailure(message="x", data=deep(31))
    assert await faults(joe.do("fail", "x", failure=failure)) == {"failure.data"}


async def test_a_task_that_never_was_is_not_found(team: Team) -> None:
    code, reason, metadata = await refusal(team.caller().get("t1"))
    assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "TASK_NOT_FOUND")
    assert metadata == {"task_id": "t1", "deleted": "false"}


async def test_deleting_again_changes_nothing_and_is_fine(team: Team) -> None:
    joe, ann = await team.known("joe", "ann")
    task = await joe.made(assignee_id="ann")
    first = await joe.do("delete", task.task_id)
    assert [each.recipient_id for each in first.notices] == ["ann"]
    before = await team.picture(task.task_id)
    again = await joe.do("delete", task.task_id, etag="of another time")
    assert list(again.notices) == []
    assert await team.picture(task.task_id) == before
    assert len(await ann.received()) == 2


async def test_a_task_that_somebody_works_on_is_not_deleted(team: Team) -> None:
    joe = team.caller("joe")
    task = await joe.made()
    await joe.do("start", task.task_id)
    code, reason, _ = await refusal(joe.do("delete", task.task_id))
    assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "TASK_STATE")
    assert (await joe.get(task.task_id)).state == IN_PROGRESS
    await joe.do("complete", task.task_id)
    await joe.do("delete", task.task_id)


async def test_every_rpc_refuses_what_is_no_id(team: Team) -> None:
    joe = team.caller("joe")
    assert await faults(joe.get("")) == {"task_id"}
    for verb in ("delete", "unassign", "start", "complete", "fail", "cancel", "reopen"):
        assert await faults(joe.do(verb, " x")) == {"task_id"}
    assert await faults(joe.do("update", "")) == {"task.task_id"}
    assert await faults(joe.do("assign", "x", assignee_id="")) == {"assignee_id"}


async def test_tasks_of_another_team_are_not_there(team: Team) -> None:
    joe, _ = await team.known("joe", "ann")
    task = await joe.made(task_id="mend", assignee_id="ann", request_id="r1")
    other = Team.new(team.pair).caller("joe")
    assert await other.all() == []
    assert (await other.report()).total_tasks == 0
    for verb in ("start", "complete", "cancel", "delete", "update", "unassign"):
        code, reason, metadata = await refusal(other.do(verb, "mend", etag=task.etag))
        assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "TASK_NOT_FOUND")
        assert metadata["deleted"] == "false"
    code, reason, _ = await refusal(other.create(assignee_id="ann"))
    assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "AGENT_NOT_FOUND")
    theirs = await other.made(task_id="mend", title="theirs", request_id="r1")
    assert theirs.title == "theirs"
    assert await joe.get("mend") == task
