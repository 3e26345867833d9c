"""Bad fields of what ends a message, and of the conditions under which one is sent."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from dovetail.messaging.v1 import messaging_pb2 as m
from wire.requests import Row, send, sends

WRONG_TIMES = (
    (Timestamp(seconds=-62_135_596_801), "expire_time.seconds"),
    (Timestamp(seconds=253_402_300_800), "expire_time.seconds"),
    (Timestamp(nanos=10**9), "expire_time.nanos"),
    (Timestamp(seconds=1), "expire_time"),
    (Timestamp(seconds=-1), "expire_time"),
)
WRONG_DEADLINES = (
    Duration(),
    Duration(seconds=-1),
    Duration(nanos=1),
    Duration(seconds=365 * 86_400, nanos=1_000),
    Duration(seconds=2**62),
)


def mail() -> Iterator[Row]:
    """Each row is a method, a request, and the field that is wrong."""
    for time, field in WRONG_TIMES:
        yield "SendMessage", send(expire_time=time), field
        yield "BatchSendMessages", sends(expire_time=time), f"requests[1].{field}"
    for deadline in WRONG_DEADLINES:
        yield "SendMessage", send(ack_deadline=deadline), "ack_deadline"
        yield "BatchSendMessages", sends(ack_deadline=deadline), "requests[1].ack_deadline"
    yield "SendMessage", send(task_etag="v1"), "task_etag"
    yield "SendMessage", send(task_id="build", task_etag="x" * 65), "task_etag"
    yield "BatchSendMessages", sends(task_etag="v1"), "requests[1].task_etag"
    reject = m.RejectMessageRequest
    for reason in ("", "x" * 1_001, "\0"):
        yield "RejectMessage", reject(sequences=[1], reason=reason), "reason"
    for wrong, field in (([], "sequences"), ([1] * 101, "sequences"), ([1, 0], "sequences[1]")):
        yield "RejectMessage", reject(sequences=wrong, reason="no"), field
