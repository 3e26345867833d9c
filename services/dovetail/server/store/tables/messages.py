"""Messages: append one with its deliveries, find one, list them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import IntEnum
from typing import Any

from peewee import SQL, Expression

from dovetail.server.store import filters
from dovetail.server.store.filters import EVER, TimeRange, within
from dovetail.server.store.idempotency import IdempotencyKey
from dovetail.server.store.pages import Page, Stretch, take_bytes
from dovetail.server.store.schema import DeliveryRow, MessageRow
from dovetail.server.store.sets import Index, Row, Table, plain
from dovetail.server.store.tables import deliveries
from dovetail.server.store.tables.deliveries import DeliveryState, Receipt
from dovetail.server.store.tables.events import TaskVerb
from dovetail.server.store.transaction import Need, Snapshot, Transaction


class Importance(IntEnum):
    """How much a message matters to its sender."""

    LOW = 1
    NORMAL = 2
    HIGH = 3


class MessageKind(IntEnum):
    """Whether an agent or a change of a task caused a message."""

    MESSAGE = 1
    NOTICE = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """A change of a task, as a notice reports it."""

    verb: TaskVerb
    task_id: str
    event_number: int
    actor_id: str
    assignee_id: str
    former_assignee_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """The content of a message. `data_json` is an object in JSON, or None."""

    subject: str = ""
    body: str = ""
    data_json: str | None = None
    importance: Importance = Importance.NORMAL
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    notice: Notice | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """A message, as sent."""

    number: int
    sender_id: str
    recipient_ids: tuple[str, ...]
    thread_id: str
    in_reply_to: str
    task_id: str
    kind: MessageKind
    create_time: int
    content: Content

    @property
    def message_id(self) -> str:
        """The id outside of the store."""
        return message_id(self.number)


@dataclass(frozen=True, kw_only=True, slots=True)
class NewMessage:
    """A message to append. With an empty `thread_id` it begins a new thread."""

    sender_id: str
    recipient_ids: Sequence[str]
    kind: MessageKind
    content: Content
    size: int
    thread_id: str = ""
    in_reply_to: str = ""
    task_id: str = ""
    repeat: IdempotencyKey | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """What was written for a message."""

    number: int
    thread_id: str
    create_time: int
    receipts: tuple[Receipt, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class MessageFilter:
    """Which messages: each condition that is set must hold."""

    sender_ids: Sequence[str] = ()
    thread_id: str = ""
    task_id: str = ""
    kinds: Sequence[MessageKind] = ()
    minimum_importance: Importance | None = None
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    create_time: TimeRange = EVER


def message_id(number: int) -> str:
    """The id of a message."""
    return f"m{number}"


def message_number(text: str) -> int | None:
    """The number in an id; None if no message can have this id."""
    digits = text[1:]
    plain = text[:1] == "m" and digits.isascii() and digits.isdigit() and digits[0] != "0"
    return int(digits) if plain and len(digits) <= 18 else None


_encode = json.JSONEncoder(ensure_ascii=False).encode

# The bytes of a message in a response beside its content and ids, and of a receipt beside its id.
ENVELOPE_BYTES = 128
RECEIPT_BYTES = 48
SHOWN_RECIPIENTS_MAX = 10
"""Recipients of a message in a response; `ListReceipts` returns all."""

COLUMNS = (
    MessageRow.number,
    MessageRow.sender_id,
    MessageRow.recipients,
    MessageRow.thread_id,
    MessageRow.in_reply_to,
    MessageRow.task_id,
    MessageRow.kind,
    MessageRow.create_time,
    MessageRow.subject,
    MessageRow.body,
    MessageRow.data,
    MessageRow.importance,
    MessageRow.labels,
    MessageRow.notice,
)
MESSAGES: Table[Row] = Table(
    (*COLUMNS, MessageRow.size, MessageRow.request_id, MessageRow.request_hash),
    1,
    plain(1),
    is_large=True,
)
_REPEATS = Index(MESSAGES, (MessageRow.sender_id, MessageRow.request_id))
# Repeats the condition of the index on messages about tasks, or SQLite would not use it.
_HAS_TASK = MessageRow.task_id != SQL("''")


@dataclass(frozen=True, kw_only=True, slots=True)
class Thread:
    """The thread of a message, and the agents that may see it: its sender and its recipients."""

    thread_id: str
    party_ids: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ListRequest:
    """A page of messages: which ones, in which order, after which number.

    `party_id`: only those that this agent sent or received; empty: all.
    """

    party_id: str
    recipient_id: str
    states: Sequence[DeliveryState]
    filter: MessageFilter
    newest_first: bool
    after: int | None
    most: int
    most_bytes: int


def append(transaction: Transaction, new: NewMessage, last_sequences: Mapping[str, int]) -> Sent:
    """Write a message and a delivery for each recipient.

    `last_sequences` has the last sequence in the inbox of each recipient.
    """
    team = transaction.team
    number = team.next_message()
    thread_id = new.thread_id or message_id(number)
    content, repeat = new.content, new.repeat
    transaction.add(
        MESSAGES,
        (
            number,
            new.sender_id,
            _encode(list(new.recipient_ids)),
            thread_id,
            new.in_reply_to,
            new.task_id,
            int(new.kind),
            team.stamp,
            content.subject,
            content.body,
            content.data_json,
            int(content.importance),
            filters.encode_labels(content.labels),
            _notice_json(content.notice) if content.notice else None,
            _response_bytes(new, thread_id),
            repeat and repeat.key,
            repeat and repeat.request_hash,
        ),
    )
    receipts = tuple(
        Receipt(
            recipient_id=agent_id,
            sequence=last_sequences[agent_id] + 1,
            message_number=number,
            acknowledge_time=None,
        )
        for agent_id in new.recipient_ids
    )
    deliveries.add(transaction, receipts)
    return Sent(number=number, thread_id=thread_id, create_time=team.stamp, receipts=receipts)


def need(sender_id: str, repeat: IdempotencyKey | None, in_reply_to: str) -> list[Need]:
    """What a unit needs that sends a message."""
    number = message_number(in_reply_to)
    needs = [Need(MESSAGES.by_key, (number,))] if number else []
    return [*needs, Need(_REPEATS, (sender_id, repeat.key))] if repeat else needs


def find_repeat(
    snapshot: Snapshot, sender_id: str, repeat: IdempotencyKey
) -> tuple[Sent, bytes] | None:
    """What an earlier request with this id sent, and the hash of that request; or None."""
    row = snapshot.find(_REPEATS, sender_id, repeat.key)
    if row is None:
        return None
    message = from_row(row[: len(COLUMNS)])
    sent = Sent(
        number=message.number,
        thread_id=message.thread_id,
        create_time=message.create_time,
        receipts=tuple(deliveries.receipts(snapshot, message.number, message.recipient_ids)),
    )
    return sent, bytes(row[-1])


def find(snapshot: Snapshot, number: int) -> Message | None:
    """One message, or None."""
    row = snapshot.find(MESSAGES.by_key, number)
    return from_row(row[: len(COLUMNS)]) if row else None


def thread_of(snapshot: Snapshot, number: int) -> Thread | None:
    """The thread of a message, or None where there is no such message."""
    row = snapshot.find(MESSAGES.by_key, number)
    if row is None:
        return None
    _, sender_id, recipients, thread_id, *_ = row
    return Thread(thread_id=thread_id, party_ids=(sender_id, *json.loads(recipients)))


def page(snapshot: Snapshot, asked: ListRequest) -> Page[Message]:
    """A page of at most `most` messages and `most_bytes`, but at least one."""
    mine, number = MessageRow.team_id == snapshot.team_id, MessageRow.number
    stretch = Stretch(newest_first=asked.newest_first, after=asked.after)
    wanted = conditions(snapshot, asked.filter)
    if (wanted or asked.states or asked.party_id) and not _has_index(asked):
        stretch = stretch.step(snapshot, number, mine)
    if asked.recipient_id or asked.states:
        wanted.append(_delivered(snapshot.team_id, asked.recipient_id, asked.states, stretch))
    if asked.party_id:
        # A recipient may see its own delivery only, so the states select by that one too.
        sent = MessageRow.sender_id == asked.party_id
        wanted.append(sent | _delivered(snapshot.team_id, asked.party_id, asked.states, stretch))
    order = stretch.order(number)
    query = MessageRow.select(number, MessageRow.size).where(mine, *stretch.of(number), *wanted)
    sizes = snapshot.select(query.order_by(order).limit(asked.most + 1))
    numbers = take_bytes(((each, size) for each, size in sizes[: asked.most]), asked.most_bytes)
    chosen = MessageRow.select(*COLUMNS).where(mine, number.in_(numbers))
    found = [from_row(row) for row in snapshot.select(chosen.order_by(order))]
    return Page(found, numbers[-1] if len(numbers) < len(sizes) else stretch.until)


def _has_index(asked: ListRequest) -> bool:
    """Whether an index fits the request, so that few rows are read in vain."""
    return bool(asked.filter.thread_id or asked.filter.task_id or asked.recipient_id)


def conditions(snapshot: Snapshot, filter: MessageFilter) -> list[Expression]:
    """A filter as conditions on messages."""
    tests = (
        (filter.sender_ids, MessageRow.sender_id.in_(list(filter.sender_ids))),
        (filter.thread_id, MessageRow.thread_id == filter.thread_id),
        (filter.task_id, (MessageRow.task_id == filter.task_id) & _HAS_TASK),
        (filter.kinds, MessageRow.kind.in_(list(filter.kinds))),
        (
            filter.minimum_importance is not None,
            MessageRow.importance >= filter.minimum_importance,
        ),
    )
    chosen = [condition for wanted, condition in tests if wanted]
    chosen += within(MessageRow.create_time, filter.create_time)
    return [*chosen, *filters.having_labels(snapshot, MessageRow.labels, filter.labels)]


def from_row(row: Row) -> Message:
    """The message of a row of COLUMNS."""
    values = dict(zip((column.name for column in COLUMNS), row, strict=True))
    notice = values["notice"]
    return Message(
        number=values["number"],
        sender_id=values["sender_id"],
        recipient_ids=tuple(json.loads(values["recipients"])),
        thread_id=values["thread_id"],
        in_reply_to=values["in_reply_to"],
        task_id=values["task_id"],
        kind=MessageKind(values["kind"]),
        create_time=values["create_time"],
        content=Content(
            subject=values["subject"],
            body=values["body"],
            data_json=values["data"],
            importance=Importance(values["importance"]),
            labels=filters.decode_labels(values["labels"]),
            notice=_notice(json.loads(notice)) if notice else None,
        ),
    )


def _notice_json(notice: Notice) -> str:
    return json.dumps(asdict(notice) | {"verb": notice.verb.name})


def _notice(fields: dict[str, Any]) -> Notice:
    fields["verb"] = TaskVerb[fields["verb"]]
    return Notice(**fields)


def _delivered(
    team_id: str, recipient_id: str, states: Sequence[int], stretch: Stretch
) -> Expression:
    """A condition: has a delivery, in one inbox or any, in any of these states."""
    conditions = deliveries.in_states(states)
    if stretch.until is not None:
        conditions += stretch.of(DeliveryRow.message_number)
    if recipient_id:
        conditions.append(DeliveryRow.agent_id == recipient_id)
    matching = DeliveryRow.select(DeliveryRow.message_number).where(
        DeliveryRow.team_id == team_id, *conditions
    )
    return MessageRow.number.in_(matching)


def _response_bytes(new: NewMessage, thread_id: str) -> int:
    """An upper bound for the bytes of a response with the message and its receipts."""
    shown = new.recipient_ids[:SHOWN_RECIPIENTS_MAX]
    # Each recipient is named twice: by the message and by its receipt.
    ids = [new.sender_id, thread_id, new.in_reply_to, new.task_id, *shown, *shown]
    notice = new.content.notice
    if notice:
        ids += [notice.task_id, notice.actor_id, notice.assignee_id, notice.former_assignee_id]
    receipts = RECEIPT_BYTES * len(shown)
    return new.size + ENVELOPE_BYTES + receipts + sum(len(each.encode()) for each in ids)
