"""Messages of the contract as records: frozen values with Python's own types.

A record has the fields of its message under their names: words for enums, times in UTC, timedeltas,
tuples and dicts; None where the contract says that a field may be absent. `proto` is the message.
How each field is read follows from the descriptor of the message and so is written nowhere.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from functools import cache, partial
from operator import attrgetter
from typing import Any, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from dovetail.client.values import contents
from dovetail.client.words import WORDS, reader

T = TypeVar("T")
Read = Callable[[Any], Any]

_records: dict[str, type[Any]] = {}
"""The record for a message of the contract, by its full name."""

_OWN_TYPES: dict[str, Read] = {
    "google.protobuf.Timestamp": lambda time: time.ToDatetime(UTC),
    "google.protobuf.Duration": lambda duration: duration.ToTimedelta(),
    "google.protobuf.Struct": contents,
    "google.protobuf.Value": contents,
}


def record_of(message: type[Message]) -> Callable[[type[T]], type[T]]:
    """Bind a dataclass to a message of the generated code."""

    def bind(kind: type[T]) -> type[T]:
        _records[message.DESCRIPTOR.full_name] = kind
        return kind

    return bind


def record(kind: type[T], message: Message) -> T:
    """The record for a message."""
    return made(kind, fields_of(kind, message), proto=message)


def made(kind: type[T], fields: dict[str, Any], **others: Any) -> T:
    """A record with these fields. Its `__init__`, which sets them one by one, takes three times."""
    made = object.__new__(kind)
    vars(made).update(fields, **others)
    return made


def fields_of(kind: type[Any], message: Message) -> dict[str, Any]:
    """The fields that the message and the record have in common, but for `proto`."""
    plan = _plan(kind, message.DESCRIPTOR)
    fields = dict(zip(plan.plain_names, plan.plain(message), strict=True))
    for name, read in plan.converted:
        fields[name] = read(message)
    return fields


@dataclass(frozen=True, kw_only=True, slots=True)
class _Plan:
    """How a message is read: what stays as it is, all at once, and what is converted."""

    plain_names: tuple[str, ...]
    plain: Read
    converted: tuple[tuple[str, Read], ...]


@cache
def _plan(kind: type[Any], descriptor: Any) -> _Plan:
    by_name = descriptor.fields_by_name
    common = [by_name[each.name] for each in dataclasses.fields(kind) if each.name in by_name]
    plain = tuple(field.name for field in common if _is_plain(field))
    return _Plan(
        plain_names=plain,
        plain=_getter(plain),
        converted=tuple((field.name, _reader(field)) for field in common if not _is_plain(field)),
    )


def _getter(names: tuple[str, ...]) -> Read:
    """A function that returns the values of these fields; `attrgetter` returns one by itself."""
    return attrgetter(*names) if len(names) > 1 else lambda m: tuple(getattr(m, n) for n in names)


def _is_plain(field: FieldDescriptor) -> bool:
    return _converter(field) is None and not field.has_presence


def _reader(field: FieldDescriptor) -> Read:
    """A function that reads a field from the message."""
    name, convert = field.name, _converter(field)
    get = attrgetter(name)
    if convert is None:
        return lambda message: get(message) if message.HasField(name) else None
    if field.has_presence:
        return lambda message: convert(get(message)) if message.HasField(name) else None
    return lambda message: convert(get(message))


def _converter(field: FieldDescriptor) -> Read | None:
    """How the value of a field is converted; None if it stays as it is."""
    if _is_map(field):
        return dict
    convert = _converter_of_one(field)
    if not field.is_repeated:
        return convert
    return tuple if convert is None else lambda items: tuple(map(convert, items))


def _converter_of_one(field: FieldDescriptor) -> Read | None:
    if field.enum_type:
        return reader(WORDS[field.enum_type.full_name])
    if not (kind := field.message_type):
        return None
    if kind.full_name in _OWN_TYPES:
        return _OWN_TYPES[kind.full_name]
    return partial(record, _records[kind.full_name])


def _is_map(field: FieldDescriptor) -> bool:
    return bool(field.message_type and field.message_type.GetOptions().map_entry)
