"""A new message, and the bytes in which it is stored and delivered.

They are those of `dovetail.messaging.v1.Message`, whose field numbers stand here once more: the
store knows no protobuf. `tests/messaging/test_message_bytes.py` compares them with the contract.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from dovetail.server.store import wire
from dovetail.server.store.idempotency import IdempotencyKey
from dovetail.server.store.tables.attachments import Attachment
from dovetail.server.store.tables.events import TaskVerb
from dovetail.server.store.tables.input_options import InputOption

RECEIPT_BYTES = 90
"""The bytes of a receipt in a response beside its recipient's id, at most."""

RESPONSE_BYTES = 16
"""The bytes of a response beside those of its messages and their receipts, for each message."""


class Importance(IntEnum):
    """How much a message matters to its sender."""

    LOW = 1
    NORMAL = 2
    HIGH = 3


class MessageKind(IntEnum):
    """Whether an agent sent a message, or a change of a task or of mail wrote it."""

    MESSAGE = 1
    NOTICE = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class AskedQuestion:
    """What a question about a task is beside its text. Without a deadline it has no default."""

    task_etag: str
    options: Sequence[InputOption] = ()
    deadline_time: int | None = None
    default_answer: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class GivenAnswer:
    """What the answer to a question is beside its text."""

    option: str = ""
    is_default: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """A change of a task, as a notice reports it."""

    verb: TaskVerb
    task_id: str
    event_number: int
    actor_id: str
    assignee_id: str
    former_assignee_id: str
    question: AskedQuestion | None = None
    answer: GivenAnswer | None = None


class MailEvent(IntEnum):
    """What became of a message at its recipients. The numbers are those of the contract."""

    REJECTED = 1
    UNACKNOWLEDGED = 2
    RECIPIENT_REMOVED = 3
    LOOP_SUSPECTED = 4
    MUTUAL_WAIT = 5
    ASKED_AWAY = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class MailNotice:
    """What became of a message, as a notice reports it. Of recipients and tasks the first few."""

    event: MailEvent
    message_id: str
    recipient_ids: Sequence[str]
    recipient_count: int
    reason: str
    task_ids: Sequence[str] = ()
    message_count: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """The content of a message. `data` is a google.protobuf.Struct in bytes, or None."""

    subject: str = ""
    body: str = ""
    data: bytes | None = None
    importance: Importance = Importance.NORMAL
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    notice: Notice | None = None
    mail_notice: MailNotice | None = None
    attachments: Sequence[Attachment] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class NewMessage:
    """A message to append. With an empty `thread_id` it begins a new thread.

    From `expire_time` on its deliveries are not handed out; None: it does not expire. The message
    `cause_number` led to it, and before that others, `hop_count` in all; see `causes.py`.
    """

    sender_id: str
    recipient_ids: Sequence[str]
    kind: MessageKind
    content: Content
    thread_id: str = ""
    in_reply_to: str = ""
    task_id: str = ""
    repeat: IdempotencyKey | None = None
    group_ids: Sequence[str] = ()
    expire_time: int | None = None
    cause_number: int | None = None
    hop_count: int = 0
    depth: int = 0


SHOWN_RECIPIENTS_MAX = 10
"""Recipients of a message in a response; `ListReceipts` returns all."""

_MESSAGE_ID = wire.bytes_tag(1)
_SENDER_ID = wire.bytes_tag(2)
_RECIPIENT_IDS = wire.bytes_tag(3)
_SUBJECT_FIELD, _BODY_FIELD = 4, 5
_SUBJECT = wire.bytes_tag(_SUBJECT_FIELD)
_BODY = wire.bytes_tag(_BODY_FIELD)
_DATA = wire.bytes_tag(6)
_IMPORTANCE = wire.number_tag(7)
_THREAD_ID = wire.bytes_tag(8)
_IN_REPLY_TO = wire.bytes_tag(9)
_TASK_ID = wire.bytes_tag(10)
_LABELS = wire.bytes_tag(11)
_KIND = wire.number_tag(12)
_CREATE_TIME = wire.bytes_tag(13)
_NOTICE = wire.bytes_tag(14)
_RECIPIENT_COUNT = wire.number_tag(15)
_GROUP_IDS = wire.bytes_tag(16)
_EXPIRE_TIME = wire.bytes_tag(17)
_ATTACHMENTS = wire.bytes_tag(18)
_HOP_COUNT = wire.number_tag(19)
_MAIL_NOTICE = wire.bytes_tag(21)

