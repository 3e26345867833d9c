"""A stored message as the JSON of dovetail.messaging.v1.Message, and back to the same bytes.

The store keeps a message as the bytes in which it is delivered. From its JSON protobuf writes other
bytes where it has a choice: the order of the pairs of a map, in which older releases wrote as they
came. Such a message stands in its line twice, as JSON for those who read it, and as bytes.
"""

from __future__ import annotations

from google.protobuf import json_format
from google.protobuf.message import DecodeError

from dovetail.messaging.v1.messaging_pb2 import Message
from dovetail.server.archives.columns import BYTES, ColumnError, Kind
from dovetail.server.store.wire import Json


def write_payload(stored: bytes) -> tuple[Json | None, bool]:
    """The message in JSON, None where there is none; and whether that gives the same bytes."""
    message = Message()
    try:
        message.MergeFromString(stored)
        text = _in_order(json_format.MessageToDict(message, preserving_proto_field_name=True))
    except (DecodeError, ValueError, json_format.Error):
        return None, False  # No message, or one with numbers that JSON has not.
    return text, _gives_back(message, text, stored)


def _in_order(value: Json) -> Json:
    """The same, which then does not depend on the order of maps: that differs by process."""
    if isinstance(value, dict):
        return {key: _in_order(value[key]) for key in sorted(value)}
    return [*map(_in_order, value)] if isinstance(value, list) else value


def _gives_back(message: Message, text: Json, stored: bytes) -> bool:
    message.DiscardUnknownFields()  # JSON has none of them.
    if message.SerializeToString(deterministic=True) != stored:
        return False
    # Of all that a message can hold only a number of its data may change in JSON: -0.0 becomes 0.
    # Reading the JSON takes some ten times as long as all else here.
    return not message.HasField("data") or read_payload(text) == stored


def read_payload(value: Json) -> bytes:
    """The bytes of a message that stands there in JSON, or as bytes. Raises ColumnError."""
    if isinstance(value, str):
        return BYTES.read(value)
    if not isinstance(value, dict):
        raise ColumnError("must be a message, an object")
    try:
        return json_format.ParseDict(value, Message()).SerializeToString(deterministic=True)
    except (ValueError, json_format.Error) as error:
        raise ColumnError(f"must be a dovetail.messaging.v1.Message: {error}") from error


MESSAGE = Kind(name="message", write=BYTES.write, read=read_payload)
"""A stored message; `lines.Writer` writes it in JSON beside."""
