"""What `--json` prints of the contract's messages, for every message and every enum of it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from dovetail.admin.v1 import admin_pb2
from dovetail.cli.output.json_values import dumps, fields, without_defaults, words
from dovetail.messaging.v1 import messaging_pb2
from dovetail.tasks.v1 import tasks_pb2
from dovetail.types.v1 import types_pb2

FILES = [module.DESCRIPTOR for module in (admin_pb2, messaging_pb2, tasks_pb2, types_pb2)]
ENUMS: list[EnumDescriptor] = [enum for file in FILES for enum in file.enum_types_by_name.values()]
MESSAGES: list[Descriptor] = [
    message for file in FILES for message in file.message_types_by_name.values()
]
DATA = {"": 0, "list": [1, 2.5, None, True, [], {"": ""}], "text": "ü\n", "large": 2.0**80}
LEVELS = 3


@pytest.mark.parametrize("enum", ENUMS, ids=lambda enum: enum.name)
def test_an_enum_is_words_without_what_all_its_names_begin_with(enum: EnumDescriptor):
    names = [value.name for value in enum.values]
    (prefix,) = {name[: -len(word)] for name, word in zip(names, words(enum).values(), strict=True)}
    assert [f"{prefix}{word.upper()}" for word in words(enum).values()] == names
    assert prefix.replace("_", "").lower() == enum.name.lower()


@pytest.mark.parametrize("descriptor", MESSAGES, ids=lambda message: message.name)
def test_a_message_is_all_of_its_fields_that_are_set(descriptor: Descriptor):
    empty = message_factory.GetMessageClass(descriptor)()
    assert fields(empty) == {}
    item = filled(descriptor)
    expected = json_format.MessageToDict(item, preserving_proto_field_name=True)
    printed = json.loads(dumps(fields(item)))
    assert printed == in_words(descriptor, expected)
    assert list(printed) == [field.name for field, _ in item.ListFields()]


def test_values_that_are_no_message_have_no_defaults_either():
    facts = {"a": 0, "b": "", "c": None, "d": [], "e": {"f": False}, "g": [0, {"h": ""}], "i": 1}
    assert without_defaults(facts) == {"g": [0, {}], "i": 1}


def test_a_word_that_this_release_does_not_know_stays_a_number():
    later = tasks_pb2.Task(task_id="t1", state=99)  # type: ignore[arg-type]
    assert fields(later) == {"task_id": "t1", "state": 99}


@pytest.mark.parametrize("text", ["\x1b[2J", "\x9b2J", "\x7f", "\u202e", "\u200f"])
def test_nothing_in_it_can_control_a_terminal(text: str):
    printed = dumps({"body": f"{text}é"})
    assert text not in printed
    assert printed.isprintable()
    assert json.loads(printed) == {"body": f"{text}é"}


def filled(descriptor: Descriptor, level: int = 0) -> Message:
    """A message in which everything is set, and what repeats is there twice."""
    item: Any = message_factory.GetMessageClass(descriptor)()
    for field in descriptor.fields:
        if field.containing_oneof and field is not field.containing_oneof.fields[0]:
            continue
        if field.message_type and field.message_type.GetOptions().map_entry:
            value = field.message_type.fields_by_name["value"]
            is_text = value.cpp_type == FieldDescriptor.CPPTYPE_STRING
            getattr(item, field.name).update(
                {"b": "2", "a": ""} if is_text else {"b": 2**40, "a": 0}
            )
        elif field.message_type:
            if level < LEVELS:
                fill(item, field, level)
        elif field.is_repeated:
            getattr(item, field.name).extend([single(field)] * 2)
        else:
            setattr(item, field.name, single(field))
    return item


def fill(item: Any, field: FieldDescriptor, level: int) -> None:
    """Set a field that is a message, or several."""
    assert field.message_type
    name = field.message_type.full_name
    if name == "google.protobuf.FieldMask":
        return  # In requests only, which are not printed.
    if name == "google.protobuf.Struct":
        getattr(item, field.name).update(DATA)
    elif name == "google.protobuf.Timestamp":
        getattr(item, field.name).FromMicroseconds(1_700_000_000_120_000)
    elif name == "google.protobuf.Duration":
        getattr(item, field.name).FromMilliseconds(90_500)
    elif field.is_repeated:
        getattr(item, field.name).extend([filled(field.message_type, level + 1)] * 2)
    else:
        getattr(item, field.name).CopyFrom(filled(field.message_type, level + 1))


def single(field: FieldDescriptor) -> Any:
    if field.enum_type:
        return field.enum_type.values[-1].number
    if field.type == FieldDescriptor.TYPE_BYTES:
        return b"\0\xff"
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return "ü\u2028"
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return True
    return 2**40 + 1 if field.cpp_type == FieldDescriptor.CPPTYPE_INT64 else 7


def in_words(descriptor: Descriptor, expected: dict[str, Any]) -> dict[str, Any]:
    """What protobuf's own JSON has, with numbers as numbers, enums as words and bytes as hex."""

    def changed(field: FieldDescriptor, value: Any) -> Any:
        if field.enum_type:
            return words(field.enum_type)[field.enum_type.values_by_name[value].number]
        if field.cpp_type == FieldDescriptor.CPPTYPE_INT64:
            return int(value)
        if field.type == FieldDescriptor.TYPE_BYTES:
            return base64.b64decode(value).hex()
        inner = field.message_type
        if inner and inner.GetOptions().map_entry:
            return {key: changed(inner.fields_by_name["value"], value[key]) for key in value}
        ours = inner and inner.file in FILES
        return in_words(inner, value) if inner and ours else value

    def all_changed(field: FieldDescriptor, value: Any) -> Any:
        if isinstance(value, list):
            return [changed(field, each) for each in _untyped(value)]
        return changed(field, value)

    by_name = descriptor.fields_by_name
    return {name: all_changed(by_name[name], value) for name, value in expected.items()}


def _untyped(values: Any) -> Iterator[Any]:
    return iter(values)