_MAIL_EVENT = wire.number_tag(1)
_MAIL_MESSAGE_ID = wire.bytes_tag(2)
_MAIL_RECIPIENT_IDS = wire.bytes_tag(3)
_MAIL_RECIPIENT_COUNT = wire.number_tag(4)
_MAIL_REASON = wire.bytes_tag(5)
_MAIL_TASK_IDS = wire.bytes_tag(6)
_MAIL_MESSAGE_COUNT = wire.number_tag(10)

_NOTICE_VERB = wire.number_tag(1)
_NOTICE_TASK_ID = wire.bytes_tag(2)
_NOTICE_EVENT_NUMBER = wire.number_tag(3)
_NOTICE_ACTOR_ID = wire.bytes_tag(4)
_NOTICE_ASSIGNEE_ID = wire.bytes_tag(5)
_NOTICE_FORMER_ASSIGNEE_ID = wire.bytes_tag(6)
_NOTICE_QUESTION = wire.bytes_tag(7)
_NOTICE_ANSWER = wire.bytes_tag(8)

_QUESTION_TASK_ETAG = wire.bytes_tag(1)
_QUESTION_OPTIONS = wire.bytes_tag(2)
_QUESTION_DEADLINE_TIME = wire.bytes_tag(3)
_QUESTION_DEFAULT_ANSWER = wire.bytes_tag(4)

_OPTION_NAME = wire.bytes_tag(1)
_OPTION_DESCRIPTION = wire.bytes_tag(2)

_ANSWER_OPTION = wire.bytes_tag(1)
_ANSWER_IS_DEFAULT = wire.number_tag(2)

_ATTACHMENT_NAME = wire.bytes_tag(1)
_ATTACHMENT_MEDIA_TYPE = wire.bytes_tag(2)
_ATTACHMENT_SIZE = wire.number_tag(3)
_ATTACHMENT_SHA256 = wire.bytes_tag(4)
_ATTACHMENT_URL = wire.bytes_tag(6)


def message_id(number: int) -> str:
    """The id of a message."""
    return f"m{number}"


def encode(new: NewMessage, number: int, thread_id: str, create_time: int) -> bytes:
    """A message with what its commit gave to it."""
    content, text = new.content, wire.text
    shown = new.recipient_ids[:SHOWN_RECIPIENTS_MAX]
    parts = [
        text(_MESSAGE_ID, message_id(number)),
        text(_SENDER_ID, new.sender_id),
        *[text(_RECIPIENT_IDS, each) for each in shown],
        text(_SUBJECT, content.subject),
        text(_BODY, content.body),
        b"" if content.data is None else wire.nested(_DATA, content.data),
        wire.number(_IMPORTANCE, content.importance),
        text(_THREAD_ID, thread_id),
        text(_IN_REPLY_TO, new.in_reply_to),
        text(_TASK_ID, new.task_id),
        wire.text_map(_LABELS, content.labels) if content.labels else b"",
        wire.number(_KIND, new.kind),
        wire.nested(_CREATE_TIME, wire.timestamp(create_time)),
        _encode_notice(content.notice) if content.notice else b"",
        wire.number(_RECIPIENT_COUNT, len(new.recipient_ids)),
        *[text(_GROUP_IDS, each) for each in new.group_ids],
    ]
    if new.expire_time is not None:
        parts.append(wire.nested(_EXPIRE_TIME, wire.timestamp(new.expire_time)))
    parts += map(_encode_attachment, content.attachments)
    if new.hop_count:
        parts.append(wire.number(_HOP_COUNT, new.hop_count))
    if content.mail_notice:
        parts.append(_encode_mail_notice(content.mail_notice))
    return b"".join(parts)


HEAD_BYTES_MAX = 8 * 1024
"""A stored message has its subject within so many bytes: ids of 512 bytes, and 2 KiB of text."""

TITLE_CHARACTERS_MAX = 80


def title_of(head: bytes) -> str:
    """The subject of a stored message, of which these are the first HEAD_BYTES_MAX bytes.

    Of one without a subject, the beginning of its text, on one line.
    """
    return wire.text_of(head, _SUBJECT_FIELD) or beginning(wire.text_of(head, _BODY_FIELD))


def beginning(text: str) -> str:
    """The first words of a text, on one line."""
    words = " ".join(text[: 4 * TITLE_CHARACTERS_MAX].split())
    is_whole = len(words) <= TITLE_CHARACTERS_MAX
    return words if is_whole else f"{words[: TITLE_CHARACTERS_MAX - 1]}…"


