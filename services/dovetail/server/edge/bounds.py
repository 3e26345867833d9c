"""How much a request may hold, counted on the message before any loop in Python runs over it.

One request of 4 MiB can hold two million empty elements: checks of each take seconds, in which the
event loop serves no other call. `len()` of a list or a map costs the same at any size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import islice
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct, Value

from dovetail.server.edge.validation import LABELS_MAX, Checks

ELEMENTS_MAX = 120_000
"""Elements of all lists and maps of one request: 1,000 tasks with 100 dependencies each fit."""

STRUCT_VALUES_MAX = 10_000
"""Values in one Struct, those of objects and lists within it counted."""

REQUEST_VALUES_MAX = 20_000
"""Values in all Structs of one request."""

WHOLE_NUMBER_MAX = 2**53 - 1
"""Beyond it two whole numbers may be the same double: what was sent is not known any more."""

_MESSAGING, _TASKS = "dovetail.messaging.v1.", "dovetail.tasks.v1."

# Every list and map that a request can hold; a test compares this with the protos.
MAXIMA: dict[str, int] = {
    f"{_MESSAGING}RegisterAgentRequest.labels": LABELS_MAX,
    f"{_MESSAGING}ListAgentsRequest.labels": LABELS_MAX,
    f"{_MESSAGING}Agent.labels": LABELS_MAX,
    f"{_MESSAGING}Group.labels": LABELS_MAX,
    f"{_MESSAGING}Group.agent_ids": 1_000,
    f"{_MESSAGING}ListGroupsRequest.labels": LABELS_MAX,
    f"{_MESSAGING}SendMessageRequest.recipient_ids": 1_000,
    f"{_MESSAGING}SendMessageRequest.group_ids": 20,
    f"{_MESSAGING}SendMessageRequest.labels": LABELS_MAX,
    f"{_MESSAGING}SendMessageRequest.acknowledge_sequences": 1_000,
    f"{_MESSAGING}SendMessageRequest.attachments": 20,
    f"{_MESSAGING}BatchSendMessagesRequest.requests": 1_000,
    f"{_MESSAGING}MessageFilter.sender_ids": 1_000,
    f"{_MESSAGING}MessageFilter.kinds": 1_000,
    f"{_MESSAGING}MessageFilter.labels": LABELS_MAX,
    f"{_MESSAGING}ReceiveMessagesRequest.acknowledge_sequences": 1_000,
    f"{_MESSAGING}AcknowledgeMessagesRequest.sequences": 1_000,
    f"{_MESSAGING}MarkMessagesSeenRequest.sequences": 1_000,
    f"{_MESSAGING}RejectMessageRequest.sequences": 100,
    f"{_MESSAGING}ListMessagesRequest.states": 1_000,
    f"{_TASKS}CreateTaskRequest.labels": LABELS_MAX,
    f"{_TASKS}CreateTaskRequest.acknowledge_sequences": 1_000,
    f"{_TASKS}CreateTaskRequest.depends_on": 100,
    f"{_TASKS}CreateTaskRequest.links": 32,
    f"{_TASKS}CreateTaskRequest.input_attachments": 20,
    f"{_TASKS}BatchCreateTasksRequest.requests": 1_000,
    f"{_TASKS}BatchCreateTasksRequest.acknowledge_sequences": 1_000,
    f"{_TASKS}TaskFilter.states": 1_000,
    f"{_TASKS}TaskFilter.assignee_ids": 1_000,
    f"{_TASKS}TaskFilter.creator_ids": 1_000,
    f"{_TASKS}TaskFilter.labels": LABELS_MAX,
    f"{_TASKS}TaskEventFilter.actor_ids": 1_000,
    f"{_TASKS}TaskEventFilter.verbs": 1_000,
    f"{_TASKS}Usage.counters": 8,
    f"{_TASKS}UsageTotal.costs": 200,
    f"{_TASKS}Task.labels": LABELS_MAX,
    f"{_TASKS}Task.depends_on": 100,
    f"{_TASKS}Task.links": 32,
    f"{_TASKS}Task.input_attachments": 20,
    f"{_TASKS}TaskQuestion.options": 20,
    f"{_TASKS}TaskResult.attachments": 20,
    f"{_TASKS}StartTaskRequest.acknowledge_sequences": 1_000,
    f"{_TASKS}RequestTaskInputRequest.options": 20,
    f"{_TASKS}ProvideTaskInputRequest.acknowledge_sequences": 1_000,
    f"{_TASKS}CompleteTaskRequest.acknowledge_sequences": 1_000,
    f"{_TASKS}BatchCompleteTasksRequest.requests": 1_000,
    f"{_TASKS}FailTaskRequest.acknowledge_sequences": 1_000,
    "google.protobuf.FieldMask.paths": 100,
}


def check_counts(request: Message) -> None:
    """Fail with INVALID_FIELDS if a list, a map or a Struct of the request holds too much."""
    with Checks() as check:
        count = _Count(check)
        count.look_into(request, "")
        if not check.violations:
            check.number("the request's lists and maps, in all", count.elements, 0, ELEMENTS_MAX)


class _Count:
    """How much one request holds, as far as it was counted."""

    def __init__(self, check: Checks) -> None:
        self.elements = 0
        self._values_left = REQUEST_VALUES_MAX
        self._check = check

    def look_into(self, message: Message, prefix: str) -> None:
        """Count a message and those in it; the elements of a list that is too long are skipped."""
        for name, most, deep in _plan(message.DESCRIPTOR):
            if most is None:
                if message.HasField(name):
                    self._look_into_one(getattr(message, name), f"{prefix}{name}")
                continue
            elements = getattr(message, name)
            self.elements += len(elements)
            if len(elements) > most:
                self._check.at_most(f"{prefix}{name}", elements, most)
            elif deep:
                for index, element in enumerate(elements):
                    self.look_into(element, f"{prefix}{name}[{index}].")

    def _look_into_one(self, message: Message, field: str) -> None:
        if isinstance(message, Struct):
            self._count_values(message, field)
        else:
            self.look_into(message, f"{field}.")

    def _count_values(self, struct: Struct, field: str) -> None:
        most = min(STRUCT_VALUES_MAX, self._values_left)
        count = 0
        for values in _levels(struct):
            count += len(values)
            if count > most:
                self._check.refuse(
                    field,
                    f"must have at most {STRUCT_VALUES_MAX:,} values, objects and lists within it"
                    f" counted, and all of a request together {REQUEST_VALUES_MAX:,}: send what is"
                    " larger as text",
                )
                return
            for value in values:
                if value.HasField("number_value") and _is_rounded(value.number_value):
                    self._check.refuse(
                        field,
                        f"whole numbers must lie within ±{WHOLE_NUMBER_MAX:,} (2^53 - 1), and"
                        f" {value.number_value:.0f} does not: it may not be what was sent. Send"
                        " longer numbers as text",
                    )
                    return
        self._values_left -= count


def _is_rounded(number: float) -> bool:
    return abs(number) > WHOLE_NUMBER_MAX and number.is_integer()


def _levels(struct: Struct) -> Iterator[Sequence[Value]]:
    """The values of each object and list, outer ones first; the caller may stop at any time."""
    waiting: list[Any] = [struct]
    while waiting:
        holder = waiting.pop()
        is_object = isinstance(holder, Struct)
        held = holder.fields.values() if is_object else holder.values
        # One more than is allowed is enough to know that there are too many.
        values: list[Value] = list(islice(held, STRUCT_VALUES_MAX + 1))
        yield values
        waiting += [value.struct_value for value in values if value.HasField("struct_value")]
        waiting += [value.list_value for value in values if value.HasField("list_value")]


@cache
def _plan(descriptor: Descriptor) -> tuple[tuple[str, int | None, bool], ...]:
    """What to count in a message: names; for lists and maps the maximum; whether to look deeper."""
    return tuple(
        (field.name, MAXIMA[field.full_name] if field.is_repeated else None, _is_deep(field))
        for field in descriptor.fields
        if field.is_repeated or _is_deep(field)
    )


def _is_deep(field: FieldDescriptor) -> bool:
    """Whether a field holds messages that may hold lists: all but maps, which hold text here."""
    message = field.message_type
    return message is not None and not message.GetOptions().map_entry
