"""Writes responses about messages: values to protobuf. For the servicer only."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.struct_pb2 import Struct

from dovetail.messaging.v1 import messaging_pb2 as pb
from dovetail.server.edge.convert import (
    converted,
    optional_struct,
    receipt_message,
    timestamp,
)
from dovetail.server.messaging.inboxes import Record
from dovetail.server.messaging.subscriptions import Response
from dovetail.server.store.tables.agents import Agent
from dovetail.server.store.tables.inboxes import Delivery
from dovetail.server.store.tables.messages import SHOWN_RECIPIENTS_MAX, Message, Notice
from dovetail.types.v1 import types_pb2


def data_size(messages: Iterable[Message]) -> int:
    """How many characters of structured content messages have."""
    return sum(len(message.content.data_json or "") for message in messages)


async def converted_response(taken: list[Response]) -> pb.SubscribeInboxResponse:
    """A response as it is sent. Taken out of the list, which a slow reader would hold for long."""
    response = taken.pop()
    size = data_size(each.message for each in response.deliveries)
    return await converted(size, lambda: response_proto(response))


def response_proto(response: Response) -> pb.SubscribeInboxResponse:
    return pb.SubscribeInboxResponse(
        deliveries=map(delivery_proto, response.deliveries),
        through_sequence=response.through_sequence,
        mark=pb.StreamMark.ValueType(response.mark),
    )


def delivery_proto(delivery: Delivery) -> pb.Delivery:
    return pb.Delivery(
        receipt=receipt_message(delivery.receipt), message=message_proto(delivery.message)
    )


def record_proto(record: Record) -> pb.MessageRecord:
    message, receipts = record
    return pb.MessageRecord(message=message_proto(message), receipts=map(receipt_message, receipts))


def message_proto(message: Message) -> pb.Message:
    content = message.content
    data: Struct | None = optional_struct(content.data_json)
    return pb.Message(
        message_id=message.message_id,
        sender_id=message.sender_id,
        recipient_ids=message.recipient_ids[:SHOWN_RECIPIENTS_MAX],
        recipient_count=len(message.recipient_ids),
        subject=content.subject,
        body=content.body,
        data=data,
        importance=pb.Importance.ValueType(content.importance),
        thread_id=message.thread_id,
        in_reply_to=message.in_reply_to,
        task_id=message.task_id,
        labels=content.labels,
        kind=pb.MessageKind.ValueType(message.kind),
        create_time=timestamp(message.create_time),
        notice=_notice_proto(content.notice) if content.notice else None,
    )


def _notice_proto(notice: Notice) -> pb.Notice:
    return pb.Notice(
        verb=types_pb2.TaskVerb.ValueType(notice.verb),
        task_id=notice.task_id,
        event_number=notice.event_number,
        actor_id=notice.actor_id,
        assignee_id=notice.assignee_id,
        former_assignee_id=notice.former_assignee_id,
    )


def agent_proto(agent: Agent) -> pb.Agent:
    return pb.Agent(
        agent_id=agent.agent_id,
        display_name=agent.display_name,
        labels=agent.labels,
        create_time=timestamp(agent.create_time),
        last_seen_time=timestamp(agent.last_seen_time),
        last_sequence=agent.last_sequence,
        unacknowledged_count=agent.unacknowledged_count,
    )
