"""The bytes that are stored and joined say the same as messages that protobuf builds."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, TypeVar, cast

from google.protobuf.message import Message as Built
from google.protobuf.struct_pb2 import Struct
from hypothesis import given, settings
from hypothesis import strategies as st

from dovetail.messaging.v1 import messaging_pb2 as m
from dovetail.server.edge.convert import receipt_message, timestamp
from dovetail.server.messaging import proto
from dovetail.server.messaging.receiving import Received
from dovetail.server.messaging.subscriptions import Mark, Response
from dovetail.server.store import wire
from dovetail.server.store.tables.attachments import Attachment
from dovetail.server.store.tables.deliveries import Receipt
from dovetail.server.store.tables.delivery_states import DeliveryState
from dovetail.server.store.tables.events import TaskVerb
from dovetail.server.store.tables.inboxes import Delivery
from dovetail.server.store.tables.input_options import InputOption
from dovetail.server.store.tables.message_bytes import (
    HEAD_BYTES_MAX,
    SHOWN_RECIPIENTS_MAX,
    AskedQuestion,
    Content,
    GivenAnswer,
    Importance,
    MailEvent,
    MailNotice,
    MessageKind,
    NewMessage,
    Notice,
    beginning,
    encode,
    response_bytes,
    title_of,
)
from dovetail.server.store.tables.messages import Message
from dovetail.types.v1 import types_pb2

NUMBERS = st.integers(1, 2**63 - 1)
FILES = st.builds(
    Attachment,
    name=st.text(max_size=40),
    media_type=st.text(max_size=40),
    size=st.just(0) | NUMBERS,
    sha256=st.just(b"") | st.binary(min_size=32, max_size=32),
    url=st.text(max_size=200),
    data=st.none() | st.just(b"never there"),
)
TIMES = st.integers(1, 253_402_300_799_999_999)
IDS = st.text(max_size=200)
NAMES = st.text(min_size=1, max_size=9)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
WHOLE = st.integers(-(2**53), 2**53)
LEAVES = st.none() | st.booleans() | WHOLE | FLOATS | st.text(max_size=200)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=20,
)
ENDINGS = (DeliveryState.REJECTED, DeliveryState.EXPIRED, DeliveryState.WITHDRAWN)
OBJECTS = st.dictionaries(st.text(), VALUES, max_size=5)

T = TypeVar("T", bound=Built)
Made = tuple[NewMessage, dict[str, Any] | None]


QUESTIONS = st.builds(
    AskedQuestion,
    task_etag=st.text(max_size=9),
    options=st.lists(st.builds(InputOption, st.text(max_size=9), st.text(max_size=9)), max_size=3),
    deadline_time=st.none() | TIMES,
    default_answer=st.text(max_size=40),
)
ANSWERS = st.builds(GivenAnswer, option=st.text(max_size=40), is_default=st.booleans())


@st.composite
def notices(draw: st.DrawFn) -> Notice:
    return Notice(
        verb=draw(st.sampled_from(TaskVerb)),
        task_id=draw(IDS),
        event_number=draw(NUMBERS),
        actor_id=draw(IDS),
        assignee_id=draw(IDS),
        former_assignee_id=draw(IDS),
        question=draw(st.none() | QUESTIONS),
        answer=draw(st.none() | ANSWERS),
    )


@st.composite
def mail_notices(draw: st.DrawFn) -> MailNotice:
    return MailNotice(
        event=draw(st.sampled_from(MailEvent)),
        message_id=draw(IDS),
        recipient_ids=draw(st.lists(NAMES, max_size=3)),
        recipient_count=draw(st.integers(0, 1_000)),
        reason=draw(st.text(max_size=200)),
        task_ids=draw(st.lists(NAMES, max_size=3)),
        message_count=draw(st.integers(0, 5_000)),
    )


@st.composite
def new_messages(draw: st.DrawFn) -> Made:
    """A message, and its structured content."""
    data = draw(st.none() | OBJECTS)
    content = Content(
        subject=draw(st.text()),
        body=draw(st.text(max_size=400)),
        data=None if data is None else wire.json_object(data),
        importance=draw(st.sampled_from(Importance)),
        labels=draw(st.dictionaries(st.text(), st.text(), max_size=4)),
        notice=draw(st.none() | notices()),
        mail_notice=draw(st.none() | mail_notices()),
        attachments=draw(st.lists(FILES, max_size=3)),
    )
    return NewMessage(
        sender_id=draw(IDS),
        recipient_ids=draw(st.lists(NAMES, min_size=1, max_size=SHOWN_RECIPIENTS_MAX + 3)),
        kind=draw(st.sampled_from(MessageKind)),
        content=content,
        in_reply_to=draw(IDS),
        task_id=draw(IDS),
        expire_time=draw(st.none() | TIMES),
        hop_count=draw(st.integers(0, 2**31 - 1)),
        group_ids=draw(st.lists(NAMES, max_size=3)),
    ), data


@st.composite
def receipts(draw: st.DrawFn) -> Receipt:
    return Receipt(
        recipient_id=draw(NAMES),
        sequence=draw(NUMBERS),
        message_number=draw(NUMBERS),
        acknowledge_time=draw(st.none() | TIMES),
        send_time=draw(st.none() | TIMES),
        see_time=draw(st.none() | TIMES),
        ending=draw(st.none() | st.sampled_from(ENDINGS)),
        reason=draw(st.text(max_size=200)),
    )


def struct(content: dict[str, Any]) -> Struct:
    made = Struct()
    made.update(content)
    return made


def built(made: Made, number: int, thread_id: str, create_time: int) -> m.Message:
    """The same message, as protobuf builds it."""
    new, data = made
    content = new.content
    notice = content.notice
    return m.Message(
        message_id=f"m{number}",
        sender_id=new.sender_id,
        recipient_ids=new.recipient_ids[:10],
        recipient_count=len(new.recipient_ids),
        group_ids=new.group_ids,
        subject=content.subject,
        body=content.body,
        data=None if data is None else struct(data),
        importance=m.Importance.ValueType(content.importance),
        thread_id=thread_id,
        in_reply_to=new.in_reply_to,
        task_id=new.task_id,
        labels=content.labels,
        kind=m.MessageKind.ValueType(new.kind),
        create_time=timestamp(create_time),
        attachments=[
            types_pb2.Attachment(
                name=each.name,
                media_type=each.media_type,
                size=each.size,
                sha256=each.sha256,
                url=each.url or None,  # pyright: ignore[reportArgumentType]
            )
            for each in content.attachments
        ],
        notice=notice
        and m.Notice(
            verb=types_pb2.TaskVerb.ValueType(notice.verb),
            task_id=notice.task_id,
            event_number=notice.event_number,
            actor_id=notice.actor_id,
            assignee_id=notice.assignee_id,
            former_assignee_id=notice.former_assignee_id,
            question=notice.question and built_question(notice.question),
            answer=notice.answer
            and m.GivenAnswer(option=notice.answer.option, is_default=notice.answer.is_default),
        ),
        expire_time=None if new.expire_time is None else timestamp(new.expire_time),
        hop_count=new.hop_count,
        mail_notice=content.mail_notice and built_mail_notice(content.mail_notice),
    )


def built_question(question: AskedQuestion) -> m.AskedQuestion:
    deadline_time = question.deadline_time
    return m.AskedQuestion(
        task_etag=question.task_etag,
        options=[
            types_pb2.InputOption(name=each.name, description=each.description)
            for each in question.options
        ],
        deadline_time=None if deadline_time is None else timestamp(deadline_time),
        default_answer=question.default_answer,
    )


def built_mail_notice(notice: MailNotice) -> m.MailNotice:
    return m.MailNotice(
        event=m.MailEvent.ValueType(notice.event),
        message_id=notice.message_id,
        recipient_ids=notice.recipient_ids,
        recipient_count=notice.recipient_count,
        reason=notice.reason,
        task_ids=notice.task_ids,
        message_count=notice.message_count,
    )


def read_back(kind: type[T], response: Built) -> T:
    """What a caller reads of a response that is bytes, whatever it is declared to be."""
    return kind.FromString(cast(bytes, response))


def canonical(message: Built) -> bytes:
    """Bytes that are the same for equal messages, and differ for -0.0 and 0.0."""
    return message.SerializeToString(deterministic=True)


@settings(deadline=None, max_examples=300)
@given(new_messages(), NUMBERS, IDS, TIMES)
def test_the_bytes_of_a_message_are_read_as_the_message(
    made: Made, number: int, thread_id: str, create_time: int
) -> None:
    payload = encode(made[0], number, thread_id, create_time)
    expected = built(made, number, thread_id, create_time)
    assert canonical(m.Message.FromString(payload)) == canonical(expected)
    assert len(payload) == expected.ByteSize()
    content = made[0].content
    assert title_of(payload[:HEAD_BYTES_MAX]) == (content.subject or beginning(content.body))


@settings(deadline=None, max_examples=200)
@given(OBJECTS)
def test_structured_content_says_in_bytes_what_its_json_says(
    content: dict[str, Any],
) -> None:
    read = Struct.FromString(wire.json_object(json.loads(json.dumps(content))))
    assert canonical(read) == canonical(struct(content))


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(new_messages(), receipts()), max_size=4), NAMES, NUMBERS, NUMBERS)
def test_joined_deliveries_are_read_as_those_that_protobuf_builds(
    sent: list[tuple[Made, Receipt]], agent_id: str, first: int, second: int
) -> None:
    told = [
        (made, replace(receipt, recipient_id=agent_id, send_time=None, ending=None, reason=""))
        for made, receipt in sent
    ]
    deliveries = [
        Delivery(
            sequence=receipt.sequence,
            message_number=receipt.message_number,
            acknowledge_time=receipt.acknowledge_time,
            see_time=receipt.see_time,
            payload=encode(made[0], receipt.message_number, "thread", 1),
        )
        for made, receipt in told
    ]
    expected = [
        m.Delivery(
            receipt=receipt_message(receipt),
            message=built(made, receipt.message_number, "thread", 1),
        )
        for made, receipt in told
    ]
    response = Response(
        agent_id=agent_id, deliveries=deliveries, through_sequence=first, mark=Mark.CAUGHT_UP
    )
    streamed = read_back(m.SubscribeInboxResponse, proto.stream_response(response))
    assert canonical(streamed) == canonical(
        m.SubscribeInboxResponse(
            deliveries=expected, through_sequence=first, mark=m.STREAM_MARK_CAUGHT_UP
        )
    )
    received = Received(
        agent_id=agent_id,
        deliveries=deliveries,
        acknowledged_count=first,
        unacknowledged_count=second,
        taken=lambda: None,
    )
    answered = read_back(m.ReceiveMessagesResponse, proto.received_response(received))
    assert canonical(answered) == canonical(
        m.ReceiveMessagesResponse(
            deliveries=expected, acknowledged_count=first, unacknowledged_count=second
        )
    )


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.tuples(new_messages(), NUMBERS, st.lists(receipts(), max_size=4)), max_size=4),
    st.text(max_size=300),
)
def test_joined_records_are_read_as_those_that_protobuf_builds(
    found: list[tuple[Made, int, list[Receipt]]], token: str
) -> None:
    records = [
        (
            Message(
                number=number,
                sender_id=made[0].sender_id,
                recipient_ids=tuple(made[0].recipient_ids),
                payload=encode(made[0], number, "thread", 1),
            ),
            told,
        )
        for made, number, told in found
    ]
    expected = [
        m.MessageRecord(
            message=built(made, number, "thread", 1), receipts=map(receipt_message, told)
        )
        for made, number, told in found
    ]
    listed = read_back(m.ListMessagesResponse, proto.listed_response(records, token))
    assert canonical(listed) == canonical(
        m.ListMessagesResponse(records=expected, next_page_token=token)
    )
    for record, each in zip(records, expected, strict=True):
        one = read_back(m.GetMessageResponse, proto.found_response(record))
        assert canonical(one) == canonical(m.GetMessageResponse(record=each))


@settings(deadline=None, max_examples=100)
@given(new_messages(), NUMBERS, NUMBERS, TIMES)
def test_the_stored_size_bounds_what_a_response_has_of_a_message(
    made: Made, number: int, sequence: int, time: int
) -> None:
    new = made[0]
    payload = encode(new, number, "thread", time)
    shown = new.recipient_ids[:SHOWN_RECIPIENTS_MAX]
    told = [
        Receipt(
            recipient_id=each,
            sequence=sequence,
            message_number=number,
            acknowledge_time=time,
            send_time=time,
            see_time=time,
        )
        for each in shown
    ]
    message = Message(
        number=number,
        sender_id=new.sender_id,
        recipient_ids=tuple(new.recipient_ids),
        payload=payload,
    )
    listed = cast(bytes, proto.listed_response([(message, told)], ""))
    delivery = Delivery(sequence, number, time, payload, time)
    response = Response(
        agent_id=shown[0], deliveries=[delivery], through_sequence=0, mark=Mark.NONE
    )
    assert len(listed) <= response_bytes(new, payload)
    assert len(cast(bytes, proto.stream_response(response))) <= response_bytes(new, payload)
