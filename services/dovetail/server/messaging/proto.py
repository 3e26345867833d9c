"""Writes responses about messages: values to protobuf. For the servicer only.

Messages are stored as bytes, and their receipts are a few fields: such responses are joined.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from dovetail.messaging.v1 import messaging_pb2 as pb
from dovetail.server.edge.convert import optional_timestamp, timestamp
from dovetail.server.edge.joined import joined
from dovetail.server.edge.searches import excerpt_message
from dovetail.server.messaging.agents import PresentAgent
from dovetail.server.messaging.inboxes import Record
from dovetail.server.messaging.receiving import Received
from dovetail.server.messaging.searches import Hit
from dovetail.server.messaging.subscriptions import Response
from dovetail.server.store import wire
from dovetail.server.store.rings import Delivery
from dovetail.server.store.tables.deliveries import Receipt
from dovetail.server.store.tables.delivery_states import DeliveryState
from dovetail.types.v1 import types_pb2

_STREAMED = wire.bytes_tag(pb.SubscribeInboxResponse.DELIVERIES_FIELD_NUMBER)
_RECEIVED = wire.bytes_tag(pb.ReceiveMessagesResponse.DELIVERIES_FIELD_NUMBER)
_DELIVERY_RECEIPT = wire.bytes_tag(pb.Delivery.RECEIPT_FIELD_NUMBER)
_DELIVERY_MESSAGE = wire.bytes_tag(pb.Delivery.MESSAGE_FIELD_NUMBER)
_FOUND = wire.bytes_tag(pb.GetMessageResponse.RECORD_FIELD_NUMBER)
_LISTED = wire.bytes_tag(pb.ListMessagesResponse.RECORDS_FIELD_NUMBER)
_HIT = wire.bytes_tag(pb.SearchMessagesResponse.HITS_FIELD_NUMBER)
_HIT_RECORD = wire.bytes_tag(pb.MessageHit.RECORD_FIELD_NUMBER)
_RECORD_MESSAGE = wire.bytes_tag(pb.MessageRecord.MESSAGE_FIELD_NUMBER)
_RECORD_RECEIPTS = wire.bytes_tag(pb.MessageRecord.RECEIPTS_FIELD_NUMBER)
_RECIPIENT_ID = wire.bytes_tag(types_pb2.Receipt.RECIPIENT_ID_FIELD_NUMBER)
_SEQUENCE = wire.number_tag(types_pb2.Receipt.SEQUENCE_FIELD_NUMBER)
_MESSAGE_ID = wire.bytes_tag(types_pb2.Receipt.MESSAGE_ID_FIELD_NUMBER)
_STATE = wire.number_tag(types_pb2.Receipt.STATE_FIELD_NUMBER)
_STATE_TIME = wire.bytes_tag(types_pb2.Receipt.STATE_TIME_FIELD_NUMBER)
_SEND_TIME = wire.bytes_tag(types_pb2.Receipt.SEND_TIME_FIELD_NUMBER)
_SEE_TIME = wire.bytes_tag(types_pb2.Receipt.SEE_TIME_FIELD_NUMBER)
_REASON = wire.bytes_tag(types_pb2.Receipt.REASON_FIELD_NUMBER)
_STATES = {state: wire.number(_STATE, state) for state in DeliveryState}
_UNACKNOWLEDGED = _STATES[DeliveryState.UNACKNOWLEDGED]


def stream_response(response: Response) -> pb.SubscribeInboxResponse:
    """A response of a stream."""
    rest = pb.SubscribeInboxResponse(
        through_sequence=response.through_sequence, mark=pb.StreamMark.ValueType(response.mark)
    )
    deliveries = _deliveries(_STREAMED, response.agent_id, response.deliveries)
    return joined(pb.SubscribeInboxResponse, [*deliveries, rest.SerializeToString()])


def received_response(received: Received) -> pb.ReceiveMessagesResponse:
    """What was received."""
    rest = pb.ReceiveMessagesResponse(
        acknowledged_count=received.acknowledged_count,
        unacknowledged_count=received.unacknowledged_count,
    )
    deliveries = _deliveries(_RECEIVED, received.agent_id, received.deliveries)
    return joined(pb.ReceiveMessagesResponse, [*deliveries, rest.SerializeToString()])


def found_response(record: Record) -> pb.GetMessageResponse:
    """One message with its receipts."""
    return joined(pb.GetMessageResponse, _record(_FOUND, record))


def listed_response(records: Iterable[Record], next_page_token: str) -> pb.ListMessagesResponse:
    """A page of messages with their receipts."""
    rest = pb.ListMessagesResponse(next_page_token=next_page_token)
    parts = [part for record in records for part in _record(_LISTED, record)]
    return joined(pb.ListMessagesResponse, [*parts, rest.SerializeToString()])


def search_response(hits: Iterable[Hit], next_page_token: str) -> pb.SearchMessagesResponse:
    """A page of messages in which something was found."""
    rest = pb.SearchMessagesResponse(next_page_token=next_page_token)
    parts = [part for hit in hits for part in _hit(hit)]
    return joined(pb.SearchMessagesResponse, [*parts, rest.SerializeToString()])


def _hit(hit: Hit) -> Iterator[bytes]:
    record, places = hit
    parts = [*_record(_HIT_RECORD, record)]
    told = pb.MessageHit(
        places=[
            pb.MessagePlace(
                field=pb.MessageField.ValueType(place.field), excerpt=excerpt_message(place)
            )
            for place in places
        ]
    ).SerializeToString()
    yield _HIT + wire.varint(sum(map(len, parts)) + len(told))
    yield from parts
    yield told


def _deliveries(tag: bytes, agent_id: str, deliveries: Sequence[Delivery]) -> Iterator[bytes]:
    recipient = wire.text(_RECIPIENT_ID, agent_id)
    for sequence, number, acknowledge_time, payload, see_time, _ in deliveries:
        receipt = _place(recipient, sequence, number)
        if acknowledge_time is see_time is None:
            receipt += _UNACKNOWLEDGED
        else:
            receipt += _told(
                Receipt(
                    recipient_id=agent_id,
                    sequence=sequence,
                    message_number=number,
                    acknowledge_time=acknowledge_time,
                    see_time=see_time,
                )
            )
        head = wire.nested(_DELIVERY_RECEIPT, receipt) + _head(_DELIVERY_MESSAGE, payload)
        yield tag + wire.varint(len(head) + len(payload)) + head
        yield payload


def _record(tag: bytes, record: Record) -> Iterator[bytes]:
    message, receipts = record
    head = _head(_RECORD_MESSAGE, message.payload)
    told = b"".join(wire.nested(_RECORD_RECEIPTS, _receipt(each)) for each in receipts)
    yield tag + wire.varint(len(head) + len(message.payload) + len(told)) + head
    yield message.payload
    yield told


def _head(tag: bytes, value: bytes) -> bytes:
    """What comes before a message within a message."""
    return tag + wire.varint(len(value))


def _receipt(receipt: Receipt) -> bytes:
    """What `edge.convert.receipt_message` makes, in bytes."""
    recipient = wire.text(_RECIPIENT_ID, receipt.recipient_id)
    return _place(recipient, receipt.sequence, receipt.message_number) + _told(receipt)


def _place(recipient: bytes, sequence: int, number: int) -> bytes:
    """Where a message is; `recipient` is its field already."""
    placed = recipient + wire.number(_SEQUENCE, sequence)
    return placed + wire.nested(_MESSAGE_ID, b"m%d" % number)


def _told(receipt: Receipt) -> bytes:
    """What became of a message."""
    times = (
        (_STATE_TIME, receipt.state_time),
        (_SEND_TIME, receipt.send_time),
        (_SEE_TIME, receipt.see_time),
    )
    said = [wire.nested(tag, wire.timestamp(time)) for tag, time in times if time is not None]
    return _STATES[receipt.state] + b"".join(said) + wire.text(_REASON, receipt.reason)


def agent_proto(present: PresentAgent) -> pb.Agent:
    """An agent, with what it has open."""
    agent, count = present
    return pb.Agent(
        agent_id=agent.agent_id,
        display_name=agent.display_name,
        labels=agent.labels,
        create_time=timestamp(agent.create_time),
        last_seen_time=timestamp(agent.last_seen_time),
        last_sequence=agent.last_sequence,
        unacknowledged_count=agent.unacknowledged_count,
        open_streams=count.open_streams,
        waiting_calls=count.waiting_calls,
        etag=agent.etag,
        remove_time=optional_timestamp(agent.remove_time),
        kind=pb.AgentKind.ValueType(agent.kind),
        first_sequence=agent.first_sequence,
    )
