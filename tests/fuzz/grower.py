"""Grows a request from its descriptor, so that a method added tomorrow is fuzzed by itself."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from dovetail.server.edge.bounds import MAXIMA
from fuzz import values
from fuzz.pool import KINDS, KnownTask, Pool

# Without these a request says nothing: they are there unless a case wants to be odd.
NEEDED = frozenset(
    (
        *("task", "tasks", "task_id", "title", "text", "message", "message_id", "failure"),
        *("recipient_ids", "assignee_id", "update_mask", "sequences"),
        *("team_id", "credential_id", "role", "lease_token", "group", "group_id", "agent", "name"),
    )
)
# There, each of these asks for what is there already, or for no more than some.
SELDOM = {
    "CreateTaskRequest.task_id": 0.2,
    "CreateTaskRequest.assignee_id": 0.4,
    "CreateTaskRequest.parent_task_id": 0.2,
    "CreateTaskRequest.depends_on": 0.3,
    "CreateTaskRequest.links": 0.1,
    "CreateTaskRequest.schedule_time": 0.1,
    "CreateTaskRequest.input_attachments": 0.2,
    "GetTaskAttachmentRequest.start_event_number": 0.2,
    "SendMessageRequest.attachments": 0.2,
    "SendMessageRequest.in_reply_to": 0.2,
    "SendMessageRequest.task_id": 0.2,
    "SendMessageRequest.group_ids": 0.2,
    "TaskFilter.unassigned": 0.1,
    "TaskFilter.parent_task_id": 0.1,
    "TaskFilter.linked_task_id": 0.1,
    "TaskFilter.thread_id": 0.1,
    "MessageFilter.task_id": 0.1,
}
FILTERS = 0.1
"""How often each condition of a filter is there: all of them match nothing."""

NEW_IDS = frozenset(("CreateTaskRequest.task_id", "CreateTeamRequest.team_id", "Group.group_id"))
OWN_AGENT = frozenset(("RegisterAgentRequest", "SubscribeInboxRequest", "ReceiveMessagesRequest"))
DEPTH = 8


@dataclass(kw_only=True)
class Soil:
    """What a request grows from: chance, what was learnt, for whom, and how odd it may be."""

    rng: random.Random
    pool: Pool
    team_id: str
    agent_id: str
    task: KnownTask | None
    oddness: float

    def odd(self) -> bool:
        """Whether the next value is an odd one."""
        return self.rng.random() < self.oddness

    def chance(self, share: float) -> bool:
        """True so often."""
        return self.rng.random() < share


def grow(soil: Soil, descriptor: Descriptor, depth: int = 0) -> Any:
    """A message of this kind."""
    message: Any = GetMessageClass(descriptor)()
    for field in descriptor.fields:
        if depth < DEPTH and _is_there(soil, field, depth):
            _fill(soil, message, field, depth)
    return message


def _is_there(soil: Soil, field: FieldDescriptor, depth: int) -> bool:
    holder: Any = field.containing_type
    name = f"{holder.name}.{field.name}"
    if depth and field.name == "request_id":
        return soil.odd()
    if soil.odd():
        return soil.chance(0.5)
    if name in SELDOM:
        return soil.chance(SELDOM[name])
    if holder.name.endswith("Filter"):
        return soil.chance(FILTERS)
    return soil.chance(0.95 if field.name in NEEDED else 0.3)


def _fill(soil: Soil, message: Any, field: FieldDescriptor, depth: int) -> None:
    inner = field.message_type
    if inner is not None and inner.GetOptions().map_entry:
        for _ in range(_count(soil, field)):
            key = values.text(soil.rng, odd=True) if soil.odd() else soil.rng.choice(values.LABELS)
            value = inner.fields_by_name["value"]
            is_text = value.type == FieldDescriptor.TYPE_STRING
            found = values.text(soil.rng, soil.odd()) if is_text else _value(soil, value, depth)
            getattr(message, field.name)[key] = found
    elif field.is_repeated:
        found = [_value(soil, field, depth) for _ in range(_count(soil, field))]
        getattr(message, field.name).extend(found)
    elif inner is not None:
        getattr(message, field.name).CopyFrom(_value(soil, field, depth))
    else:
        setattr(message, field.name, _value(soil, field, depth))


def _count(soil: Soil, field: FieldDescriptor) -> int:
    """How many elements: few, or about as many as there may be."""
    if soil.odd() and soil.chance(0.3):
        most = min(MAXIMA.get(field.full_name, 16), 100 if field.message_type else 2_000)
        return max(0, most + soil.rng.choice((-1, 0, 1, most)))
    return soil.rng.choice((0, 2, 3)) if soil.odd() else soil.rng.choice((1, 1, 1, 2, 3))


def _value(soil: Soil, field: FieldDescriptor, depth: int) -> Any:
    if field.message_type is not None:
        return _message(soil, field, depth)
    if field.enum_type is not None:
        return values.enum(soil.rng, field, soil.odd())
    if field.type == FieldDescriptor.TYPE_BOOL:
        return soil.chance(0.5)
    if field.type == FieldDescriptor.TYPE_STRING:
        return _text(soil, field)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return values.content(soil.rng, soil.odd())
    if field.type in (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT):
        return values.number(soil.rng, soil.odd())
    known = soil.pool.draw(soil.rng, soil.team_id, KINDS.get(field.name, ""))
    return known if known and not soil.odd() else values.whole(soil.rng, field, soil.odd())


def _message(soil: Soil, field: FieldDescriptor, depth: int) -> Message:
    inner: Any = field.message_type
    match inner.full_name:
        case "google.protobuf.Timestamp":
            return values.timestamp(soil.rng, field.name, soil.odd())
        case "google.protobuf.Duration":
            return values.duration(soil.rng, field.name, soil.odd())
        case "google.protobuf.Struct":
            return values.structure(soil.rng, soil.odd())
        case "google.protobuf.FieldMask":
            mask = GetMessageClass(inner)()
            mask.paths.extend(values.mask(soil.rng, soil.odd()))  # type: ignore[attr-defined]
            return mask
        case "dovetail.types.v1.Attachment" if not soil.odd():
            return values.attachment(soil.rng)
        case _:
            return grow(soil, inner, depth + 1)


def _text(soil: Soil, field: FieldDescriptor) -> str:
    if soil.odd():
        return values.text(soil.rng, odd=soil.chance(0.7))
    kind = KINDS.get(field.name)
    holder = str(cast(Any, field.containing_type).name)
    if kind == "request" or f"{holder}.{field.name}" in NEW_IDS:
        return f"{kind}-{soil.rng.randrange(10**9)}"
    if soil.task and (known := _of_task(soil.task, field)) is not None:
        return known
    if kind == "agent":
        own = holder in OWN_AGENT and soil.agent_id
        return soil.agent_id if own else soil.rng.choice(values.AGENTS)
    known = soil.pool.draw(soil.rng, soil.team_id, kind) if kind else None
    return str(known) if known else values.text(soil.rng, odd=False)


def _of_task(task: KnownTask, field: FieldDescriptor) -> str | None:
    """What fits the task that the request is about."""
    known = {
        "task_id": task.task_id,
        "etag": task.etag,
        "lease_token": task.lease_token,
    }
    return known.get(field.name)
