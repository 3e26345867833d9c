"""Python's values as protobuf's."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp


def struct(data: Mapping[str, Any] | None) -> Struct | None:
    """Structured content; None stays unset."""
    if data is None:
        return None
    made = Struct()
    made.update(dict(data))
    return made


def timestamp(time: datetime | None) -> Timestamp | None:
    """A time; None stays unset. It must say its zone: a guess would be wrong somewhere."""
    if time is None:
        return None
    if time.tzinfo is None:
        raise ValueError(f"{time!r} has no time zone: give it one, such as datetime.UTC")
    made = Timestamp()
    made.FromDatetime(time)
    return made


def duration(length: timedelta | None) -> Duration | None:
    """A length of time; None stays unset."""
    if length is None:
        return None
    made = Duration()
    made.FromTimedelta(length)
    return made
