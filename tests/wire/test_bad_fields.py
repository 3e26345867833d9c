"""Bad fields: each is refused by name, before anything is written; several are named together."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from dovetail.messaging.v1 import messaging_pb2 as m
from dovetail.tasks.v1 import tasks_pb2 as t
from dovetail.types.v1 import types_pb2
from support.pair import Pair
from support.refusals import bad_fields, error_info
from support.teams import Team
from wire.bad_fields import TABLES
from wire.calling import error_of, everything
from wire.requests import BACKWARDS, CHANGES, Row, create, send, struct, tasks


def matches(found: list[str], field: str) -> bool:
    """Whether this field, and no other, was named; `[*]` stands for any key."""
    pattern = field.replace("[", "[[]").replace("[[]*]", "[[]*]")
    return len(found) == 1 and fnmatchcase(found[0], pattern)


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
async def test_every_bad_field_is_refused_by_name_and_writes_nothing(
    shared: Pair, table: Callable[[], Iterator[Row]]
) -> None:
    before = await everything(shared)
    for method, request, field in table():
        error = await error_of(shared, method, request)
        told = method, field, error.details()
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT, told
        assert error_info(error).reason == "INVALID_FIELDS", told
        assert matches(list(bad_fields(error)), field), (told, bad_fields(error))
        assert error_info(error).metadata["field"] in bad_fields(error), told
        assert all(bad_fields(error).values()), told
    assert await everything(shared) == before


SEVERAL: tuple[tuple[str, Message, set[str]], ...] = (
    (
        "SendMessage",
        send(
            recipient_ids=[" a", "bob", ""],
            subject="x" * 513,
            body="\0",
            importance=99,
            thread_id="\n",
            labels={"k": "\n"},
            request_id=" ",
        ),
        {
            "recipient_ids[0]",
            "recipient_ids[2]",
            "subject",
            "body",
            "importance",
            "thread_id",
            'labels["k"]',
            "request_id",
        },
    ),
    (
        "RegisterAgent",
        m.RegisterAgentRequest(agent_id=" a", display_name="\0", labels={"": ""}),
        {"agent_id", "display_name", 'labels[""]'},
    ),
    (
        "ListAgents",
        m.ListAgentsRequest(labels={"": ""}, page_size=-1, page_token="x"),
        {'labels[""]', "page_size", "page_token"},
    ),
    (
        "ListMessages",
        m.ListMessagesRequest(
            recipient_id=" ",
            states=[types_pb2.DELIVERY_STATE_UNSPECIFIED],
            page_size=-1,
            page_token="x",
        ),
        {"recipient_id", "states[0]", "page_size", "page_token"},
    ),
    (
        "SubscribeInbox",
        m.SubscribeInboxRequest(
            agent_id=" ", max_outstanding=-1, filter=m.MessageFilter(thread_id=" ")
        ),
        {"agent_id", "max_outstanding", "filter.thread_id"},
    ),
    (
        "WatchTasks",
        t.WatchTasksRequest(after_event=-1, filter=t.TaskEventFilter(task_id=" ", actor_ids=[" "])),
        {"after_event", "filter.task_id", "filter.actor_ids[0]"},
    ),
    (
        "AcknowledgeMessages",
        m.AcknowledgeMessagesRequest(agent_id=" ", sequences=[0], through_sequence=-1),
        {"agent_id", "sequences[0]", "through_sequence"},
    ),
    (
        "MarkMessagesSeen",
        m.MarkMessagesSeenRequest(sequences=[0, 1, -1]),
        {"sequences[0]", "sequences[2]"},
    ),
    (
        "RejectMessage",
        m.RejectMessageRequest(sequences=[0, 1, -1]),
        {"sequences[0]", "sequences[2]", "reason"},
    ),
    (
        "ReceiveMessages",
        m.ReceiveMessagesRequest(agent_id=" x", max_messages=-5, max_wait=Duration(nanos=1)),
        {"agent_id", "max_messages", "max_wait"},
    ),
    (
        "CreateTask",
        create(title="", task_id=" ", description="\0", notify=99),
        {"title", "task_id", "description", "notify"},
    ),
    (  # Of every kind: text, a time, a duration, structured content, a number.
        "CreateTask",
        create(
            title="",
            due_time=Timestamp(nanos=-1),
            initial_backoff=Duration(nanos=1),
            input=struct(float("nan")),
            max_attempts=-1,
        ),
        {"title", "due_time.nanos", "initial_backoff", "input", "max_attempts"},
    ),
    (
        "ClaimTask",
        t.ClaimTaskRequest(
            max_wait=Duration(seconds=-1),
            lease_duration=Duration(nanos=1),
            max_tasks=101,
            filter=t.TaskFilter(unassigned=True, end_time=BACKWARDS),
        ),
        {
            *("max_wait", "lease_duration", "max_tasks"),
            *("filter.unassigned", "filter.end_time.end_time"),
        },
    ),
    (
        "ListTasks",
        t.ListTasksRequest(order=99, page_size=-1, page_token="x"),  # type: ignore[arg-type]
        {"order", "page_size", "page_token"},
    ),
    (
        "ListTasks",
        tasks(states=[0], creator_ids=[""], end_time=BACKWARDS),
        {"filter.states[0]", "filter.creator_ids[0]", "filter.end_time.end_time"},
    ),
    (
        "UpdateTask",
        t.UpdateTaskRequest(task=t.Task(task_id=" "), etag="x" * 65, request_id=" "),
        {"task.task_id", "update_mask", "etag", "request_id"},
    ),
    (
        "AssignTask",
        CHANGES["AssignTask"](task_id="", assignee_id="", notify=99),
        {"task_id", "assignee_id", "notify"},
    ),
    (
        "CompleteTask",
        CHANGES["CompleteTask"](task_id="", result=t.TaskResult(summary="\0"), etag="\0"),
        {"task_id", "result.summary", "etag"},
    ),
    (
        "FailTask",
        CHANGES["FailTask"](task_id="", failure=t.TaskFailure(), request_id=" "),
        {"task_id", "failure.message", "request_id"},
    ),
    (
        "CancelTask",
        CHANGES["CancelTask"](task_id="", reason="\0", notify=99),
        {"task_id", "reason", "notify"},
    ),
)


@pytest.mark.parametrize(
    ("method", "request_", "fields"),
    SEVERAL,
    ids=[f"{method} {number}" for number, (method, _, _) in enumerate(SEVERAL)],
)
async def test_all_that_is_wrong_is_named_at_once(
    shared: Pair, method: str, request_: Message, fields: set[str]
) -> None:
    error = await error_of(shared, method, request_)
    assert error_info(error).reason == "INVALID_FIELDS"
    assert set(bad_fields(error)) == fields


def forged(token: str, last: object) -> str:
    """A token for the same listing that begins after something else."""
    padded = token.encode() + b"=" * (-len(token) % 4)
    _, fingerprint = json.loads(base64.urlsafe_b64decode(padded))
    text = json.dumps([last, fingerprint]).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


@pytest.mark.parametrize("last", ["", " 1", "-1 ", "9" * 130, "\n", "²\t", "\0"])
async def test_a_forged_token_is_refused(pair: Pair, last: object) -> None:
    lists: list[tuple[str, Any, Any]] = [
        ("ListAgents", pair.messaging.ListAgents, m.ListAgentsRequest),
        ("ListMessages", pair.messaging.ListMessages, m.ListMessagesRequest),
        ("ListTasks", pair.tasks.ListTasks, t.ListTasksRequest),
    ]
    (alice, _) = await Team(pair).known("alice", "bob")
    for _ in range(2):
        await alice.send("bob")
        await pair.tasks.CreateTask(create())
    for name, method, request in lists:
        token = (await method(request(page_size=1))).next_page_token
        error = await error_of(pair, name, request(page_token=forged(token, last)))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert list(bad_fields(error)) == ["page_token"]


@pytest.mark.parametrize("last", ["x", "1.5", "-1", "9" * 30, "²", None, [1]])
async def test_a_forged_number_is_refused(pair: Pair, last: object) -> None:
    for _ in range(2):
        await pair.tasks.CreateTask(create())
    page: Any = await pair.tasks.ListTasks(t.ListTasksRequest(page_size=1))
    request = t.ListTasksRequest(page_token=forged(page.next_page_token, last))
    error = await error_of(pair, "ListTasks", request)
    assert list(bad_fields(error)) == ["page_token"]


async def test_the_longest_of_everything_is_taken(shared: Pair) -> None:
    name = "🦊" * 128
    labels = {f"{number:02}" + "é" * 62: "ß" * 256 for number in range(16)}
    request = m.RegisterAgentRequest(agent_id=name, display_name="🦊" * 256, labels=labels)
    agent = (await shared.messaging.RegisterAgent(request)).agent
    assert (agent.agent_id, dict(agent.labels)) == (name, labels)
    task = (await shared.tasks.CreateTask(create(title="🦊" * 512, assignee_id=name))).task
    assert (task.title, task.assignee_id) == ("🦊" * 512, name)
