"""Python values as protobuf messages."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp


def struct(data: Mapping[str, Any] | None) -> Struct | None:
    """Structured content; None leaves the field unset."""
    if data is None:
        return None
    message = Struct()
    message.update(dict(data))
    return message


def contents(data: Struct | Value) -> Any:
    """Structured content, or one value of it, as Python values."""
    from google.protobuf import json_format  # Slow to load, and for this alone.

    return json_format.MessageToDict(data)


def timestamp(time: datetime | None) -> Timestamp | None:
    """A time; None leaves the field unset. It must have a zone: no default would be right."""
    if time is None:
        return None
    if time.tzinfo is None:
        raise ValueError(f"{time!r} has no time zone: give it one, such as datetime.UTC")
    message = Timestamp()
    message.FromDatetime(time)
    return message


def duration(length: timedelta | None) -> Duration | None:
    """A duration; None leaves the field unset."""
    if length is None:
        return None
    message = Duration()
    message.FromTimedelta(length)
    return message
