"""A message as it came to an inbox."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol, TypedDict, Unpack

from google.protobuf import json_format

from dovetail.messaging.v1 import messaging_pb2 as pb
from dovetail.types.v1 import types_pb2

Acknowledge = Callable[[int], Awaitable[object]]


class MessageContent(TypedDict, total=False):
    """What may be said beside the body, as in `Agent.send`."""

    subject: str
    data: Mapping[str, Any] | None
    importance: pb.Importance.ValueType
    task_id: str
    labels: Mapping[str, str] | None
    request_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class InboxMessage:
    """One delivery. `data` and `notice` are None where the message has none.

    `recipient_ids` are the first ten of `recipient_count`; `Agent.receipts` has all.
    """

    sequence: int
    message_id: str
    sender_id: str
    recipient_ids: tuple[str, ...]
    recipient_count: int
    subject: str
    body: str
    data: Mapping[str, Any] | None
    importance: pb.Importance.ValueType
    thread_id: str
    in_reply_to: str
    task_id: str
    labels: Mapping[str, str]
    kind: pb.MessageKind.ValueType
    create_time: datetime
    notice: pb.Notice | None
    acknowledged: bool
    """Whether it was acknowledged already when it was sent here."""
    delivery: pb.Delivery = field(repr=False)
    """The delivery as the contract has it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceivedMessage(InboxMessage):
    """A delivery that can be acknowledged and answered."""

    _acknowledge: Acknowledge = field(repr=False, compare=False)
    _reply: Reply = field(repr=False, compare=False)

    async def acknowledge(self) -> None:
        """Say that this inbox is done with it. When this returns, that is on the server's disk."""
        await self._acknowledge(self.sequence)

    async def reply(
        self, body: str = "", **content: Unpack[MessageContent]
    ) -> pb.SendMessageResponse:
        """Answer the sender, in the same thread. It does not acknowledge."""
        return await self._reply(self, body, **content)


class Reply(Protocol):
    """`Agent.reply`, as a message knows it."""

    def __call__(
        self, message: InboxMessage, body: str = "", **content: Unpack[MessageContent]
    ) -> Awaitable[pb.SendMessageResponse]:
        """Answer a message."""
        ...


def received(delivery: pb.Delivery, acknowledge: Acknowledge, reply: Reply) -> ReceivedMessage:
    """A delivery as a value that can acknowledge itself and be answered."""
    message = delivery.message
    return ReceivedMessage(
        sequence=delivery.receipt.sequence,
        message_id=message.message_id,
        sender_id=message.sender_id,
        recipient_ids=tuple(message.recipient_ids),
        recipient_count=message.recipient_count,
        subject=message.subject,
        body=message.body,
        data=json_format.MessageToDict(message.data) if message.HasField("data") else None,
        importance=message.importance,
        thread_id=message.thread_id,
        in_reply_to=message.in_reply_to,
        task_id=message.task_id,
        labels=dict(message.labels),
        kind=message.kind,
        create_time=message.create_time.ToDatetime(UTC),
        notice=message.notice if message.HasField("notice") else None,
        acknowledged=delivery.receipt.state == types_pb2.DELIVERY_STATE_ACKNOWLEDGED,
        delivery=delivery,
        _acknowledge=acknowledge,
        _reply=reply,
    )
