"""Requests in which one list or map, of all that there are, is filled to the limit of a request."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from dovetail.admin.v1 import admin_pb2
from dovetail.messaging.v1 import messaging_pb2
from dovetail.tasks.v1 import tasks_pb2

FieldPath = tuple[FieldDescriptor, ...]

REQUEST_BYTES = 4 * 1024 * 1024 - 64
ENTRIES = 330_000
METHODS = {
    f"/{service.full_name}/{method.name}": method
    for module in (messaging_pb2, tasks_pb2, admin_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}


def collections(descriptor: Descriptor, path: FieldPath = ()) -> Iterator[FieldPath]:
    """Every list and map that a message can hold, by the way to it."""
    for field in descriptor.fields:
        way = (*path, field)
        if field.is_repeated:
            yield way
        inner = field.message_type
        if (
            inner
            and not inner.GetOptions().map_entry
            and inner not in [f.message_type for f in path]
        ):
            yield from collections(inner, way)


PLACES = [
    (name, path) for name, method in METHODS.items() for path in collections(method.input_type)
]


def varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def length_delimited(number: int, payload: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def filled(path: FieldPath) -> bytes:
    """A request in which one list or map holds as many of the smallest elements as fit."""
    *outer, last = path
    if last.message_type and last.message_type.GetOptions().map_entry:
        payload = entries(last.number)
    elif last.message_type or last.type == FieldDescriptor.TYPE_STRING:
        element = length_delimited(last.number, b"")
        payload = element * (REQUEST_BYTES // len(element))
    else:
        payload = length_delimited(last.number, b"\x01" * (REQUEST_BYTES - 16))
    for field in reversed(outer):
        payload = length_delimited(field.number, payload)
    return payload


@cache
def entries(number: int) -> bytes:
    """A map of distinct keys without values, as the field of this number."""
    keys = (length_delimited(1, b"%x" % key) for key in range(ENTRIES))
    payload = b"".join(length_delimited(number, key) for key in keys)
    assert REQUEST_BYTES // 2 < len(payload) < REQUEST_BYTES
    return payload
