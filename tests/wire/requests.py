"""Requests as they should be, but for the fields that a test gives them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from dovetail.messaging.v1 import messaging_pb2 as m
from dovetail.tasks.v1 import tasks_pb2 as t
from dovetail.types.v1.types_pb2 import TimeRange

Row = tuple[str, Message, str]
"""The method, a request with one thing wrong, the field that must be named."""

SECOND = Timestamp(seconds=1)
BAD_IDS = ("x" * 129, "a\tb", "a\0b", " a", "a ", "e\u0301", "\u00a0", "a\u200bb", "\u2028")
BACKWARDS = TimeRange(start_time=Timestamp(seconds=10), end_time=SECOND)


def made(kind: Any, fields: dict[str, Any], **usual: Any) -> Any:
    """A request of a kind with these fields, and the usual ones where they are not given."""
    return kind(**{**usual, **fields})


def send(**fields: Any) -> m.SendMessageRequest:
    return made(m.SendMessageRequest, fields, recipient_ids=["bob"])


def sends(**fields: Any) -> m.BatchSendMessagesRequest:
    """A batch whose second message is as it should not be."""
    return m.BatchSendMessagesRequest(requests=[send(), send(**fields)])


def update_agent(*paths: str, **fields: Any) -> m.UpdateAgentRequest:
    agent = made(m.Agent, fields, agent_id="bob")
    return m.UpdateAgentRequest(agent=agent, update_mask=FieldMask(paths=paths))


def put_group(**fields: Any) -> m.PutGroupRequest:
    return m.PutGroupRequest(group=made(m.Group, fields, group_id="crew"))


def listing(**conditions: Any) -> m.ListMessagesRequest:
    return m.ListMessagesRequest(filter=m.MessageFilter(**conditions))


def subscribing(**conditions: Any) -> m.SubscribeInboxRequest:
    return m.SubscribeInboxRequest(filter=m.MessageFilter(**conditions))


def create(**fields: Any) -> t.CreateTaskRequest:
    return made(t.CreateTaskRequest, fields, title="T")


def link(task_id: str, kind: str = "relates_to") -> t.TaskLink:
    return t.TaskLink(kind=kind, task_id=task_id)


def tasks(**conditions: Any) -> t.ListTasksRequest:
    return t.ListTasksRequest(filter=t.TaskFilter(**conditions))


def task_events(**conditions: Any) -> t.ListTaskEventsRequest:
    return t.ListTaskEventsRequest(filter=made(t.TaskEventFilter, conditions))


def watching(**conditions: Any) -> t.WatchTasksRequest:
    return t.WatchTasksRequest(filter=made(t.TaskEventFilter, conditions))


def report(**conditions: Any) -> t.GetReportRequest:
    return t.GetReportRequest(filter=t.TaskFilter(**conditions))


def update(*paths: str, **fields: Any) -> t.UpdateTaskRequest:
    task = made(t.Task, fields, task_id="build")
    return t.UpdateTaskRequest(task=task, update_mask=FieldMask(paths=paths))


def struct(number: float) -> Struct:
    made = Struct()
    made["list"] = [1, {"deep": number}]
    return made


def change(kind: Any, **usual: Any) -> Callable[..., Any]:
    """Makes requests that change the task "build"."""
    return lambda **fields: made(kind, fields, **{"task_id": "build", **usual})


def claim(**fields: Any) -> t.ClaimTaskRequest:
    return t.ClaimTaskRequest(**fields)


def claiming(**conditions: Any) -> t.ClaimTaskRequest:
    return claim(filter=t.TaskFilter(**conditions))


def creations(**fields: Any) -> t.BatchCreateTasksRequest:
    """A batch whose second task is as it should not be."""
    return t.BatchCreateTasksRequest(requests=[create(), create(**fields)])


def completions(**fields: Any) -> t.BatchCompleteTasksRequest:
    """The same of tasks to complete."""
    wrong = made(t.CompleteTaskRequest, fields, task_id="build")
    return t.BatchCompleteTasksRequest(requests=[t.CompleteTaskRequest(task_id="build"), wrong])


CHANGES: dict[str, Callable[..., Any]] = {
    "AssignTask": change(t.AssignTaskRequest, assignee_id="bob"),
    "UnassignTask": change(t.UnassignTaskRequest),
    "CompleteTask": change(t.CompleteTaskRequest),
    "FailTask": change(t.FailTaskRequest, failure=t.TaskFailure(message="no")),
    "CancelTask": change(t.CancelTaskRequest),
    "ReopenTask": change(t.ReopenTaskRequest),
}
SOME_CHANGES = {
    **CHANGES,
    "StartTask": change(t.StartTaskRequest),
    "ReleaseTask": change(t.ReleaseTaskRequest),
    "RequestTaskInput": change(t.RequestTaskInputRequest, text="which?"),
    "ProvideTaskInput": change(t.ProvideTaskInputRequest, text="this"),
}
# What the holder of a lease does, and what can acknowledge deliveries.
HOLDERS: dict[str, Callable[..., Any]] = {
    **{name: SOME_CHANGES[name] for name in ("ReleaseTask", "RequestTaskInput")},
    **{name: CHANGES[name] for name in ("CompleteTask", "FailTask")},
    "HeartbeatTask": change(t.HeartbeatTaskRequest),
    "BatchCompleteTasks": completions,
}
ACKNOWLEDGING: dict[str, Callable[..., Any]] = {
    "CreateTask": create,
    "BatchCreateTasks": lambda **fields: t.BatchCreateTasksRequest(requests=[create()], **fields),
    "StartTask": SOME_CHANGES["StartTask"],
    "ProvideTaskInput": SOME_CHANGES["ProvideTaskInput"],
    "CompleteTask": CHANGES["CompleteTask"],
    "FailTask": CHANGES["FailTask"],
    "BatchCompleteTasks": completions,
}


def prefix(method: str) -> str:
    """What the fields of a task are called in a request of this kind."""
    return "requests[1]." if method == "BatchCompleteTasks" else ""
