"""Acknowledging with the act: in the commit of the change that a delivery caused, or not at all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest

from dovetail.messaging.v1 import messaging_pb2
from dovetail.tasks.v1 import tasks_pb2 as pb
from support.callers import Caller, seconds
from support.refusals import faults, refusal
from support.teams import Team

Act = Callable[..., Awaitable[Any]]


async def creating(team: Team, ann: Caller) -> Act:
    return ann.create


async def making_many(team: Team, ann: Caller) -> Act:
    drafts = [pb.CreateTaskRequest(title="t") for _ in range(2)]
    return lambda **fields: ann.call(pb.BatchCreateTasksRequest(requests=drafts, **fields))


async def starting(team: Team, ann: Caller) -> Act:
    task_id = (await ann.made()).task_id
    return lambda **fields: ann.do("start", task_id, **fields)


async def starting_under_a_lease(team: Team, ann: Caller) -> Act:
    task_id = (await ann.made()).task_id
    return lambda **fields: ann.do("start", task_id, lease_duration=seconds(60), **fields)


async def completing(team: Team, ann: Caller) -> Act:
    task_id = (await ann.made()).task_id
    await ann.do("start", task_id)
    return lambda **fields: ann.do("complete", task_id, **fields)


async def failing(team: Team, ann: Caller) -> Act:
    task_id = (await ann.made()).task_id
    return lambda **fields: ann.do("fail", task_id, **fields)


async def answering(team: Team, ann: Caller) -> Act:
    joe = team.caller("joe")
    task_id = (await joe.made()).task_id
    await joe.do("start", task_id)
    await joe.do("request-input", task_id, agent_id="ann")
    return lambda **fields: ann.do("provide-input", task_id, **fields)


ACTS = (
    *(creating, making_many, starting, starting_under_a_lease),
    *(completing, failing, answering),
)


async def told(team: Team, ann: Caller, count: int) -> None:
    """So many messages in ann's inbox."""
    await team.known("joe", "ann")
    request = messaging_pb2.SendMessageRequest(recipient_ids=["ann"])
    for _ in range(count):
        await ann.messaging.SendMessage(request, metadata=team.caller("joe").metadata)


async def open_sequences(ann: Caller) -> list[int]:
    return [
        delivery.receipt.sequence
        for delivery in await ann.received()
        if not delivery.receipt.HasField("state_time")
    ]


@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__name__)
async def test_an_act_acknowledges_what_it_names_and_nothing_else(
    team: Team, act: Callable[[Team, Caller], Awaitable[Act]]
) -> None:
    ann = team.caller("ann")
    await told(team, ann, 4)
    call = await act(team, ann)
    before = await open_sequences(ann)
    await call(acknowledge_sequences=[3, 1, 3])
    assert await open_sequences(ann) == [each for each in before if each not in (1, 3)]
    (agent,) = [each for each in await team.agents() if each.agent_id == "ann"]
    assert agent.unacknowledged_count == len(before) - 2


@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__name__)
async def test_an_act_that_is_refused_acknowledges_nothing(
    team: Team, act: Callable[[Team, Caller], Awaitable[Act]]
) -> None:
    ann = team.caller("ann")
    await told(team, ann, 2)
    call = await act(team, ann)
    before, tasks = await open_sequences(ann), await ann.all()
    code, reason, _ = await refusal(call(acknowledge_sequences=[1, 99]))
    assert (code, reason) == (grpc.StatusCode.OUT_OF_RANGE, "CURSOR_IN_FUTURE")
    for wrong in (0, -1):
        named = await faults(call(acknowledge_sequences=[1, wrong]))
        assert named == {"acknowledge_sequences[1]"}
    assert await faults(call(acknowledge_sequences=[1] * 1_001)) == {"acknowledge_sequences"}
    assert await open_sequences(ann) == before
    assert await ann.all() == tasks


async def test_a_state_that_refuses_the_act_keeps_what_it_would_acknowledge(team: Team) -> None:
    ann = team.caller("ann")
    await told(team, ann, 1)
    task_id = (await ann.made()).task_id
    assert (await refusal(ann.do("complete", task_id, acknowledge_sequences=[1])))[1] == (
        "TASK_STATE"
    )
    assert await open_sequences(ann) == [1]


async def test_completions_of_a_batch_acknowledge_each_for_itself(team: Team) -> None:
    ann = team.caller("ann")
    await told(team, ann, 3)
    asked: list[pb.CompleteTaskRequest] = []
    for sequence in (1, 2, 99):
        task_id = (await ann.made()).task_id
        await ann.do("start", task_id)
        asked.append(pb.CompleteTaskRequest(task_id=task_id, acknowledge_sequences=[sequence]))
    await ann.do("cancel", asked[0].task_id)
    answer = await ann.call(pb.BatchCompleteTasksRequest(requests=asked))
    reasons = [outcome.refusal.reason for outcome in answer.outcomes]
    assert reasons == ["TASK_STATE", "", "CURSOR_IN_FUTURE"]
    assert await open_sequences(ann) == [1, 3]


async def test_a_repeated_act_acknowledges_no_more(team: Team) -> None:
    ann = team.caller("ann")
    await told(team, ann, 2)
    again: dict[str, Any] = {"request_id": "r1", "acknowledge_sequences": [1]}
    first = await ann.create(**again)
    assert await ann.create(**again) == first
    other = {"request_id": "r1", "acknowledge_sequences": [2]}
    assert (await refusal(ann.create(**other)))[1] == "REQUEST_ID_REUSED"
    assert await open_sequences(ann) == [2]
    again["lease_duration"] = seconds(60)
    started = await ann.do("start", first.task.task_id, **{**again, "request_id": "r2"})
    again["acknowledge_sequences"] = [2]
    refused = ann.do("start", first.task.task_id, **{**again, "request_id": "r2"})
    assert (await refusal(refused))[1] == "REQUEST_ID_REUSED"
    assert await open_sequences(ann) == [2]
    again["acknowledge_sequences"] = [1]
    assert await ann.do("start", first.task.task_id, **{**again, "request_id": "r2"}) == started


async def test_a_caller_without_an_agent_has_nothing_to_acknowledge(team: Team) -> None:
    code, reason, _ = await refusal(team.caller().create(acknowledge_sequences=[1]))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "CALLER_AGENT_REQUIRED")
    assert await team.caller().all() == []
