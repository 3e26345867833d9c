"""What became of messages, as tests ask for it."""

from __future__ import annotations

import time
from collections.abc import Coroutine
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from dovetail.messaging.v1 import messaging_pb2 as pb
from dovetail.types.v1 import types_pb2
from support.callers import Caller

UNACKNOWLEDGED = types_pb2.DELIVERY_STATE_UNACKNOWLEDGED
ACKNOWLEDGED = types_pb2.DELIVERY_STATE_ACKNOWLEDGED
REJECTED = types_pb2.DELIVERY_STATE_REJECTED
EXPIRED = types_pb2.DELIVERY_STATE_EXPIRED
WITHDRAWN = types_pb2.DELIVERY_STATE_WITHDRAWN
SENT = types_pb2.DELIVERY_STATE_SENT
SEEN = types_pb2.DELIVERY_STATE_SEEN
OPEN = (UNACKNOWLEDGED, SENT, SEEN)


async def receipts(caller: Caller, recipient_id: str = "bob") -> list[types_pb2.Receipt]:
    """The receipts of one recipient, in the order of its inbox."""
    page = await caller.list_messages(recipient_id=recipient_id, page_size=1_000)
    return [
        receipt
        for record in page.records
        for receipt in record.receipts
        if receipt.recipient_id == recipient_id
    ]


async def states(caller: Caller, recipient_id: str = "bob") -> list[int]:
    """The states of the deliveries of one recipient, in order."""
    return [each.state for each in await receipts(caller, recipient_id)]


def reject(
    caller: Caller, *sequences: int, reason: str = "no time"
) -> Coroutine[Any, Any, pb.RejectMessageResponse]:
    """RejectMessage."""
    return caller.call(pb.RejectMessageRequest(sequences=sequences, reason=reason))


async def notices(caller: Caller) -> list[pb.Message]:
    """The notices about mail in a caller's inbox, in order."""
    page = await caller.list_messages(recipient_id=caller.agent_id, page_size=1_000)
    found = [record.message for record in page.records]
    return [each for each in found if each.HasField("mail_notice")]


def at(seconds: float) -> Timestamp:
    """The time so many seconds from now."""
    made = Timestamp()
    made.FromMicroseconds(time.time_ns() // 1_000 + round(seconds * 1_000_000))
    return made
