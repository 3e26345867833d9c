"""How the value of a column stands in a line: by the rules of protobuf's JSON mapping.

What a column holds is told by its type and its name (`…_time` is a time). What these do not tell
stands in the tables here, which `tests/archives/test_columns.py` checks. A column of which nothing
is said here is carried nevertheless, only not as readable: a number instead of a name.

Reading gives back exactly what was written. Where a value is not what the column's kind expects
(text that is no JSON, a number that no enum has), it stands in the line as it is stored.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.descriptor import EnumDescriptor

from dovetail.admin.v1 import admin_pb2
from dovetail.messaging.v1 import messaging_pb2
from dovetail.server.store import filters
from dovetail.server.store.moving.tables import Column, MovedTable
from dovetail.server.store.wire import Json
from dovetail.tasks.v1 import tasks_pb2
from dovetail.types.v1 import types_pb2

EPOCH = datetime(1970, 1, 1)
MICROS = 1_000_000
_DIGITS = re.compile(r"-?[0-9]{1,19}")
_LONG_FRACTION = re.compile(r"\.[0-9]{6}[0-9]*[1-9]")
_DURATION = re.compile(r"(-?)([0-9]{1,13})(?:\.([0-9]{1,6})0*)?s")
BOUNDS = {"bigint": 63, "integer": 31}


class ColumnError(ValueError):
    """A value that a column cannot have; the text says what would be right."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """A kind of values: how they stand in a line, and how they are read there."""

    name: str
    write: Callable[[Any], Json]
    read: Callable[[Json], Any]


def _text(value: Json) -> str:
    if not isinstance(value, str):
        raise ColumnError("must be a text")
    return value


def _as_it_is(value: Any) -> Json:
    return value


def _whole_number(value: Json) -> int:
    """A whole number, as a number or a text of digits."""
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        return int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ColumnError('must be a whole number, such as "7"')
    return value


def _write_bytes(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _read_bytes(value: Json) -> bytes:
    try:
        return base64.b64decode(_text(value), validate=True)
    except binascii.Error:
        raise ColumnError("must be bytes in base64") from None


def time_text(value: int) -> str:
    """A time as a line has it: in microseconds, and in UTC."""
    try:
        return f"{(EPOCH + timedelta(microseconds=value)).isoformat(timespec='microseconds')}Z"
    except OverflowError:  # Not in the years 1 to 9999.
        return str(value)


def _read_time(value: Json) -> int:
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        return int(value)
    text = _text(value)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or _LONG_FRACTION.search(text):
        raise ColumnError("must be a time such as 2026-11-27T09:30:00.000000Z")
    return (moment.astimezone(UTC).replace(tzinfo=None) - EPOCH) // timedelta(microseconds=1)


def _write_duration(value: int) -> str:
    seconds, micros = divmod(abs(value), MICROS)
    return f"{'-' if value < 0 else ''}{seconds}{f'.{micros:06}' if micros else ''}s"


def _read_duration(value: Json) -> int:
    found = _DURATION.fullmatch(_text(value))
    if not found:
        raise ColumnError("must be a length of time such as 10s or 0.250000s")
    sign, seconds, fraction = found.groups()
    micros = int(seconds) * MICROS + int(f"{fraction or '':0<6}")
    return -micros if sign else micros


def _write_flag(value: int) -> Json:
    return bool(value) if value in (0, 1) else value


def _read_flag(value: Json) -> int:
    return int(value) if isinstance(value, bool) else _whole_number(value)


def _refuse_constant(name: str) -> Json:
    """NaN and the infinities, which Python reads and JSON has not."""
    raise ValueError(name)


decode: Callable[[str], Json] = json.JSONDecoder(parse_constant=_refuse_constant).decode
"""Reads JSON, strictly."""


def _json_kind(name: str, **options: Any) -> Kind:
    """Text that is JSON. What would not be written again as it is stays a text."""
    encode = json.JSONEncoder(**options).encode

    def write(value: str) -> Json:
        try:
            found = decode(value)
        except ValueError:
            return value
        return found if isinstance(found, (dict, list)) and encode(found) == value else value

    def read(value: Json) -> str:
        if isinstance(value, (dict, list)):
            return encode(value)
        if isinstance(value, str):
            return value
        raise ColumnError("must be an object, a list, or a text")

    return Kind(name=name, write=write, read=read)


def _write_labels(value: str) -> Json:
    try:
        labels = filters.decode_labels(value)
    except ValueError:
        return value
    return {**labels} if filters.encode_labels(labels) == value else value


def _read_labels(value: Json) -> str:
    if isinstance(value, str):
        return value
    pairs = value if isinstance(value, dict) else {"": None}
    labels = {key: each for key, each in pairs.items() if isinstance(each, str)}
    if len(labels) < len(pairs):
        raise ColumnError("must be an object whose values are texts")
    return filters.encode_labels(labels)


def _enum(descriptor: EnumDescriptor) -> Kind:
    names = {number: value.name for number, value in descriptor.values_by_number.items()}
    numbers = {name: number for number, name in names.items()}

    def read(value: Json) -> int:
        if isinstance(value, str) and value in numbers:
            return numbers[value]
        try:
            return _whole_number(value)
        except ColumnError:
            raise ColumnError(f"must be one of {', '.join(numbers)}") from None

    return Kind(name=descriptor.name, write=lambda value: names.get(value, value), read=read)


_VERB = "TASK_VERB_"
_TASK_VERB = types_pb2.DESCRIPTOR.enum_types_by_name["TaskVerb"]


def _write_verb(value: str) -> str:
    return _VERB + value if _VERB + value in _TASK_VERB.values_by_name else value


def _read_verb(value: Json) -> str:
    return _text(value).removeprefix(_VERB)


TEXT = Kind(name="text", write=_as_it_is, read=_text)
NUMBER = Kind(name="number", write=_as_it_is, read=_whole_number)
"""A number of 32 bits, which is a number in JSON too."""

LARGE_NUMBER = Kind(name="large number", write=str, read=_whole_number)
BYTES = Kind(name="bytes", write=_write_bytes, read=_read_bytes)
TIME = Kind(name="time", write=time_text, read=_read_time)
DURATION = Kind(name="length of time", write=_write_duration, read=_read_duration)
FLAG = Kind(name="yes or no", write=_write_flag, read=_read_flag)
JSON = _json_kind("JSON", ensure_ascii=False)
ASCII_JSON = _json_kind("JSON in ASCII")
LABELS = Kind(name="labels", write=_write_labels, read=_read_labels)
VERB = Kind(name="TaskVerb", write=_write_verb, read=_read_verb)
TASK_STATE = _enum(tasks_pb2.DESCRIPTOR.enum_types_by_name["TaskState"])

TYPES: Mapping[str, Kind] = {
    "text": TEXT,
    "bytea": BYTES,
    "integer": NUMBER,
    "bigint": LARGE_NUMBER,
}
KINDS: Mapping[str, Kind] = {
    **dict.fromkeys(
        ("lifetime", "lease_duration", "initial_backoff", "input_wait", "max_away"), DURATION
    ),
    **dict.fromkeys(("pooled", "answered", "overdue_told", "budget_told"), FLAG),
    "answer_is_default": FLAG,
    **dict.fromkeys(("notify", "retryable", "late_retryable", "away_told", "told"), FLAG),
    **dict.fromkeys(("state", "from_state", "to_state"), TASK_STATE),
    **dict.fromkeys(("recipients", "depends_on", "links", "changes", "input", "data"), JSON),
    **dict.fromkeys(("usage", "attempt_usage", "tree_usage", "retention"), JSON),
    **dict.fromkeys(("input_attachments", "outcome_attachments", "late_attachments"), JSON),
    **dict.fromkeys(
        ("outcome_data", "question_data", "answer_data", "failure_data", "late_data"), JSON
    ),
    **dict.fromkeys(("last_failure_data", "question_options"), JSON),
    "notice": ASCII_JSON,
    "labels": LABELS,
    "verb": VERB,
    "late_verb": _enum(_TASK_VERB),
    "role": _enum(admin_pb2.DESCRIPTOR.enum_types_by_name["Role"]),
    "importance": _enum(messaging_pb2.DESCRIPTOR.enum_types_by_name["Importance"]),
}
"""By the name of a column, in whichever table."""

KINDS_IN: Mapping[tuple[str, str], Kind] = {
    ("messages", "kind"): _enum(messaging_pb2.DESCRIPTOR.enum_types_by_name["MessageKind"]),
    ("agents", "kind"): _enum(messaging_pb2.DESCRIPTOR.enum_types_by_name["AgentKind"]),
    ("deliveries", "ending"): _enum(types_pb2.DESCRIPTOR.enum_types_by_name["DeliveryState"]),
    ("task_attempts", "ending"): _enum(tasks_pb2.DESCRIPTOR.enum_types_by_name["AttemptEnd"]),
}
"""By table and column, for names that mean something else elsewhere."""

PLAIN_NUMBERS = frozenset(
    {
        *("size", "version", "attempt", "max_attempts", "failed_attempts", "priority"),
        *("waiting_for_count", "spent_budgets", "progress_percent", "page", "kind"),
        *("agent_count", "hop_count", "depth", "message_count"),
        *("max_loop_hops", "max_loop_thread_messages", "max_loop_depth"),
    }
)
"""Columns of type integer that hold neither an enum nor yes or no."""


def kind_of(table: MovedTable, column: Column) -> Kind:
    """What a column holds."""
    known = KINDS_IN.get((table.name, column.name)) or KINDS.get(column.name)
    if known and column.type != "bytea":
        return known
    if column.type == "bigint" and column.name.endswith("_time"):
        return TIME
    return TYPES[column.type]


def reader_of(column: Column, kind: Kind) -> Callable[[Json], Any]:
    """What makes a value of a column, as the store keeps it. It raises ColumnError."""
    read, is_nullable = kind.read, column.is_nullable
    bits = BOUNDS.get(column.type, 0)
    most = 2**bits

    def value_of(value: Json) -> Any:
        if value is None:
            if is_nullable:
                return None
            raise ColumnError("must be there")
        found = read(value)
        if bits and not -most <= found < most:
            raise ColumnError(f"must be a number of {bits + 1} bits")
        return found

    return value_of
