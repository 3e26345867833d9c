"""Messages of the contract as records: frozen values with Python's own types.

A record has the fields of its message under their names: words for enums, times in UTC, timedeltas,
tuples and dicts; None where the contract says that a field may be absent. `proto` is the message.
How each field is read follows from the descriptor of the message and so is written nowhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError
from datetime import UTC
from functools import cache, partial
from operator import attrgetter
from typing import Any, ClassVar, NamedTuple, Self, TypeVar, dataclass_transform

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from dovetail.client.values import contents
from dovetail.client.words import WORDS, reader

Read = Callable[[Any], Any]

R = TypeVar("R", bound="Record")

_records: dict[str, type[Record]] = {}
"""The record for a message of the contract, by its full name."""

_OWN_TYPES: dict[str, Read] = {
    "google.protobuf.Timestamp": lambda time: time.ToDatetime(UTC),
    "google.protobuf.Duration": lambda duration: duration.ToTimedelta(),
    "google.protobuf.Struct": contents,
    "google.protobuf.Value": contents,
}


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Record:
    """A frozen value with the fields that its class and its bases annotate.

    To a type checker it is a frozen dataclass. A real one writes and compiles its methods when it
    is defined, which for all records takes longer than a call does; these are written once.
    """

    field_names: ClassVar[tuple[str, ...]] = ()
    _shown: ClassVar[tuple[str, ...]] = ()
    """What `==`, `hash` and `repr` look at: not `proto`, which repeats it, nor what is private."""

    def __init_subclass__(cls, of: type[Message] | None = None, hidden: str = "proto") -> None:
        """Bind the class to a message of the generated code; `hidden` is not compared either."""
        own = tuple(name for name in cls.__annotations__ if name not in cls.field_names)
        cls.field_names += own
        cls._shown += tuple(name for name in own if name != hidden and not name.startswith("_"))
        if of:
            _records[of.DESCRIPTOR.full_name] = cls

    def __init__(self, **fields: Any) -> None:
        """Set every field."""
        if fields.keys() != set(self.field_names):
            missing = [name for name in self.field_names if name not in fields]
            unknown = [name for name in fields if name not in self.field_names]
            raise TypeError(
                f"{type(self).__name__} takes each of its fields by name;"
                f" missing: {', '.join(missing) or 'none'}; unknown: {', '.join(unknown) or 'none'}"
            )
        vars(self).update(fields)

    def replace(self, **changes: Any) -> Self:
        """A copy with other values in some fields. `proto` stays as it is."""
        return type(self)(**{**vars(self), **changes})

    def __setattr__(self, name: str, value: object) -> None:
        """Raise FrozenInstanceError."""
        raise FrozenInstanceError(f"cannot assign to field {name!r}: use replace()")

    def __delattr__(self, name: str) -> None:
        """Raise FrozenInstanceError."""
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def __eq__(self, other: object) -> bool:
        """Whether it is of the same class, with equal fields."""
        if type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        """Of all fields; those that have a dict have no hash."""
        return hash(self._values())

    def __repr__(self) -> str:
        """The class with its fields."""
        values = zip(self._shown, self._values(), strict=True)
        told = ", ".join(f"{name}={value!r}" for name, value in values)
        return f"{type(self).__qualname__}({told})"

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self._shown)


def record(kind: type[R], message: Message) -> R:
    """The record for a message."""
    return made(kind, fields_of(kind, message), proto=message)


def made(kind: type[R], fields: dict[str, Any], **others: Any) -> R:
    """A record with these fields. Its `__init__`, which sets them one by one, takes three times."""
    made = object.__new__(kind)
    vars(made).update(fields, **others)
    return made


def fields_of(kind: type[Record], message: Message) -> dict[str, Any]:
    """The fields that the message and the record have in common, but for `proto`."""
    plan = _plan(kind, message.DESCRIPTOR)
    fields = dict(zip(plan.plain_names, plan.plain(message), strict=True))
    for name, read in plan.converted:
        fields[name] = read(message)
    return fields


class _Plan(NamedTuple):
    """How a message is read: what stays as it is, all at once, and what is converted."""

    plain_names: tuple[str, ...]
    plain: Read
    converted: tuple[tuple[str, Read], ...]


@cache
def _plan(kind: type[Record], descriptor: Any) -> _Plan:
    by_name = descriptor.fields_by_name
    common = [by_name[name] for name in kind.field_names if name in by_name]
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
