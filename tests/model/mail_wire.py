"""What the model of mail reads of responses, and what it knows of open streams."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dovetail.messaging.v1 import messaging_pb2 as pb
from dovetail.types.v1 import types_pb2
from model.mail import OPEN


@dataclass
class Stream:
    """An open stream: where it is, and since which step it may have sent what is not read yet."""

    agent_id: str
    call: Any
    cursor: int
    since: int
    limit: int
    has_acknowledged: bool


def state_of(receipt: types_pb2.Receipt) -> str:
    """The state of a receipt; SENT is recorded some time later, and counts as open."""
    name = types_pb2.DeliveryState.Name(receipt.state).removeprefix("DELIVERY_STATE_")
    return OPEN if name == "SENT" else name


def event_of(message: pb.Message) -> tuple[str, str]:
    """What a notice about mail reports, and of which message."""
    if not message.HasField("mail_notice"):
        return "", ""
    event = pb.MailEvent.Name(message.mail_notice.event).removeprefix("MAIL_EVENT_")
    return event, message.mail_notice.message_id
