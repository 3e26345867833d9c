"""Between protobuf's well-known types and the values of the rules. For the servicers only."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from typing import Any, Protocol, TypeVar, cast

from google.protobuf import json_format
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from dovetail.server.access.caller import current_caller
from dovetail.server.edge.paging import Paging
from dovetail.server.edge.validation import Checks
from dovetail.server.store.filters import TimeRange
from dovetail.server.store.idempotency import IdempotencyKey
from dovetail.server.store.tables.deliveries import Receipt
from dovetail.server.store.tables.message_bytes import message_id
from dovetail.types.v1 import types_pb2

MICROS = 1_000_000
EARLIEST_SECONDS = -62_135_596_800  # 0001-01-01
LATEST_SECONDS = 253_402_300_799  # 9999-12-31
# Protobuf reads 100 levels, of which an object takes three; answers hold it deeper than requests.
LEVELS_MAX = 30
LIGHT = 1_024
"""Structured content up to this size is converted at once, larger in a thread.

At most 250 values: they keep the event loop no longer than the way to a thread and back does,
0.1 ms (measured: 0.5 us a value).
"""

T = TypeVar("T")


def read_timestamp(check: Checks, field: str, message: Message, name: str) -> int | None:
    """A Timestamp of a message in microseconds since 1970 UTC, cut to them; None where unset."""
    if not message.HasField(name):
        return None
    time: Timestamp = getattr(message, name)
    check.number(f"{field}.seconds", time.seconds, EARLIEST_SECONDS, LATEST_SECONDS)
    check.number(f"{field}.nanos", time.nanos, 0, 999_999_999)
    return time.seconds * MICROS + time.nanos // 1_000


def read_time_range(check: Checks, field: str, times: types_pb2.TimeRange) -> TimeRange:
    """A span of time."""
    read = TimeRange(
        start=read_timestamp(check, f"{field}.start_time", times, "start_time"),
        end=read_timestamp(check, f"{field}.end_time", times, "end_time"),
    )
    check.time_range(field, read)
    return read


def read_duration(check: Checks, field: str, message: Message, name: str) -> int | None:
    """A Duration of a message in microseconds, which must be whole; None where unset."""
    if not message.HasField(name):
        return None
    duration: Duration = getattr(message, name)
    micros, rest = divmod(duration.nanos, 1_000)
    if rest:
        check.refuse(field, "must be whole microseconds")
    return duration.seconds * MICROS + micros


def read_optional_number(message: Message, name: str) -> int | None:
    """A number of a message that may be unset: then None."""
    return getattr(message, name) if message.HasField(name) else None


def read_struct(check: Checks, field: str, message: Message, name: str) -> str | None:
    """Structured content of a message as JSON text; None where unset."""
    content = read_object(check, field, message, name)
    return None if content is None else json.dumps(content, ensure_ascii=False)


def read_object(check: Checks, field: str, message: Message, name: str) -> dict[str, Any] | None:
    """Structured content of a message as `json.loads` returns it; None where unset.

    Numbers that JSON cannot express are refused, and content that is nested too deeply.
    """
    if not message.HasField(name):
        return None
    content: dict[str, Any] = {}
    try:
        content = json_format.MessageToDict(getattr(message, name))
    except (ValueError, json_format.Error) as error:
        check.refuse(field, f"must be expressible in JSON: {error}")
    levels = _levels(content)
    if levels > LEVELS_MAX:
        check.refuse(field, f"must be nested at most {LEVELS_MAX} levels deep, is {levels}")
    return content


def receipt_message(receipt: Receipt) -> types_pb2.Receipt:
    """What became of a message at one recipient."""
    return types_pb2.Receipt(
        recipient_id=receipt.recipient_id,
        sequence=receipt.sequence,
        message_id=message_id(receipt.message_number),
        state=types_pb2.DeliveryState.ValueType(receipt.state),
        state_time=optional_timestamp(receipt.state_time),
        send_time=optional_timestamp(receipt.send_time),
        see_time=optional_timestamp(receipt.see_time),
        reason=receipt.reason,
    )


def timestamp(value: int) -> Timestamp:
    """A time of microseconds since 1970 UTC."""
    return Timestamp(seconds=value // MICROS, nanos=value % MICROS * 1_000)


def optional_timestamp(value: int | None) -> Timestamp | None:
    """A time, or unset."""
    return None if value is None else timestamp(value)


def optional_duration(value: int | None) -> Duration | None:
    """A duration in microseconds as a message; None leaves it unset."""
    if value is None:
        return None
    return Duration(seconds=value // MICROS, nanos=value % MICROS * 1_000)


def _levels(content: object) -> int:
    """How deep objects and lists stand in each other."""
    if isinstance(content, dict):
        content = [*cast("dict[str, object]", content).values()]
    if not isinstance(content, list):
        return 0
    return 1 + max(map(_levels, cast("list[object]", content)), default=0)


def optional_struct(text: str | None) -> Struct | None:
    """Structured content of JSON text, or unset."""
    if text is None:
        return None
    made = Struct()
    made.update(json.loads(text))
    return made


async def converted(weight: int, convert: Callable[[], T]) -> T:
    """What `convert` makes; in a thread where it has much structured content to go through.

    A Struct of 10,000 values takes tens of milliseconds, for which the event loop serves nobody.
    `weight` is its size, in bytes or characters.
    """
    return convert() if weight <= LIGHT else await asyncio.to_thread(convert)


def idempotency_key(request_id: str, request: Message) -> IdempotencyKey | None:
    """How a repeat of this request is known; None where the caller gave no `request_id`."""
    if not request_id:
        return None
    name = request.DESCRIPTOR.full_name.encode()
    payload = request.SerializeToString(deterministic=True)
    caller = current_caller.get()
    return IdempotencyKey(
        request_id=request_id,
        request_hash=hashlib.sha256(name + b"\0" + payload).digest(),
        scope="" if caller.agent_id else caller.credential_id,
    )


class PagedRequest(Protocol):
    """A request for a page."""

    page_size: int
    page_token: str


def read_paging(team_id: str, request: PagedRequest) -> Paging:
    """The page that a request asks for. Its token is bound to the team and to the rest of it."""
    message = cast("Message", request)
    bound = type(message)()
    bound.CopyFrom(message)
    bound.ClearField("page_size")
    bound.ClearField("page_token")
    name = message.DESCRIPTOR.full_name.encode()
    binding = b"\0".join((team_id.encode(), name, bound.SerializeToString(deterministic=True)))
    return Paging(page_size=request.page_size, page_token=request.page_token, binding=binding)
