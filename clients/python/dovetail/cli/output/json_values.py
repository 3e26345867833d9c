"""Messages of the contract as JSON for programs: what is unset, zero or empty is left out.

By a walk over the descriptors: protobuf's own `json_format` takes longer to load than a call takes,
writes integers as text, and enums by their long names.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from dovetail.cli.output.text import DIRECTION_CONTROLS

if TYPE_CHECKING:
    from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
    from google.protobuf.message import Message
    from google.protobuf.struct_pb2 import ListValue, Struct, Value

CONTROLS = re.compile(f"[\x7f-\x9f{''.join(DIRECTION_CONTROLS)}]")
"""What JSON leaves as it is, and what could control a terminal."""

WHOLE_BELOW = 2**53
"""Doubles below this have all whole numbers."""


def fields(item: Message) -> dict[str, Any]:
    """The fields of a message that are set, by the contract's names; enums are words."""
    return {field.name: _value(field, value) for field, value in item.ListFields()}


@cache
def words(enum: EnumDescriptor) -> Mapping[int, str]:
    """The words of an enum: TASK_STATE_IN_PROGRESS of TaskState is in_progress."""
    prefix = re.sub("(?<=[a-z])(?=[A-Z])", "_", enum.name).upper() + "_"
    return {each.number: each.name.removeprefix(prefix).lower() for each in enum.values}


def without_defaults(value: Any) -> Any:
    """A value that is not a message, by the same rule: nothing in it is unset, zero or empty."""
    if isinstance(value, Mapping):
        pairs = cast("Mapping[str, Any]", value).items()
        present = {key: without_defaults(each) for key, each in pairs}
        return {key: each for key, each in present.items() if each}
    if isinstance(value, (list, tuple)):
        return [without_defaults(each) for each in cast("list[Any]", value)]
    return value


def dumps(value: Any) -> str:
    """A value as one line of JSON, which cannot control a terminal."""
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    text = json.dumps(value, ensure_ascii=encoding != "utf8", separators=(",", ":"))
    return CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _value(field: FieldDescriptor, value: Any) -> Any:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        entry = kind.fields_by_name["value"]
        return {key: _single(entry, value[key]) for key in sorted(value)}
    if field.is_repeated:
        return [_single(field, each) for each in value]
    return _single(field, value)


def _single(field: FieldDescriptor, value: Any) -> Any:
    if field.enum_type is not None:
        return words(field.enum_type).get(value, value)
    if field.message_type is None:
        return value.hex() if isinstance(value, bytes) else value
    return WELL_KNOWN.get(field.message_type.full_name, fields)(value)


def structured(value: Struct) -> dict[str, Any]:
    """Structured content as Python values."""
    return {key: _content(value.fields[key]) for key in sorted(value.fields)}


def _list(value: ListValue) -> list[Any]:
    return [_content(each) for each in value.values]


def _content(value: Value) -> Any:
    """Structured content; a whole number, which travelled as a double, is written as one."""
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return structured(value.struct_value)
    if kind == "list_value":
        return _list(value.list_value)
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() and abs(number) < WHOLE_BELOW else number
    return getattr(value, kind) if kind and kind != "null_value" else None


def _text(value: Any) -> str:
    return value.ToJsonString()


WELL_KNOWN: dict[str, Callable[[Any], Any]] = {
    "google.protobuf.Timestamp": _text,
    "google.protobuf.Duration": _text,
    "google.protobuf.Struct": structured,
    "google.protobuf.Value": _content,
}
