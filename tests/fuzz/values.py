"""Requests at random: from polite ones, which reach far, to what no client would send."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from random import Random
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.struct_pb2 import Struct

from dovetail.messaging.v1.messaging_pb2 import SendMessageRequest
from dovetail.tasks.v1.tasks_pb2 import CreateTaskRequest

KEPT = 40
"""Values of one kind that are remembered from answers."""

KINDS = {
    "agent_id": "agent_id",
    "assignee_id": "agent_id",
    "sender_id": "agent_id",
    "creator_id": "agent_id",
    "recipient_id": "agent_id",
    "former_assignee_id": "agent_id",
    "actor_id": "agent_id",
    "task_id": "task_id",
    "parent_task_id": "task_id",
    "depends_on": "task_id",
    "message_id": "message_id",
    "in_reply_to": "message_id",
    "thread_id": "thread_id",
    "credential_id": "credential_id",
    "rotated_id": "credential_id",
    "team_id": "team_id",
    "page_token": "page_token",
    "next_page_token": "page_token",
    "lease_token": "lease_token",
    "etag": "etag",
    "request_id": "request_id",
    "sequence": "sequence",
    "through_sequence": "sequence",
    "after_sequence": "sequence",
    "last_sequence": "sequence",
}
"""Which fields hold values of one kind, so that what one answer tells can be asked of another."""

NEEDED = (
    *("title", "body", "text", "recipient_ids", "agent_id", "failure", "message", "message_id"),
    *("task_id", "assignee_id", "tasks", "task", "update_mask", "sequences", "role"),
)
RARE = ("page_token", "etag", "request_id", "acknowledge_sequences", "thread_id", "in_reply_to")
OWN_IDS = (SendMessageRequest.DESCRIPTOR, CreateTaskRequest.DESCRIPTOR)
"""Requests whose `task_id` is not that of a task which must be there."""

LIKELY, UNLIKELY, USUAL, WITHIN = 0.95, 0.05, 0.3, 0.2
WORDS = ("a", "build", "Prüfen", "two words", "日本", "x" * 40, "🙂")
TEXTS = (
    *("", " ", " a", "a ", "\0", "a\nb", "\u202e", "e\u0301", "\ufdd0", "'; DROP TABLE tasks;--"),
    *("%s", "_", "%", "\\", '"', "{}", "null", "m0", "m1", "t1", "m9223372036854775808", "t-1"),
    *("x" * 128, "x" * 129, "x" * 4_097, "é" * 70_000, "🙂" * 40_000),
)
NUMBERS = (
    *(0, 1, -1, 2, 99, 100, 101, 1_000, 1_001, 65_536),
    *(2**31 - 1, -(2**31), 2**31, 2**53, 2**63 - 1, -(2**63)),
)
DOUBLES = (0.0, -0.0, 1.5, float("nan"), float("inf"), -1e308, 2.0**53 + 2, 1e-320)
SECONDS = (0, 1, -1, 59, 60, 3_600, 86_400, 2**31, 253_402_300_800, -62_135_596_801, 2**62)
NANOS = (0, 0, 0, 1, 999_999_999, 1_000_000_000, -1)
INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}


class Known:
    """What answers have told, by kind; `secret` values are never asked for."""

    def __init__(self) -> None:
        self._values: dict[str, deque[Any]] = defaultdict(lambda: deque(maxlen=KEPT))
        self._leases: deque[tuple[str, str]] = deque(maxlen=KEPT)
        self.secret: set[str] = set()

    def learn(self, answer: Any) -> None:
        """Remember the ids, tokens and numbers of an answer, and which token holds which task."""
        if getattr(answer, "lease_token", ""):
            self._leases.append((answer.task.task_id, answer.lease_token))
        for field, value in answer.ListFields():
            name = field.name.removesuffix("s")
            values = list(value)[:KEPT] if field.is_repeated else [value]
            if field.message_type:
                ours = field.message_type.full_name.startswith("dovetail.")
                if ours and not field.message_type.GetOptions().map_entry:
                    for each in values:
                        self.learn(each)
            elif name in KINDS:
                kind = self._values[KINDS[name]]
                kind.extend(each for each in values if each not in self.secret and each not in kind)

    def a_lease(self, random: Random) -> tuple[str, str] | None:
        """A task that may still be held, and the token of its lease."""
        return random.choice(self._leases) if self._leases else None

    def some(self, random: Random, kind: str) -> Any:
        """A value of this kind, or None."""
        values = self._values[kind]
        return random.choice(values) if values else None


class Maker:
    """Makes requests; `polite` is the share of values that are as they should be."""

    def __init__(self, random: Random, known: Known, polite: float) -> None:
        self._random = random
        self._known = known
        self._polite = polite

    def message(self, descriptor: Descriptor, kind: Any, depth: int = 0) -> Any:
        """A message with some of its fields set."""
        made = kind()
        for field in descriptor.fields:
            if self._random.random() < _likely(field, depth):
                self._set(made, field, depth)
        names = descriptor.fields_by_name
        if "lease_token" in names and "task_id" in names and self._random.random() < 0.5:
            made.task_id, made.lease_token = self._known.a_lease(self._random) or ("", "")
        return made

    def _set(self, made: Any, field: FieldDescriptor, depth: int) -> None:
        options = field.message_type.GetOptions() if field.message_type else None
        if options and options.map_entry:
            entries = getattr(made, field.name)
            for _ in range(self._count()):
                entries[self._text("key")] = self._text("value")
        elif field.is_repeated:
            values = [self._value(field, depth) for _ in range(self._count())]
            getattr(made, field.name).extend(each for each in values if each is not None)
        elif field.message_type:
            value = self._value(field, depth)
            if value is not None:
                getattr(made, field.name).CopyFrom(value)
        else:
            setattr(made, field.name, self._value(field, depth))

    def _value(self, field: FieldDescriptor, depth: int) -> Any:
        if field.message_type:
            return self._inner(field, field.message_type, depth)
        if field.enum_type:
            numbers = [value.number for value in field.enum_type.values][1:]
            wild = [*numbers, 0, -1, 99, 2**31 - 1]
            return self._random.choice(numbers if self._is_polite() else wild)
        if field.type == FieldDescriptor.TYPE_BOOL:
            return self._random.random() < 0.5
        if field.type == FieldDescriptor.TYPE_BYTES:
            return self._random.randbytes(8)
        if field.cpp_type in INTEGERS:
            return self._number(field)
        if field.cpp_type in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
            return self._random.choice(DOUBLES)
        return self._text(field.name)

    def _inner(self, field: FieldDescriptor, descriptor: Descriptor, depth: int) -> Any:
        kind: Any = descriptor._concrete_class  # type: ignore[attr-defined]
        if descriptor.full_name == "google.protobuf.Timestamp":
            if self._is_polite():
                return kind(seconds=int(time.time()) + self._random.randint(-5, 3_600))
            return kind(seconds=self._random.choice(SECONDS), nanos=self._random.choice(NANOS))
        if descriptor.full_name == "google.protobuf.Duration":
            if self._is_polite():
                return kind(nanos=50_000_000) if field.name == "wait" else kind(seconds=20)
            return kind(seconds=self._random.choice(SECONDS), nanos=self._random.choice(NANOS))
        if descriptor.full_name == "google.protobuf.FieldMask":
            paths = ("title", "description", "labels", "due_time", "depends_on", "priority")
            wild = (*paths, "task_id", "state", "", "dueTime", "labels.a", "*")
            return kind(paths=self._random.sample(paths if self._is_polite() else wild, 2))
        if descriptor.full_name == "google.protobuf.Struct":
            return self._struct()
        return self.message(descriptor, kind, depth + 1) if depth < 4 else None

    def _struct(self) -> Struct:
        made = Struct()
        for _ in range(self._count()):
            made[self._text("key")] = self._json(0)
        return made

    def _json(self, depth: int) -> Any:
        roll = self._random.random()
        if roll < 0.2 and depth < (3 if self._is_polite() else 40):
            return {self._text("key"): self._json(depth + 1) for _ in range(2)}
        if roll < 0.4 and depth < (3 if self._is_polite() else 40):
            return [self._json(depth + 1) for _ in range(self._random.choice((0, 1, 2)))]
        if roll < 0.6:
            return self._text("value")
        if roll < 0.8:
            return (
                float(self._random.choice((1, 2.5, -3)))
                if self._is_polite()
                else (self._random.choice(DOUBLES))
            )
        return self._random.choice((None, True, False))

    def _text(self, name: str) -> str:
        kind = KINDS.get(name.removesuffix("s"))
        if kind and (self._is_polite() or self._random.random() < 0.5):
            known = self._known.some(self._random, kind)
            if isinstance(known, str) and self._random.random() < LIKELY:
                return known
            new = f"{kind[0]}{self._random.randrange(10_000)}"
            return "" if kind.endswith("token") or kind == "etag" else new
        return self._random.choice(WORDS if self._is_polite() else TEXTS)

    def _number(self, field: FieldDescriptor) -> int:
        least, most = INTEGERS[field.cpp_type]
        kind = KINDS.get(field.name.removesuffix("s"))
        known = self._known.some(self._random, kind) if kind else None
        if isinstance(known, int) and least <= known <= most and self._random.random() < 0.8:
            return known
        numbers = (1, 2, 5, 10) if self._is_polite() else NUMBERS
        return max(least, min(most, self._random.choice(numbers)))

    def _count(self) -> int:
        if self._is_polite():
            return self._random.choice((1, 1, 2, 3))
        return self._random.choice((0, 1, 2, 5, 5, 20, 20, 1_001))

    def _is_polite(self) -> bool:
        return self._random.random() < self._polite


def _likely(field: FieldDescriptor, depth: int) -> float:
    """How often a field is set: as a request that is answered needs it."""
    if field.name in RARE:
        return UNLIKELY
    if field.name == "task_id" and field.containing_type in OWN_IDS:
        return UNLIKELY
    if field.name in NEEDED:
        return LIKELY
    return WITHIN if depth else USUAL


def mutated(random: Random, payload: bytes) -> bytes:
    """Bytes that were a message, somewhere changed."""
    at = random.randint(0, len(payload))
    return random.choice(
        (
            lambda: payload[:at],
            lambda: payload[:at] + random.randbytes(random.randint(1, 8)) + payload[at:],
            lambda: payload[:at] + payload[at:][:8] * random.choice((2, 1_000)) + payload[at:],
            lambda: payload[:at] + bytes((random.randint(0, 255),)) + payload[at + 1 :],
            lambda: payload + payload,
            lambda: b"\xff" * 10 + payload,
        )
    )()
