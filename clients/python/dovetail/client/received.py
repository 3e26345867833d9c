"""A message as it was delivered to an inbox."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol, TypedDict, Unpack

from dovetail.client.attachments import Attachment, AttachmentLike
from dovetail.client.message_records import Message, SendResult
from dovetail.client.records import fields_of, made
from dovetail.client.words import WordLike
from dovetail.messaging.v1 import messaging_pb2 as pb
from dovetail.types.v1 import types_pb2

Acknowledge = Callable[[int], Awaitable[object]]
ReadAttachment = Callable[[str, str], Awaitable[Attachment]]


class MessageContent(TypedDict, total=False):
    """The optional parts of a message beside the body, as in `Agent.send`."""

    subject: str
    data: Mapping[str, Any] | None
    importance: WordLike
    task_id: str
    labels: Mapping[str, str] | None
    request_id: str
    acknowledge: Iterable[int]
    expire: datetime | timedelta | None
    ack_deadline: timedelta | None
    task_etag: str
    cause: int
    attachments: Iterable[AttachmentLike]


class InboxMessage(Message, hidden="delivery"):
    """A message as it was delivered to an inbox."""

    sequence: int
    acknowledged: bool
    """Whether it was already acknowledged when it was delivered here."""
    delivery: pb.Delivery
    """The delivery as the server sent it."""


class ReceivedMessage(InboxMessage):
    """A delivery that can be acknowledged and replied to."""

    _acknowledge: Acknowledge
    _reply: Reply
    _attachment: ReadAttachment

    async def acknowledge(self) -> None:
        """Acknowledge the message. When this returns, that is on the server's disk."""
        await self._acknowledge(self.sequence)

    async def reply(self, body: str = "", **content: Unpack[MessageContent]) -> SendResult:
        """Reply to the sender, in the same thread.

        Acknowledges the message too, in the same commit, only with `acknowledge=[its sequence]`.
        """
        return await self._reply(self, body, **content)

    async def attachment(self, name: str) -> Attachment:
        """Return one of its attachments with its bytes."""
        return await self._attachment(self.message_id, name)


class Reply(Protocol):
    """The signature of `Agent.reply`."""

    def __call__(
        self, message: InboxMessage, body: str = "", **content: Unpack[MessageContent]
    ) -> Awaitable[SendResult]:
        """Reply to a message."""
        ...


def received(
    delivery: pb.Delivery, acknowledge: Acknowledge, reply: Reply, attachment: ReadAttachment
) -> ReceivedMessage:
    """A delivery as a value with methods to acknowledge, to reply, and to read attachments."""
    return made(
        ReceivedMessage,
        fields_of(Message, delivery.message),
        proto=delivery.message,
        sequence=delivery.receipt.sequence,
        acknowledged=delivery.receipt.state == types_pb2.DELIVERY_STATE_ACKNOWLEDGED,
        delivery=delivery,
        _acknowledge=acknowledge,
        _reply=reply,
        _attachment=attachment,
    )
