"""Requests that several calls share, built from Python values: messages, tasks, completions."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypedDict, Unpack

from dovetail.client.values import duration, struct, timestamp
from dovetail.messaging.v1 import messaging_pb2 as talk
from dovetail.tasks.v1 import tasks_pb2 as pb


class TaskFields(TypedDict, total=False):
    """The optional fields of a new task beside its title, as in `CreateTaskRequest`."""

    task_id: str
    description: str
    assignee_id: str
    priority: int
    labels: Mapping[str, str] | None
    input: Mapping[str, Any] | None
    due_time: datetime | None
    thread_id: str
    depends_on: Iterable[str]
    parent_task_id: str
    schedule_time: datetime | None
    max_attempts: int
    initial_backoff: timedelta | None
    notify: pb.Notify.ValueType


class Repeatable(TypedDict, total=False):
    """Options of any change: the task must still have this `etag`; a repeat has the same id."""

    etag: str
    request_id: str


class ChangeOptions(Repeatable, total=False):
    """The same, and whether other agents are notified."""

    notify: pb.Notify.ValueType


class HolderOptions(ChangeOptions, total=False):
    """The same, with the token that proves that the caller holds the task."""

    lease_token: str


class MessageFields(TypedDict, total=False):
    """The optional fields of a message beside its body, as in `SendMessageRequest`."""

    subject: str
    data: Mapping[str, Any] | None
    importance: talk.Importance.ValueType
    thread_id: str
    in_reply_to: str
    task_id: str
    labels: Mapping[str, str] | None


def draft_message(
    to: str | Iterable[str], body: str = "", **fields: Unpack[MessageFields]
) -> talk.SendMessageRequest:
    """A request for a message to one or more agents, for `Agent.send_many`."""
    values: dict[str, Any] = {**fields, "data": struct(fields.get("data"))}
    recipient_ids = [to] if isinstance(to, str) else to
    return talk.SendMessageRequest(recipient_ids=recipient_ids, body=body, **values)


def draft(title: str, **fields: Unpack[TaskFields]) -> pb.CreateTaskRequest:
    """A request for a new task, for `Tasks.create_many`."""
    values: dict[str, Any] = dict(fields)
    for name, convert in _CONVERTED.items():
        if name in values:
            values[name] = convert(values[name])
    return pb.CreateTaskRequest(title=title, **values)


_CONVERTED = {
    "input": struct,
    "due_time": timestamp,
    "schedule_time": timestamp,
    "initial_backoff": duration,
}


def completion(
    task_id: str,
    summary: str = "",
    *,
    data: Mapping[str, Any] | None = None,
    acknowledge: Iterable[int] = (),
    **options: Unpack[HolderOptions],
) -> pb.CompleteTaskRequest:
    """A request that completes a task with a result, for `Tasks.complete_many`."""
    return pb.CompleteTaskRequest(
        task_id=task_id,
        result=pb.TaskResult(summary=summary, data=struct(data)),
        acknowledge_sequences=acknowledge,
        **repeatable(options),
    )


def repeatable(options: Any) -> dict[str, Any]:
    """The options of a change, with a new id if it has none: repeats of the call are then safe."""
    return {**options, "request_id": options.get("request_id") or new_id()}


def new_id() -> str:
    """A new request id, which makes repeats of one call safe."""
    return str(uuid.uuid4())
