"""Agents, messages and receipts, as a caller reads them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from dovetail.client.attachments import Attachment
from dovetail.client.input_options import InputOption
from dovetail.client.records import Record
from dovetail.client.words import (
    AgentKind,
    DeliveryState,
    Importance,
    MailEvent,
    MessageKind,
    TaskVerb,
)
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
    open_streams: int
    waiting_calls: int
    etag: str
    remove_time: datetime | None
    kind: AgentKind
    first_sequence: int
    proto: pb.Agent


class AgentRemoval(Record, of=pb.RemoveAgentResponse):
    """An agent as it was removed, and who was told that it has not read their messages."""

    agent: AgentRecord
    left_group_count: int
    told_sender_count: int
    untold_sender_count: int
    proto: pb.RemoveAgentResponse


class GroupRecord(Record, of=pb.Group):
    """A named set of agents. A list of groups leaves `agent_ids` out, and has their number."""

    group_id: str
    display_name: str
    labels: Mapping[str, str]
    agent_ids: tuple[str, ...]
    agent_count: int
    creator_id: str
    create_time: datetime
    update_time: datetime
    etag: str
    proto: pb.Group


class Receipt(Record, of=types_pb2.Receipt):
    """A message in the inbox of one recipient, and what became of it there.

    `send_time` is by when it was handed out, `see_time` when the agent said that it has seen it;
    None: that is not known. `reason` is why the agent rejected it.
    """

    recipient_id: str
    sequence: int
    message_id: str
    state: DeliveryState
    state_time: datetime | None
    reason: str
    send_time: datetime | None
    see_time: datetime | None
    proto: types_pb2.Receipt


class AskedQuestion(Record, of=pb.AskedQuestion):
    """How the question of a message can be answered; its text is that of the message.

    An answer with this `task_etag` answers this question, and no later one of the task.
    """

    task_etag: str
    options: tuple[InputOption, ...]
    deadline_time: datetime | None
    default_answer: str
    proto: pb.AskedQuestion


class GivenAnswer(Record, of=pb.GivenAnswer):
    """How a question was answered, beside the text of the message."""

    option: str
    is_default: bool
    proto: pb.GivenAnswer


class Notice(Record, of=pb.Notice):
    """The event of a task of which a message tells; `question` or `answer` if it is one."""

    verb: TaskVerb
    task_id: str
    event_number: int
    actor_id: str
    assignee_id: str
    former_assignee_id: str
    question: AskedQuestion | None
    answer: GivenAnswer | None
    proto: pb.Notice


class MailNotice(Record, of=pb.MailNotice):
    """What became of a message, of which a notice tells its sender.

    `recipient_ids` are the first ten of `recipient_count` recipients at which it happened. Of
    RECIPIENT_REMOVED it is about `message_count` messages, of which this is the newest. Of
    MUTUAL_WAIT each recipient waits for the next with its task in `task_ids`, the last one for the
    first.
    """

    event: MailEvent
    message_id: str
    recipient_ids: tuple[str, ...]
    recipient_count: int
    reason: str
    task_ids: tuple[str, ...]
    message_count: int
    proto: pb.MailNotice


class Message(Record, of=pb.Message):
    """A message. `data`, `notice` and `mail_notice` are None if it has none.

    `recipient_ids` are the first ten of `recipient_count`; `Agent.receipts` has all. A message of
    kind NOTICE has a `notice`, about a task, or a `mail_notice`, about a message. So many messages
    of agents led to it as `hop_count` says. `attachments` come without their bytes, which
    `Agent.attachment` returns.
    """

    message_id: str
    sender_id: str
    recipient_ids: tuple[str, ...]
    recipient_count: int
    group_ids: tuple[str, ...]
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
    expire_time: datetime | None
    hop_count: int
    mail_notice: MailNotice | None
    attachments: tuple[Attachment, ...]
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


class RejectResult(Record, of=pb.RejectMessageResponse):
    """How many messages were rejected, and how many are left unacknowledged."""

    rejected_count: int
    unacknowledged_count: int
    proto: pb.RejectMessageResponse


class WithdrawResult(Record, of=pb.WithdrawMessageResponse):
    """From how many recipients a message was taken back, and for how many it was too late.

    `receipts` are those of the first ten recipients.
    """

    withdrawn_count: int
    late_count: int
    receipts: tuple[Receipt, ...]
    proto: pb.WithdrawMessageResponse
