"""Protobuf's wire format, as far as stored bytes need it: fields one after another.

What is stored is the bytes that are delivered, and the store knows no protobuf: no layer below the
edge depends on generated code, and old rows become bytes on the threads that read them. The format
is frozen (https://protobuf.dev/programming-guides/encoding/), and tests compare each
message with what protobuf reads. A field with the default value is left out, as proto3 does; a
message of two pieces is its pieces one after the other.

A `tag` here is a field's number and its kind: `bytes_tag(4)` is made once, beside the code that
writes field 4.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import TypeAlias

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"
"""What `json.loads` returns."""

MICROS = 1_000_000
_VARINT, _BYTES = 0, 2
_SMALL = [bytes([number]) for number in range(128)]
_DOUBLE = struct.Struct("<Bd")


def varint(number: int) -> bytes:
    """A whole number from 0 to 2**64 - 1, seven bits in each byte."""
    if number < 128:
        return _SMALL[number]
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    found.append(number)
    return bytes(found)


def number_tag(field: int) -> bytes:
    """How a number of this field begins."""
    return varint(field << 3)


def bytes_tag(field: int) -> bytes:
    """How a text, or a message, of this field begins."""
    return varint(field << 3 | 2)


def number(tag: bytes, value: int) -> bytes:
    """A number from 0, or an enum."""
    return tag + varint(value) if value else b""


def nested(tag: bytes, value: bytes) -> bytes:
    """A message within a message: it is set, even if it is empty. Or an element of a list."""
    return tag + varint(len(value)) + value


def text(tag: bytes, value: str) -> bytes:
    """A text."""
    if not value:
        return b""
    encoded = value.encode()
    return tag + varint(len(encoded)) + encoded


_FIRST, _SECOND = bytes_tag(1), bytes_tag(2)
_SECONDS, _NANOS = number_tag(1), number_tag(2)


def timestamp(micros: int) -> bytes:
    """A google.protobuf.Timestamp of microseconds since 1970 UTC, which are not negative."""
    seconds, rest = divmod(micros, MICROS)
    return number(_SECONDS, seconds) + number(_NANOS, rest * 1_000)


def text_map(tag: bytes, pairs: Mapping[str, str]) -> bytes:
    """A map of texts. Protobuf writes both fields of a pair, even if they are empty."""
    # In order of their keys, as protobuf orders them where bytes must not vary: so what is stored
    # comes out of the same content again (`archives/payloads.py`). Of objects too.
    return b"".join(
        nested(tag, nested(_FIRST, key.encode()) + nested(_SECOND, value.encode()))
        for key, value in sorted(pairs.items())
    )


def text_of(message: bytes, field: int) -> str:
    """A text of a message whose fields were written in order of number; of its first bytes too."""
    at, found = 0, 0
    while at < len(message) and found < field:
        key, at = _read_varint(message, at)
        found, size = key >> 3, 0
        if key & 7 == _BYTES:
            size, at = _read_varint(message, at)
            if found == field:
                return message[at : at + size].decode(errors="ignore")
        elif key & 7 == _VARINT:
            _, at = _read_varint(message, at)
        else:
            break
        at += size
    return ""


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    """A whole number that begins at a position, and the position after it. It may be cut off."""
    value = shift = 0
    while at < len(message):
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            break
        shift += 7
    return value, at


# Value is one of several fields: the one that is set is written whatever it holds.
_NULL, _FALSE, _TRUE = b"\x08\x00", b"\x20\x00", b"\x20\x01"
_DOUBLE_TAG, _TEXT, _STRUCT, _LIST = 2 << 3 | 1, bytes_tag(3), bytes_tag(5), bytes_tag(6)


def json_object(content: Mapping[str, Json]) -> bytes:
    """A google.protobuf.Struct of an object in JSON."""
    return b"".join(
        nested(_FIRST, nested(_FIRST, key.encode()) + nested(_SECOND, _json_value(content[key])))
        for key in sorted(content)
    )


def _json_value(value: Json) -> bytes:
    match value:
        case str():
            return nested(_TEXT, value.encode())
        case None:
            return _NULL
        case bool():
            return _TRUE if value else _FALSE
        case int() | float():
            return _DOUBLE.pack(_DOUBLE_TAG, value)
        case dict():
            return nested(_STRUCT, json_object(value))
        case list():
            return nested(_LIST, b"".join(nested(_FIRST, _json_value(each)) for each in value))


def pieces(content: bytes) -> Iterator[tuple[int, bytes]]:
    """The numbers and contents of the fields of a message that are texts or messages, in order."""
    at, end = 0, len(content)
    while at < end:
        tag, at = _read_varint(content, at)
        match tag & 7:
            case 0:
                _, at = _read_varint(content, at)
            case 1:
                at += 8
            case 2:
                size, at = _read_varint(content, at)
                yield tag >> 3, content[at : at + size]
                at += size
            case other:
                raise ValueError(f"a field of the kind {other}, which none of ours is")


def struct_texts(content: bytes) -> Iterator[str]:
    """The texts among the values of a google.protobuf.Struct, however deep they stand."""
    for _, pair in pieces(content):
        for number, value in pieces(pair):
            if number == 2:
                yield from _value_texts(value)


def _value_texts(value: bytes) -> Iterator[str]:
    for number, content in pieces(value):
        if number == 3:
            yield content.decode()
        elif number == 5:
            yield from struct_texts(content)
        elif number == 6:
            for _, each in pieces(content):
                yield from _value_texts(each)