def _encode_attachment(attachment: Attachment) -> bytes:
    """What is said of an attachment, without its bytes."""
    text, sha256 = wire.text, attachment.sha256
    fields = (
        text(_ATTACHMENT_NAME, attachment.name),
        text(_ATTACHMENT_MEDIA_TYPE, attachment.media_type),
        wire.number(_ATTACHMENT_SIZE, attachment.size),
        wire.nested(_ATTACHMENT_SHA256, sha256) if sha256 else b"",
        text(_ATTACHMENT_URL, attachment.url),
    )
    return wire.nested(_ATTACHMENTS, b"".join(fields))


def _encode_notice(notice: Notice) -> bytes:
    text = wire.text
    fields = (
        wire.number(_NOTICE_VERB, notice.verb),
        text(_NOTICE_TASK_ID, notice.task_id),
        wire.number(_NOTICE_EVENT_NUMBER, notice.event_number),
        text(_NOTICE_ACTOR_ID, notice.actor_id),
        text(_NOTICE_ASSIGNEE_ID, notice.assignee_id),
        text(_NOTICE_FORMER_ASSIGNEE_ID, notice.former_assignee_id),
        _encode_question(notice.question) if notice.question else b"",
        _encode_answer(notice.answer) if notice.answer else b"",
    )
    return wire.nested(_NOTICE, b"".join(fields))


def _encode_question(question: AskedQuestion) -> bytes:
    text = wire.text
    parts = [text(_QUESTION_TASK_ETAG, question.task_etag)]
    for each in question.options:
        option = text(_OPTION_NAME, each.name) + text(_OPTION_DESCRIPTION, each.description)
        parts.append(wire.nested(_QUESTION_OPTIONS, option))
    if question.deadline_time is not None:
        parts.append(wire.nested(_QUESTION_DEADLINE_TIME, wire.timestamp(question.deadline_time)))
    parts.append(text(_QUESTION_DEFAULT_ANSWER, question.default_answer))
    return wire.nested(_NOTICE_QUESTION, b"".join(parts))


def _encode_answer(answer: GivenAnswer) -> bytes:
    chosen = wire.text(_ANSWER_OPTION, answer.option)
    return wire.nested(_NOTICE_ANSWER, chosen + wire.number(_ANSWER_IS_DEFAULT, answer.is_default))


def _encode_mail_notice(notice: MailNotice) -> bytes:
    text = wire.text
    fields = (
        wire.number(_MAIL_EVENT, notice.event),
        text(_MAIL_MESSAGE_ID, notice.message_id),
        *[text(_MAIL_RECIPIENT_IDS, each) for each in notice.recipient_ids],
        wire.number(_MAIL_RECIPIENT_COUNT, notice.recipient_count),
        text(_MAIL_REASON, notice.reason),
        *[text(_MAIL_TASK_IDS, each) for each in notice.task_ids],
        wire.number(_MAIL_MESSAGE_COUNT, notice.message_count),
    )
    return wire.nested(_MAIL_NOTICE, b"".join(fields))


@dataclass(frozen=True, kw_only=True, slots=True)
class Texts:
    """What is searched of a message. `data` has the texts among its values."""

    subject: str
    body: str
    data: Sequence[str]


_SUBJECT_NUMBER, _BODY_NUMBER, _DATA_NUMBER = 4, 5, 6


def read_texts(payload: bytes) -> Texts:
    """The texts of a message that `encode` wrote."""
    found: dict[int, bytes] = {}
    for number, content in wire.pieces(payload):
        if number > _DATA_NUMBER:  # Fields are written in order.
            break
        found[number] = content
    return Texts(
        subject=found.get(_SUBJECT_NUMBER, b"").decode(),
        body=found.get(_BODY_NUMBER, b"").decode(),
        data=[*wire.struct_texts(found.get(_DATA_NUMBER, b""))],
    )


def response_bytes(new: NewMessage, payload: bytes) -> int:
    """An upper bound for the bytes of a response with the message and its receipts."""
    shown = new.recipient_ids[:SHOWN_RECIPIENTS_MAX]
    receipts = sum(RECEIPT_BYTES + len(each.encode()) for each in shown)
    return len(payload) + RESPONSE_BYTES + receipts


def taken_bytes(new: NewMessage, payload: bytes) -> int:
    """What a message takes of limits: its bytes in a response, and those that it brings."""
    brought = sum(each.size for each in new.content.attachments if each.data is not None)
    return response_bytes(new, payload) + brought
