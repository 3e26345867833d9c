"""Requests that several calls share, built from Python values: messages, tasks, completions."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict, Unpack

from google.protobuf.field_mask_pb2 import FieldMask

from dovetail.client.attachments import AttachmentLike, messages
from dovetail.client.input_options import OptionsLike, option_messages
from dovetail.client.task_records import TaskLink
from dovetail.client.usage import CostLike, UsageLike, cost_of, usage_of
from dovetail.client.values import duration, struct, timestamp
from dovetail.client.words import Importance, Notify, WordLike, number
from dovetail.messaging.v1 import messaging_pb2 as talk
from dovetail.tasks.v1 import tasks_pb2 as pb

LinkLike = TaskLink | tuple[str, str]
"""A link to another task: its kind and the task's id, or a link that a task has."""


class TaskFields(TypedDict, total=False):
    """The optional fields of a new task beside its title, as in `CreateTaskRequest`."""

    task_id: str
    description: str
    assignee_id: str
    priority: int
    labels: Mapping[str, str] | None
    input: Mapping[str, Any] | None
    input_attachments: Iterable[AttachmentLike]
    due_time: datetime | None
    thread_id: str
    depends_on: Iterable[str]
    parent_task_id: str
    schedule_time: datetime | None
    max_attempts: int
    initial_backoff: timedelta | None
    links: Iterable[LinkLike]
    max_tokens: int
    max_cost: CostLike | None
    notify: WordLike


class Repeatable(TypedDict, total=False):
    """Options of any change: the task must still have this `etag`; a repeat has the same id."""

    etag: str
    request_id: str


class Offer(TypedDict, total=False):
    """What a question offers.

    `options` are names, or names with descriptions; without an answer in the time `answer_within`
    the answer is `default_answer`, of a question with options the name of one of them.
    """

    options: OptionsLike
    answer_within: timedelta | None
    default_answer: str


class AskOptions(Repeatable, Offer, total=False):
    """The options of any change, and what a question offers."""


class ChangeOptions(Repeatable, total=False):
    """The options of any change, and whether other agents are notified (`notify="none"`)."""

    notify: WordLike


class HolderOptions(ChangeOptions, total=False):
    """The same, with the token that proves that the caller holds the task, and what it used."""

    lease_token: str
    usage: UsageLike | None


class TaskChanges(ChangeOptions, total=False):
    """What `Tasks.update` can set, beside the options of a change.

    None clears a time, "" the parent. `depends_on` and `links` replace those that it had.
    """

    title: str
    description: str
    priority: int
    labels: Mapping[str, str]
    due_time: datetime | None
    depends_on: Iterable[str]
    schedule_time: datetime | None
    max_attempts: int
    initial_backoff: timedelta | None
    parent_task_id: str
    links: Iterable[LinkLike]
    max_tokens: int
    max_cost: CostLike | None


class MessageFields(TypedDict, total=False):
    """The optional fields of a message beside its body, as in `SendMessageRequest`."""

    subject: str
    data: Mapping[str, Any] | None
    importance: WordLike
    thread_id: str
    in_reply_to: str
    task_id: str
    labels: Mapping[str, str] | None
    expire: datetime | timedelta | None
    ack_deadline: timedelta | None
    task_etag: str
    cause: int
    groups: Iterable[str]
    attachments: Iterable[AttachmentLike]


def draft_message(
    to: str | Iterable[str] = (), body: str = "", **fields: Unpack[MessageFields]
) -> talk.SendMessageRequest:
    """A request for a message to agents, and the members of `groups`, for `Agent.send_many`.

    `expire` is a time, or a length of time from now. Files that are attached by their
    paths are read now.
    """
    values: dict[str, Any] = {**fields, "data": struct(fields.get("data"))}
    values["attachments"] = messages(fields.get("attachments", ()))
    values["importance"] = number(Importance, fields.get("importance", 0))
    expire = values.pop("expire", None)
    if expire is not None:
        is_length = isinstance(expire, timedelta)
        values["expire_time"] = timestamp(datetime.now(UTC) + expire if is_length else expire)
    values["group_ids"] = values.pop("groups", ())
    values["cause_sequence"] = values.pop("cause", 0)
    if "ack_deadline" in values:
        values["ack_deadline"] = duration(values["ack_deadline"])
    recipient_ids = [to] if isinstance(to, str) else to
    return talk.SendMessageRequest(recipient_ids=recipient_ids, body=body, **values)


def draft(title: str, **fields: Unpack[TaskFields]) -> pb.CreateTaskRequest:
    """A request for a new task, for `Tasks.create_many`; files are read now."""
    return pb.CreateTaskRequest(title=title, **_converted(fields))


def update(task_id: str, changes: TaskChanges) -> pb.UpdateTaskRequest:
    """A request that sets the fields that are there, and no other."""
    options = {name: value for name, value in changes.items() if name in _OPTIONS}
    fields = {name: value for name, value in changes.items() if name not in _OPTIONS}
    return pb.UpdateTaskRequest(
        task=pb.Task(task_id=task_id, **_converted(fields)),
        update_mask=FieldMask(paths=fields),
        **repeatable(options),
    )


def _converted(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields as the generated code takes them."""
    return {
        name: _CONVERTED[name](value) if name in _CONVERTED else value
        for name, value in fields.items()
    }


_OPTIONS = ChangeOptions.__annotations__


def completion(
    task_id: str,
    summary: str = "",
    *,
    data: Mapping[str, Any] | None = None,
    attachments: Iterable[AttachmentLike] = (),
    acknowledge: Iterable[int] = (),
    **options: Unpack[HolderOptions],
) -> pb.CompleteTaskRequest:
    """A request that completes a task with a result, for `Tasks.complete_many`.

    Files that are attached by their paths are read now.
    """
    files = messages(attachments)
    return pb.CompleteTaskRequest(
        task_id=task_id,
        result=pb.TaskResult(summary=summary, data=struct(data), attachments=files),
        acknowledge_sequences=acknowledge,
        **repeatable(options),
    )


def repeatable(options: Any) -> dict[str, Any]:
    """The options of a change, with a new id if it has none: repeats of the call are then safe."""
    found: dict[str, Any] = {**options, "request_id": options.get("request_id") or new_id()}
    if "notify" in found:
        found["notify"] = notified(found["notify"])
    if "usage" in found:
        found["usage"] = usage_of(found["usage"])
    return found


def asking(options: AskOptions) -> dict[str, Any]:
    """The same of a question, with what it offers."""
    found = repeatable(options)
    found["options"] = option_messages(options.get("options", ()))
    found["answer_within"] = duration(options.get("answer_within"))
    return found


def notified(word: WordLike) -> Any:
    """Whether agents are notified, as the contract has it."""
    return number(Notify, word)


def new_id() -> str:
    """A new request id, which makes repeats of one call safe."""
    return str(uuid.uuid4())


def _links(links: Iterable[LinkLike]) -> list[pb.TaskLink]:
    pairs = ((x.kind, x.task_id) if isinstance(x, TaskLink) else x for x in links)
    return [pb.TaskLink(kind=kind, task_id=task_id) for kind, task_id in pairs]


_CONVERTED: dict[str, Callable[[Any], Any]] = {
    "input": struct,
    "input_attachments": messages,
    "due_time": timestamp,
    "schedule_time": timestamp,
    "initial_backoff": duration,
    "max_cost": cost_of,
    "notify": notified,
    "links": _links,
}
