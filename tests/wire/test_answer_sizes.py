"""The largest answers fit into what gRPC libraries take by themselves: 4 MiB.

Where pages bound an answer, it ends at 1 MiB or one item; here are the others, each with the
longest ids and texts that are taken.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest

from dovetail.messaging.v1 import messaging_pb2
from dovetail.server.tasks.reports import ASSIGNEES_MAX
from dovetail.tasks.v1 import tasks_pb2 as pb
from support.pair import Metadata, Pair, identity
from wire.test_bounds import METHODS

CLIENTS_TAKE = 4 * 1024 * 1024
LONGEST = 128
WIDE = "\U00020000"
"""A character of four bytes, that ids may have."""

PAGES = {
    *("ListAgents", "ListGroups", "ListMessages", "ListReceipts", "ListTasks", "ListTeams"),
    *("ListCredentials", "ListTaskEvents", "ListTaskAttempts", "SearchMessages", "SearchTasks"),
}
ENDS_AT_1_MIB = {"ReceiveMessages", "SubscribeInbox", "ClaimTask", "WatchTasks"}
ONE_MESSAGE = {
    *("GetMessage", "SendMessage", "AcknowledgeMessages", "MarkMessagesSeen"),
    *("RejectMessage", "WithdrawMessage"),
}
ONE_ATTACHMENT = {"GetAttachment", "GetTaskAttachment"}
ONE_AGENT = {"RegisterAgent", "GetAgent", "UpdateAgent", "RemoveAgent"}
ONE_GROUP = {"PutGroup", "GetGroup", "DeleteGroup"}
ONE_TASK = {
    *("CreateTask", "GetTask", "UpdateTask", "DeleteTask", "AssignTask", "UnassignTask"),
    *("StartTask", "HeartbeatTask", "ReleaseTask", "RequestTaskInput", "ProvideTaskInput"),
    *("CompleteTask", "FailTask", "CancelTask", "ReopenTask"),
}
ONE_CREDENTIAL = {"CreateCredential", "RotateCredential", "RevokeCredential"}
ONE_TEAM = {"CreateTeam", "GetTeam", "UpdateTeam"}
VERY_MANY = {"BatchSendMessages", "BatchCreateTasks", "BatchCompleteTasks", "GetReport"}


def same(content: bytes) -> bytes:
    """What travels is left as it is."""
    return content


def name(number: int) -> str:
    """One of the longest ids."""
    digits = f"{number:05}"
    return WIDE * (LONGEST - len(digits)) + digits


@pytest.fixture
def boss() -> Metadata:
    """A caller of a team of its own, all of whose names are as long as may be."""
    team = uuid.uuid4().hex
    return identity(name(0), WIDE * (LONGEST - len(team)) + team)


async def register(shared: Pair, boss: Metadata, numbers: range) -> None:
    """Make agents known."""
    requests = [messaging_pb2.RegisterAgentRequest(agent_id=name(number)) for number in numbers]
    await asyncio.gather(
        *(shared.messaging.RegisterAgent(request, metadata=boss) for request in requests)
    )


@pytest.fixture(autouse=True)
async def registered(shared: Pair, boss: Metadata) -> None:
    await register(shared, boss, range(2))


def test_every_rpc_is_of_a_kind_whose_largest_answer_is_known() -> None:
    ones = ONE_MESSAGE, ONE_ATTACHMENT, ONE_AGENT, ONE_GROUP, ONE_TASK, ONE_CREDENTIAL
    kinds = PAGES, ENDS_AT_1_MIB, *ones, ONE_TEAM, VERY_MANY
    assert sorted(each for kind in kinds for each in kind) == sorted(
        method.name for method in METHODS.values()
    )


async def batch(shared: Pair, boss: Metadata, round_: int) -> list[str]:
    """500 tasks with the longest names: more would not fit into a request. Their ids."""
    tasks = [
        pb.CreateTaskRequest(
            task_id=name(1_000 * round_ + number),
            title=WIDE * 512,
            assignee_id=name(1),
            thread_id=name(2),
        )
        for number in range(500)
    ]
    raw: Any = shared.tasks_channel.unary_unary(
        "/dovetail.tasks.v1.TaskService/BatchCreateTasks", same, same
    )
    payload = pb.BatchCreateTasksRequest(requests=tasks).SerializeToString()
    answer = await raw(payload, metadata=boss)
    assert len(answer) < CLIENTS_TAKE
    return [task.task_id for task in tasks]


async def test_many_tasks_that_are_made_and_completed_at_once(shared: Pair, boss: Metadata) -> None:
    ids = [each for round_ in (1, 2) for each in await batch(shared, boss, round_)]
    operator = boss[1:]
    starts = [pb.StartTaskRequest(task_id=task_id) for task_id in ids]
    await asyncio.gather(*(shared.tasks.StartTask(each, metadata=operator) for each in starts))
    raw: Any = shared.tasks_channel.unary_unary(
        "/dovetail.tasks.v1.TaskService/BatchCompleteTasks", same, same
    )
    request = pb.BatchCompleteTasksRequest(
        requests=[pb.CompleteTaskRequest(task_id=task_id) for task_id in ids]
    )
    answer = await raw(request.SerializeToString(), metadata=operator)
    assert len(answer) < CLIENTS_TAKE
    outcomes = pb.BatchCompleteTasksResponse.FromString(answer).outcomes
    assert all(outcome.HasField("task") for outcome in outcomes)
    assert {len(outcome.notices) for outcome in outcomes} == {2}


async def test_a_report_over_very_many_assignees(shared: Pair, boss: Metadata) -> None:
    more = 30
    await register(shared, boss, range(1, ASSIGNEES_MAX + more + 1))
    # Those of the highest numbers have two tasks each, so that they are not left out.
    numbers = [*range(1, ASSIGNEES_MAX + more + 1), *range(more + 1, ASSIGNEES_MAX + more + 1)]
    for start in range(0, len(numbers), 1_000):
        tasks = [
            pb.CreateTaskRequest(title="x", assignee_id=name(number))
            for number in numbers[start : start + 1_000]
        ]
        await shared.tasks.BatchCreateTasks(
            pb.BatchCreateTasksRequest(requests=tasks, notify=pb.NOTIFY_NONE), metadata=boss
        )
    answer = await shared.tasks.GetReport(pb.GetReportRequest(), metadata=boss)
    assert answer.ByteSize() < CLIENTS_TAKE
    report = answer.report
    assert report.total_assignees == ASSIGNEES_MAX + more
    assert report.total_tasks == len(numbers)
    rows = [row.assignee_id for row in report.assignees]
    assert rows == [name(number) for number in range(more + 1, ASSIGNEES_MAX + more + 1)]
    filter = pb.TaskFilter(assignee_ids=[name(1), name(more + 1)])
    some = await shared.tasks.GetReport(pb.GetReportRequest(filter=filter), metadata=boss)
    assert some.report.total_assignees == 2
    assert len(some.report.assignees) == 2


async def test_a_message_to_very_many(shared: Pair, boss: Metadata) -> None:
    recipients = [name(number) for number in range(1_000)]
    await register(shared, boss, range(1_000))
    request = messaging_pb2.SendMessageRequest(recipient_ids=recipients, body=WIDE * 60_000)
    sent = await shared.messaging.SendMessage(request, metadata=boss)
    assert sent.ByteSize() < CLIENTS_TAKE
    group = messaging_pb2.Group(group_id="all", agent_ids=recipients)
    put = await shared.messaging.PutGroup(messaging_pb2.PutGroupRequest(group=group), metadata=boss)
    assert put.ByteSize() < CLIENTS_TAKE
    asked = messaging_pb2.GetMessageRequest(message_id=sent.message_id)
    assert (await shared.messaging.GetMessage(asked, metadata=boss)).ByteSize() < CLIENTS_TAKE
