"""A message as it was delivered to an inbox."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol, TypedDict, Unpack

from dovetail.client.values import contents
from dovetail.messaging.v1 import messaging_pb2 as pb
from dovetail.types.v1 import types_pb2

Acknowledge = Callable[[int], Awaitable[object]]


class MessageContent(TypedDict, total=False):
    """The optional parts of a message beside the body, as in `Agent.send`."""

    subject: str
    data: Mapping[str, Any] | None
    importance: pb.Importance.ValueType
    task_id: str
    labels: Mapping[str, str] | None
    request_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class InboxMessage:
    """One delivery. `data` and `notice` are None if the message has none.

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
    """Whether it was already acknowledged when it was delivered here."""
    delivery: pb.Delivery = field(repr=False)
    """The delivery as the server sent it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceivedMessage(InboxMessage):
    """A delivery that can be acknowledged and replied to."""

    _acknowledge: Acknowledge = field(repr=False, compare=False)
    _reply: Reply = field(repr=False, compare=False)

    async def acknowledge(self) -> None:
        """Acknowledge the message. When this returns, that is on the server's disk."""
        await self._acknowledge(self.sequence)

    async def reply(
        self, body: str = "", **content: Unpack[MessageContent]
    ) -> pb.SendMessageResponse:
        """Reply to the sender, in the same thread. Does not acknowledge the message."""
        return await self._reply(self, body, **content)


class Reply(Protocol):
    """The signature of `Agent.reply`."""

    def __call__(
        self, message: InboxMessage, body: str = "", **content: Unpack[MessageContent]
    ) -> Awaitable[pb.SendMessageResponse]:
        """Reply to a message."""
        ...


def received(delivery: pb.Delivery, acknowledge: Acknowledge, reply: Reply) -> ReceivedMessage:
    """A delivery as a value with methods to acknowledge and to reply."""
    message = delivery.message
    return ReceivedMessage(
        sequence=delivery.receipt.sequence,
        message_id=message.message_id,
        sender_id=message.sender_id,
        recipient_ids=tuple(message.recipient_ids),
        recipient_count=message.recipient_count,
        subject=message.subject,
        body=message.body,
        data=contents(message.data) if message.HasField("data") else None,
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
