"""The table of bad fields: a request with one thing wrong, and the field that must be named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from dovetail.messaging.v1 import messaging_pb2 as m
from dovetail.tasks.v1 import tasks_pb2 as t
from dovetail.types.v1.types_pb2 import TimeRange
from wire.bad_batch_fields import batches
from wire.bad_directory_fields import directory
from wire.bad_mail_fields import mail
from wire.bad_work_fields import work
from wire.requests import (
    BACKWARDS,
    BAD_IDS,
    CHANGES,
    HOLDERS,
    SOME_CHANGES,
    Row,
    claiming,
    completions,
    create,
    creations,
    link,
    listing,
    made,
    prefix,
    report,
    send,
    sends,
    struct,
    subscribing,
    task_events,
    tasks,
    update,
    watching,
)

REQUIRED_IDS: tuple[tuple[str, Callable[[str], Message], str], ...] = (
    ("SendMessage", lambda v: send(recipient_ids=["bob", v]), "recipient_ids[1]"),
    (
        "BatchSendMessages",
        lambda v: sends(recipient_ids=["bob", v]),
        "requests[1].recipient_ids[1]",
    ),
    ("GetMessage", lambda v: m.GetMessageRequest(message_id=v), "message_id"),
    ("WithdrawMessage", lambda v: m.WithdrawMessageRequest(message_id=v), "message_id"),
    ("ListMessages", lambda v: listing(sender_ids=[v]), "filter.sender_ids[0]"),
    ("SubscribeInbox", lambda v: subscribing(sender_ids=[v]), "filter.sender_ids[0]"),
    ("GetTask", lambda v: t.GetTaskRequest(task_id=v), "task_id"),
    ("ListTaskAttempts", lambda v: t.ListTaskAttemptsRequest(task_id=v), "task_id"),
    ("DeleteTask", lambda v: t.DeleteTaskRequest(task_id=v), "task_id"),
    ("UpdateTask", lambda v: update("title", task_id=v, title="T"), "task.task_id"),
    ("AssignTask", lambda v: CHANGES["AssignTask"](assignee_id=v), "assignee_id"),
    ("ListTasks", lambda v: tasks(assignee_ids=[v]), "filter.assignee_ids[0]"),
    ("ListTasks", lambda v: tasks(creator_ids=["a", v]), "filter.creator_ids[1]"),
    ("ListTaskEvents", lambda v: task_events(actor_ids=["a", v]), "filter.actor_ids[1]"),
    ("WatchTasks", lambda v: watching(actor_ids=["a", v]), "filter.actor_ids[1]"),
    ("GetReport", lambda v: report(assignee_ids=[v]), "filter.assignee_ids[0]"),
    ("GetReport", lambda v: report(creator_ids=[v]), "filter.creator_ids[0]"),
    ("HeartbeatTask", lambda v: t.HeartbeatTaskRequest(task_id=v), "task_id"),
    ("BatchCompleteTasks", lambda v: completions(task_id=v), "requests[1].task_id"),
    ("CreateTask", lambda v: create(depends_on=["build", v]), "depends_on[1]"),
    ("BatchCreateTasks", lambda v: creations(depends_on=[v]), "requests[1].depends_on[0]"),
    ("UpdateTask", lambda v: update("depends_on", depends_on=[v]), "task.depends_on[0]"),
    ("CreateTask", lambda v: create(links=[link(v)]), "links[0].task_id"),
    ("BatchCreateTasks", lambda v: creations(links=[link(v)]), "requests[1].links[0].task_id"),
    ("UpdateTask", lambda v: update("links", links=[link(v)]), "task.links[0].task_id"),
    ("ClaimTask", lambda v: claiming(creator_ids=[v]), "filter.creator_ids[0]"),
    *(
        (name, lambda v, make=make: make(task_id=v), "task_id")
        for name, make in SOME_CHANGES.items()
    ),
)
OPTIONAL_IDS: tuple[tuple[str, Callable[[str], Message], str], ...] = (
    ("RegisterAgent", lambda v: m.RegisterAgentRequest(agent_id=v), "agent_id"),
    ("GetAgent", lambda v: m.GetAgentRequest(agent_id=v), "agent_id"),
    ("SendMessage", lambda v: send(thread_id=v), "thread_id"),
    ("SendMessage", lambda v: send(in_reply_to=v), "in_reply_to"),
    ("SendMessage", lambda v: send(task_id=v), "task_id"),
    ("SendMessage", lambda v: send(request_id=v), "request_id"),
    *(
        ("BatchSendMessages", lambda v, name=name: sends(**{name: v}), f"requests[1].{name}")
        for name in ("thread_id", "in_reply_to", "task_id")
    ),
    (
        "BatchSendMessages",
        lambda v: m.BatchSendMessagesRequest(requests=[send()], request_id=v),
        "request_id",
    ),
    ("SubscribeInbox", lambda v: m.SubscribeInboxRequest(agent_id=v), "agent_id"),
    ("SubscribeInbox", lambda v: subscribing(thread_id=v), "filter.thread_id"),
    ("SubscribeInbox", lambda v: subscribing(task_id=v), "filter.task_id"),
    (
        "AcknowledgeMessages",
        lambda v: m.AcknowledgeMessagesRequest(agent_id=v, sequences=[1]),
        "agent_id",
    ),
    ("ListMessages", lambda v: m.ListMessagesRequest(recipient_id=v), "recipient_id"),
    ("ListMessages", lambda v: listing(thread_id=v), "filter.thread_id"),
    ("ListMessages", lambda v: listing(task_id=v), "filter.task_id"),
    ("CreateTask", lambda v: create(task_id=v), "task_id"),
    ("CreateTask", lambda v: create(assignee_id=v), "assignee_id"),
    ("CreateTask", lambda v: create(thread_id=v), "thread_id"),
    ("CreateTask", lambda v: create(request_id=v), "request_id"),
    ("CreateTask", lambda v: create(parent_task_id=v), "parent_task_id"),
    *(
        ("BatchCreateTasks", lambda v, name=name: creations(**{name: v}), f"requests[1].{name}")
        for name in ("task_id", "assignee_id", "thread_id", "parent_task_id")
    ),
    (
        "BatchCreateTasks",
        lambda v: t.BatchCreateTasksRequest(requests=[create()], request_id=v),
        "request_id",
    ),
    ("BatchCompleteTasks", lambda v: completions(request_id=v), "requests[1].request_id"),
    ("RequestTaskInput", lambda v: SOME_CHANGES["RequestTaskInput"](agent_id=v), "agent_id"),
    *(
        ("ListTasks", lambda v, name=name: tasks(**{name: v}), f"filter.{name}")
        for name in ("parent_task_id", "linked_task_id", "thread_id")
    ),
    ("UpdateTask", lambda v: update("parent_task_id", parent_task_id=v), "task.parent_task_id"),
    ("GetReport", lambda v: report(parent_task_id=v), "filter.parent_task_id"),
    ("ListTaskEvents", lambda v: task_events(task_id=v), "filter.task_id"),
    ("WatchTasks", lambda v: watching(task_id=v), "filter.task_id"),
    ("ClaimTask", lambda v: claiming(parent_task_id=v), "filter.parent_task_id"),
    *(
        (name, lambda v, make=make: make(request_id=v), "request_id")
        for name, make in SOME_CHANGES.items()
    ),
)


def ids() -> Iterator[Row]:
    for method, make, field in (*REQUIRED_IDS, *OPTIONAL_IDS):
        yield from ((method, make(value), field) for value in BAD_IDS)
    yield from ((method, make(""), field) for method, make, field in REQUIRED_IDS)


def enums() -> Iterator[Row]:
    wrong: Any = 99
    yield "SendMessage", send(importance=wrong), "importance"
    for method, make in (("ListMessages", listing), ("SubscribeInbox", subscribing)):
        yield method, make(minimum_importance=wrong), "filter.minimum_importance"
        yield method, make(kinds=[1, wrong]), "filter.kinds[1]"
        yield method, make(kinds=[0]), "filter.kinds[0]"
    for value in (0, 6, wrong, -1):
        yield "ListMessages", made(m.ListMessagesRequest, {"states": [value]}), "states[0]"
    yield "ListMessages", m.ListMessagesRequest(order=wrong), "order"
    yield "SubscribeInbox", m.SubscribeInboxRequest(position=wrong), "position"
    for method, make in (("ListTasks", tasks), ("GetReport", report)):
        for value in (0, 7, wrong):
            yield method, make(states=[1, value]), "filter.states[1]"
    yield "ListTasks", t.ListTasksRequest(order=wrong), "order"
    yield "ListTaskEvents", t.ListTaskEventsRequest(order=wrong), "order"
    yield "ListTaskAttempts", t.ListTaskAttemptsRequest(task_id="build", order=wrong), "order"
    for value in (0, 17, wrong):
        yield "ListTaskEvents", task_events(verbs=[1, value]), "filter.verbs[1]"
        yield "WatchTasks", watching(verbs=[1, value]), "filter.verbs[1]"
    yield "WatchTasks", t.WatchTasksRequest(position=wrong), "position"
    yield "CreateTask", create(notify=wrong), "notify"
    yield "DeleteTask", t.DeleteTaskRequest(task_id="build", notify=wrong), "notify"
    one = t.BatchCreateTasksRequest(requests=[create(notify=wrong)])
    yield "BatchCreateTasks", one, "requests[0].notify"
    yield "BatchCreateTasks", creations(notify=2), "requests[1].notify"
    batch = t.BatchCreateTasksRequest(requests=[create()], notify=wrong)
    yield "BatchCreateTasks", batch, "notify"
    yield "BatchCompleteTasks", completions(notify=wrong), "requests[1].notify"
    for name, make in CHANGES.items():
        yield name, make(notify=wrong), "notify"


def pages() -> Iterator[Row]:
    lists: tuple[tuple[str, Callable[..., Message]], ...] = (
        ("ListAgents", m.ListAgentsRequest),
        ("ListMessages", m.ListMessagesRequest),
        ("ListReceipts", partial(m.ListReceiptsRequest, message_id="m1")),
        ("ListTasks", t.ListTasksRequest),
        ("ListTaskEvents", t.ListTaskEventsRequest),
        ("ListTaskAttempts", partial(t.ListTaskAttemptsRequest, task_id="build")),
    )
    tokens = (
        "x",
        "!!!",
        "AAAA",
        "WyJhIl0",
        "bnVsbA",
        "W10",
        "é",
        "\0",
        "A" * 5_000,
        "Ww" * 5_000,
        "W1tb" * 500,
    )
    for method, make in lists:
        for size in (-1, -(2**31)):
            yield method, make(page_size=size), "page_size"
        for token in tokens:
            yield method, make(page_token=token), "page_token"


def texts() -> Iterator[Row]:
    yield "SendMessage", send(subject="x" * 513), "subject"
    yield "SendMessage", send(subject="a\0b"), "subject"
    yield "SendMessage", send(body="a\0b"), "body"
    yield "SendMessage", send(body="x" * (1024 * 1024 + 1)), "body"
    yield "RegisterAgent", m.RegisterAgentRequest(display_name="x" * 257), "display_name"
    yield "RegisterAgent", m.RegisterAgentRequest(display_name="\0"), "display_name"
    yield "CreateTask", create(title=""), "title"
    yield "CreateTask", create(title="x" * 513), "title"
    yield "CreateTask", create(title="\0"), "title"
    yield "CreateTask", create(description="\0"), "description"
    yield "CreateTask", create(description="x" * (1024 * 1024)), "description"
    yield "UpdateTask", update("title", title=""), "task.title"
    yield "UpdateTask", update("title", title="x" * 513), "task.title"
    yield "UpdateTask", update("description", description="\0"), "task.description"
    for name in ("CancelTask", "ReopenTask", "ReleaseTask"):
        yield name, SOME_CHANGES[name](reason="x" * 4_097), "reason"
        yield name, SOME_CHANGES[name](reason="\0"), "reason"
    for text in ("x" * 65_537, "é" * 32_769, "\0", ""):
        for name in ("RequestTaskInput", "ProvideTaskInput"):
            yield name, SOME_CHANGES[name](text=text), "text"
    for token in ("x" * 65, "\0"):
        for name, make in HOLDERS.items():
            yield name, make(lease_token=token), f"{prefix(name)}lease_token"
    for note in ("x" * 4_097, "\0"):
        progress = t.TaskProgress(note=note)
        yield "HeartbeatTask", HOLDERS["HeartbeatTask"](progress=progress), "progress.note"
    yield "BatchCreateTasks", creations(title=""), "requests[1].title"
    yield "BatchCreateTasks", creations(description="\0"), "requests[1].description"
    yield "BatchCreateTasks", creations(request_id="r"), "requests[1].request_id"
    yield "BatchCompleteTasks", completions(etag="x" * 65), "requests[1].etag"
    result = t.TaskResult(summary="\0")
    yield "BatchCompleteTasks", completions(result=result), "requests[1].result.summary"
    for name, make in SOME_CHANGES.items():
        yield name, make(etag="x" * 65), "etag"
    for summary in ("x" * 65_537, "é" * 32_769, "\0"):
        result = t.TaskResult(summary=summary)
        yield "CompleteTask", CHANGES["CompleteTask"](result=result), "result.summary"
    for message in ("", "x" * 65_537, "\0"):
        failure = t.TaskFailure(message=message)
        yield "FailTask", CHANGES["FailTask"](failure=failure), "failure.message"
    yield "FailTask", t.FailTaskRequest(task_id="build"), "failure.message"


def labels() -> Iterator[Row]:
    def wanted(method: str, make: Callable[..., Message], field: str) -> Iterator[Row]:
        yield method, make(labels={str(n): "" for n in range(17)}), field
        for key, value in (("", "v"), ("k" * 65, "v"), ("a\x1fb", "v"), ("k", "a\nb")):
            yield method, make(labels={key: value}), f"{field}[*]"
        yield method, make(labels={"k": "v" * 257}), f'{field}["k"]'
        yield method, make(labels={"k": "\x1e"}), f'{field}["k"]'

    yield from wanted("RegisterAgent", m.RegisterAgentRequest, "labels")
    yield from wanted("ListAgents", m.ListAgentsRequest, "labels")
    yield from wanted("SendMessage", send, "labels")
    yield from wanted("BatchSendMessages", sends, "requests[1].labels")
    yield from wanted("ListMessages", listing, "filter.labels")
    yield from wanted("SubscribeInbox", subscribing, "filter.labels")
    yield from wanted("CreateTask", create, "labels")
    yield from wanted("UpdateTask", lambda labels: update("labels", labels=labels), "task.labels")
    yield from wanted("ListTasks", tasks, "filter.labels")
    yield from wanted("GetReport", report, "filter.labels")
    yield from wanted("ClaimTask", claiming, "filter.labels")
    yield from wanted("BatchCreateTasks", creations, "requests[1].labels")


def structures() -> Iterator[Row]:
    for number in (float("nan"), float("inf"), float("-inf")):
        yield "SendMessage", send(data=struct(number)), "data"
        yield "BatchSendMessages", sends(data=struct(number)), "requests[1].data"
        yield "CreateTask", create(input=struct(number)), "input"
        result = t.TaskResult(data=struct(number))
        yield "CompleteTask", CHANGES["CompleteTask"](result=result), "result.data"
        failure = t.TaskFailure(message="no", data=struct(number))
        yield "FailTask", CHANGES["FailTask"](failure=failure), "failure.data"
        for name in ("RequestTaskInput", "ProvideTaskInput"):
            yield name, SOME_CHANGES[name](data=struct(number)), "data"
        yield "BatchCompleteTasks", completions(result=result), "requests[1].result.data"
        yield "BatchCreateTasks", creations(input=struct(number)), "requests[1].input"


def times() -> Iterator[Row]:
    wrong = (
        (Timestamp(seconds=-62_135_596_801), "seconds"),
        (Timestamp(seconds=253_402_300_800), "seconds"),
        (Timestamp(seconds=2**63 - 1), "seconds"),
        (Timestamp(nanos=-1), "nanos"),
        (Timestamp(nanos=10**9), "nanos"),
    )
    messages = (("ListMessages", listing), ("SubscribeInbox", subscribing))
    over_tasks = (("ListTasks", tasks), ("GetReport", report), ("ClaimTask", claiming))
    bounds: list[tuple[str, Callable[..., Message], str]] = [
        *((method, make, "create_time") for method, make in (*messages, *over_tasks)),
        ("ListTaskEvents", task_events, "create_time"),
        ("WatchTasks", watching, "create_time"),
        *((method, make, "end_time") for method, make in over_tasks),
    ]
    for time, part in wrong:
        for method, make, name in bounds:
            for side in ("start_time", "end_time"):
                times = TimeRange(**{side: time})
                yield method, make(**{name: times}), f"filter.{name}.{side}.{part}"
        for name in ("due_time", "schedule_time"):
            yield "CreateTask", create(**{name: time}), f"{name}.{part}"
            yield "BatchCreateTasks", creations(**{name: time}), f"requests[1].{name}.{part}"
            yield "UpdateTask", update(name, **{name: time}), f"task.{name}.{part}"
    for method, make, name in bounds:
        yield method, make(**{name: BACKWARDS}), f"filter.{name}.end_time"


def numbers() -> Iterator[Row]:
    yield from batches()
    acknowledge = m.AcknowledgeMessagesRequest
    yield "SendMessage", m.SendMessageRequest(), "recipient_ids"
    for count in (1_001, 10_000):
        yield "SendMessage", send(recipient_ids=["bob"] * count), "recipient_ids"
    for sequence in (0, -1, -(2**63)):
        yield "AcknowledgeMessages", acknowledge(sequences=[1, sequence]), "sequences[1]"
        yield "SendMessage", send(acknowledge_sequences=[1, sequence]), "acknowledge_sequences[1]"
    yield "SendMessage", send(acknowledge_sequences=[1] * 1_001), "acknowledge_sequences"
    yield "BatchSendMessages", sends(acknowledge_sequences=[1]), "requests[1].acknowledge_sequences"
    yield "AcknowledgeMessages", acknowledge(through_sequence=-1), "through_sequence"
    yield "AcknowledgeMessages", acknowledge(), "sequences"
    yield "AcknowledgeMessages", acknowledge(sequences=[1] * 1_001), "sequences"
    see = m.MarkMessagesSeenRequest
    yield "MarkMessagesSeen", see(), "sequences"
    yield "MarkMessagesSeen", see(sequences=[1] * 1_001), "sequences"
    yield "MarkMessagesSeen", see(sequences=[1, 0]), "sequences[1]"
    for sequence in (-1, -(2**63)):
        request = m.SubscribeInboxRequest(after_sequence=sequence)
        yield "SubscribeInbox", request, "after_sequence"
        yield "WatchTasks", t.WatchTasksRequest(after_event=sequence), "after_event"
    for most in (-1, 1_001):
        yield "SubscribeInbox", m.SubscribeInboxRequest(max_outstanding=most), "max_outstanding"


def masks() -> Iterator[Row]:
    yield "UpdateTask", update(title="T"), "update_mask"
    yield "UpdateTask", t.UpdateTaskRequest(task=t.Task(task_id="build")), "update_mask"
    for path in ("state", "assignee_id", "labels.key", "*", "", "Title", "\0"):
        yield "UpdateTask", update("title", path, title="T"), "update_mask"


def buckets() -> Iterator[Row]:
    wrong = (
        Duration(),
        Duration(seconds=-1),
        Duration(seconds=1, nanos=500_000_000),
        Duration(seconds=1, nanos=500),
        Duration(seconds=2, nanos=-1),
        Duration(seconds=366 * 24 * 3_600 + 1),
        Duration(seconds=2**63 - 1),
    )
    for bucket in wrong:
        yield "GetReport", t.GetReportRequest(bucket_duration=bucket), "bucket_duration"


TABLES: dict[str, Callable[[], Iterator[Row]]] = {
    "ids": ids,
    "enums": enums,
    "directory": directory,
    "pages": pages,
    "texts": texts,
    "labels": labels,
    "structures": structures,
    "times": times,
    "numbers": numbers,
    "work": work,
    "mail": mail,
    "masks": masks,
    "buckets": buckets,
}
