"""Repeats and races: a change is made once, whoever asks for it again or at the same time."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from dovetail.messaging.v1 import messaging_pb2
from dovetail.tasks.v1 import tasks_pb2 as pb
from support.pair import Pair, running_pair
from support.refusals import refusal
from support.tables import COMPLETED, IN_PROGRESS
from support.teams import Team

# A request of each RPC that takes a request_id, and another with the same id.
REQUESTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "update": ({"values": {"priority": 1}}, {"values": {"priority": 2}}),
    "assign": ({"assignee_id": "bob"}, {"assignee_id": "joe"}),
    "unassign": ({}, {"force": True}),
    "start": ({}, {"etag": "v1"}),
    "release": ({"reason": "a"}, {"reason": "b"}),
    "request-input": ({"text": "a"}, {"text": "b"}),
    "provide-input": ({"text": "a"}, {"text": "b"}),
    "complete": ({"result": pb.TaskResult(summary="a")}, {"result": pb.TaskResult(summary="b")}),
    "fail": (
        {"failure": pb.TaskFailure(message="a")},
        {"failure": pb.TaskFailure(message="b")},
    ),
    "cancel": ({"reason": "a"}, {"reason": "b"}),
    "reopen": ({"reason": "a"}, {"notify": pb.NOTIFY_NONE}),
}
BEFORE = {
    "release": ("start",),
    "request-input": ("start",),
    "provide-input": ("start", "request-input"),
    "complete": ("start",),
    "reopen": ("start", "complete"),
}


async def ready(team: Team, verb: str) -> pb.Task:
    """A task of ann's, made by joe, that allows the verb. Bob is known too."""
    joe, ann, _ = await team.known("joe", "ann", "bob")
    task = await joe.made(assignee_id="ann")
    for step in BEFORE.get(verb, ()):
        await ann.do(step, task.task_id)
    return task


@pytest.mark.parametrize("verb", REQUESTS)
async def test_a_repeat_of_a_change_answers_the_same_and_changes_nothing(
    team: Team, verb: str
) -> None:
    task = await ready(team, verb)
    fields, _ = REQUESTS[verb]
    ann = team.caller("ann")
    first = await ann.do(verb, task.task_id, request_id="r1", **fields)
    before = await team.picture(task.task_id)
    assert await ann.do(verb, task.task_id, request_id="r1", **fields) == first
    assert await team.picture(task.task_id) == before


async def test_a_repeat_of_a_creation_makes_no_second_task(team: Team) -> None:
    joe, ann = await team.known("joe", "ann")
    for fields in ({}, {"task_id": "mend"}):
        asked: dict[str, Any] = {"assignee_id": "ann", "request_id": f"r{fields}", **fields}
        first = await joe.create(**asked)
        assert await joe.create(**asked) == first
    assert len(await joe.all()) == 2
    assert len(await ann.received()) == 2


async def test_a_repeat_answers_the_task_as_it_is_now(team: Team) -> None:
    joe, ann = await team.known("joe", "ann")
    task = (await joe.create(request_id="r1")).task
    await ann.do("start", task.task_id, request_id="r1")
    await ann.do("complete", task.task_id)
    now = await joe.get(task.task_id)
    assert now.state == COMPLETED
    assert (await joe.create(request_id="r1")).task == now
    assert (await ann.do("start", task.task_id, request_id="r1")).task == now


async def test_a_repeat_for_a_task_that_is_gone_says_so(team: Team) -> None:
    joe = team.caller("joe")
    task = (await joe.create(request_id="r1")).task
    await joe.do("delete", task.task_id)
    code, reason, _ = await refusal(joe.create(request_id="r1"))
    assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "TASK_NOT_FOUND")
    assert await joe.all() == []


