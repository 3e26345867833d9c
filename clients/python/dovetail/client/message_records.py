"""Agents, messages and receipts, as a caller reads them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from dovetail.client.records import Record
from dovetail.client.words import DeliveryState, Importance, MessageKind, TaskVerb
from dovetail.messaging.v1 import messaging_pb2 as pb
from dovetail.types.v1 import types_pb2


class AgentRecord(Record, of=pb.Agent):
    """An agent as the directory has it."""

    agent_id: str
    display_name: str
    labels: Mapping[str, str]
    create_time: datetime
    last_seen_time: datetime
    last_sequence: int
    unacknowledged_count: int
    first_sequence: int
    proto: pb.Agent


class Receipt(Record, of=types_pb2.Receipt):
    """A message in the inbox of one recipient, and what became of it there.

    `send_time` is by when it was handed out, `see_time` when the agent said that it has seen it;
    None: that is not known.
    """

    recipient_id: str
    sequence: int
    message_id: str
    state: DeliveryState
    state_time: datetime | None
    send_time: datetime | None
    see_time: datetime | None
    proto: types_pb2.Receipt


class Notice(Record, of=pb.Notice):
    """The event of a task of which a message tells."""

    verb: TaskVerb
    task_id: str
    event_number: int
    actor_id: str
    assignee_id: str
    former_assignee_id: str
    proto: pb.Notice


class Message(Record, of=pb.Message):
    """A message. `data` and `notice` are None if it has none.

    `recipient_ids` are the first ten of `recipient_count`; `Agent.receipts` has all.
    """

    message_id: str
    sender_id: str
    recipient_ids: tuple[str, ...]
    recipient_count: int
    subject: str
    body: str
    data: Mapping[str, Any] | None
    importance: Importance
    thread_id: str
    in_reply_to: str
    task_id: str
    labels: Mapping[str, str]
    kind: MessageKind
    create_time: datetime
    notice: Notice | None
    proto: pb.Message


class MessageRecord(Record, of=pb.MessageRecord):
    """A message, and the receipts of its first recipients."""

    message: Message
    receipts: tuple[Receipt, ...]
    proto: pb.MessageRecord


class SendResult(Record, of=pb.SendMessageResponse):
    """A message that was sent, and its place in the inbox of each recipient."""

    message_id: str
    thread_id: str
    create_time: datetime
    receipts: tuple[Receipt, ...]
    proto: pb.SendMessageResponse


class SentMessage(Record, of=pb.SentMessage):
    """One of many messages that were sent."""

    message_id: str
    thread_id: str
    proto: pb.SentMessage


class AcknowledgeResult(Record, of=pb.AcknowledgeMessagesResponse):
    """How many messages were acknowledged, and how many are left."""

    acknowledged_count: int
    unacknowledged_count: int
    proto: pb.AcknowledgeMessagesResponse