@pytest.mark.parametrize("verb", REQUESTS)
async def test_an_id_reused_for_another_request_is_refused(team: Team, verb: str) -> None:
    task = await ready(team, verb)
    fields, other = REQUESTS[verb]
    ann = team.caller("ann")
    await ann.do(verb, task.task_id, request_id="r1", **fields)
    before = await team.picture(task.task_id)
    refused = [
        ann.do(verb, task.task_id, request_id="r1", **other),
        ann.do(verb, "another task", request_id="r1", **fields),
        ann.create(request_id="r1"),
        *(
            ann.do(another, task.task_id, request_id="r1", **REQUESTS[another][0])
            for another in REQUESTS
            if another != verb
        ),
    ]
    for call in refused:
        code, reason, metadata = await refusal(call)
        assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED")
        assert metadata == {"request_id": "r1"}
    assert await team.picture(task.task_id) == before


async def test_ids_of_a_creation_are_not_reused_for_another(team: Team) -> None:
    joe = team.caller("joe")
    task = (await joe.create(request_id="r1")).task
    for call in (joe.create(request_id="r1", priority=1), joe.create(request_id="r1", task_id="x")):
        assert (await refusal(call))[1] == "REQUEST_ID_REUSED"
    assert await joe.all() == [task]


async def test_request_ids_are_each_callers_own(team: Team) -> None:
    await team.known("joe", "ann")
    several = [team.caller("joe"), team.caller("ann"), team.caller()]
    made = [(await who.create(request_id="r1", title=who.agent_id or "x")).task for who in several]
    assert len({task.task_id for task in made}) == 3
    other = Team.new(team.pair).caller("joe")
    assert (await other.create(request_id="r1", title="joe")).task.creator_id == "joe"
    sent = await team.pair.messaging.SendMessage(
        messaging_pb2.SendMessageRequest(recipient_ids=["ann"], request_id="r1"),
        metadata=several[0].metadata,
    )
    assert sent.message_id


async def test_a_refused_request_is_not_remembered(team: Team) -> None:
    task = await ready(team, "start")
    joe, ann = team.caller("joe"), team.caller("ann")
    code, *_ = await refusal(ann.do("complete", task.task_id, request_id="r1"))
    assert code == grpc.StatusCode.FAILED_PRECONDITION
    await refusal(joe.do("start", task.task_id, request_id="r1"))
    await ann.do("start", task.task_id)
    response = await ann.do("complete", task.task_id, request_id="r1")
    assert response.task.state == COMPLETED
    assert (await joe.create(request_id="r1")).task.creator_id == "joe"


async def test_many_repeats_at_once_make_one_change(team: Team) -> None:
    joe, ann = await team.known("joe", "ann")
    made = await asyncio.gather(
        *(joe.create(assignee_id="ann", request_id="r1") for _ in range(20))
    )
    assert all(answer == made[0] for answer in made)
    task_id = made[0].task.task_id
    started = await asyncio.gather(*(ann.do("start", task_id, request_id="r2") for _ in range(20)))
    assert all(answer == started[0] for answer in started)
    assert [event.verb.words for event in await team.events(task_id)] == ["create", "start"]
    assert len(await ann.received()) == 1


async def test_a_task_of_the_pool_is_started_by_exactly_one(shared_pair: Pair, team: Team) -> None:
    """Fifty tasks, eight callers, two task servers over one store."""
    task_ids = [(await team.caller("joe").made()).task_id for _ in range(50)]
    names = [f"w{number}" for number in range(8)]
    async with running_pair(shared_pair.store_url) as second:
        teams = [team, Team(second, team.team_id)]
        workers = [teams[number % 2].caller(name) for number, name in enumerate(names)]
        calls = [worker.do("start", task_id) for task_id in task_ids for worker in workers]
        answers = await asyncio.gather(*calls, return_exceptions=True)
    won = [answer.task for answer in answers if isinstance(answer, pb.StartTaskResponse)]
    lost = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert sorted(task.task_id for task in won) == sorted(task_ids)
    assert len(lost) == 350
    assert {loser.code() for loser in lost} == {grpc.StatusCode.FAILED_PRECONDITION}
    for task in won:
        assert (task.state, task.attempt) == (IN_PROGRESS, 1)
        assert await team.caller().get(task.task_id) == task
        events = await team.events(task.task_id)
        assert [event.actor_id for event in events] == ["joe", task.assignee_id]
    assert {task.assignee_id for task in won} <= set(names)
