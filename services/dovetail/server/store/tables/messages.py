"""Messages: append one with its deliveries, find one, list them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from peewee import SQL, Expression

from dovetail.server.store import filters, wire
from dovetail.server.store.filters import EVER, TimeRange, within
from dovetail.server.store.idempotency import IdempotencyKey
from dovetail.server.store.pages import Page, Stretch, take_bytes
from dovetail.server.store.schema import DeliveryRow, MessageRow
from dovetail.server.store.sets import Codec, Index, Table
from dovetail.server.store.tables import attachments, deliveries
from dovetail.server.store.tables.deliveries import Carried, Receipt
from dovetail.server.store.tables.delivery_states import DeliveryState
from dovetail.server.store.tables.events import TaskVerb
from dovetail.server.store.tables.message_bytes import (
    Content,
    Importance,
    MessageKind,
    NewMessage,
    Notice,
    encode,
    message_id,
    response_bytes,
    taken_bytes,
)
from dovetail.server.store.transaction import Need, Snapshot, Transaction


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """A message, as sent: the bytes in which it is delivered, and who may read it."""

    number: int
    sender_id: str
    recipient_ids: tuple[str, ...]
    payload: bytes


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


def message_number(text: str) -> int | None:
    """The number in an id; None if no message can have this id."""
    digits = text[1:]
    plain = text[:1] == "m" and digits.isascii() and digits.isdigit() and digits[0] != "0"
    return int(digits) if plain and len(digits) <= 18 else None


_encode_json = json.JSONEncoder(ensure_ascii=False).encode


class MessageRecord(NamedTuple):
    """A message as it is stored. What is not searched is in `payload` alone.

    Before there was a payload, `subject`, `body` and `data` had the content; now they are empty.
    """

    number: int
    sender_id: str
    recipients: str
    thread_id: str
    in_reply_to: str
    task_id: str
    kind: int
    create_time: int
    subject: str
    body: str
    data: str | None
    importance: int
    labels: str
    notice: str | None
    size: int
    request_id: str | None
    request_hash: bytes | None
    payload: bytes | None
    cause_number: int | None

    @property
    def recipient_ids(self) -> tuple[str, ...]:
        """The agents to which it was sent."""
        return tuple(json.loads(self.recipients))


_COLUMNS = (
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
    MessageRow.size,
    MessageRow.request_id,
    MessageRow.request_hash,
    MessageRow.payload,
    MessageRow.cause_number,
)
MESSAGES: Table[MessageRecord] = Table(
    _COLUMNS,
    1,
    Codec(decode=MessageRecord._make, encode=tuple, key_of=lambda record: record[:1]),
    is_large=True,
)
_REPEATS = Index(MESSAGES, (MessageRow.sender_id, MessageRow.request_id))
# Repeats the condition of the index on messages about tasks, or SQLite would not use it.
_HAS_TASK = MessageRow.task_id != SQL("''")


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
    payload = encode(new, number, thread_id, team.stamp)
    record = MessageRecord(
        number,
        new.sender_id,
        _encode_json(list(new.recipient_ids)),
        thread_id,
        new.in_reply_to,
        new.task_id,
        int(new.kind),
        team.stamp,
        subject="",
        body="",
        data=None,
        importance=int(content.importance),
        labels=filters.encode_labels(content.labels),
        notice=_notice_json(content.notice) if content.notice else None,
        size=response_bytes(new, payload),
        request_id=repeat and repeat.key,
        request_hash=repeat and repeat.request_hash,
        payload=payload,
        cause_number=new.cause_number,
    )
    transaction.add(MESSAGES, record)
    attachments.add_to_message(transaction, number, content.attachments)
    receipts = tuple(
        Receipt(
            recipient_id=agent_id,
            sequence=last_sequences[agent_id] + 1,
            message_number=number,
            acknowledge_time=None,
        )
        for agent_id in new.recipient_ids
    )
    taken = taken_bytes(new, payload)
    if new.kind is MessageKind.NOTICE:
        team.keep_notice(taken)
        taken = 0
    else:
        team.keep_message(taken)
    carried = Carried(taken, new.expire_time, new.hop_count or None, new.depth or None)
    deliveries.add(transaction, receipts, payload, carried)
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
    record = snapshot.find(_REPEATS, sender_id, repeat.key)
    if record is None or record.request_hash is None:
        return None
    sent = Sent(
        number=record.number,
        thread_id=record.thread_id,
        create_time=record.create_time,
        receipts=tuple(deliveries.receipts(snapshot, record.number, record.recipient_ids)),
    )
    return sent, bytes(record.request_hash)


def following(snapshot: Snapshot, first: Sent, count: int) -> list[Sent]:
    """What was sent after a message in the same batch, so many; without receipts."""
    if not count:
        return []
    number = MessageRow.number
    query = MessageRow.select(number, MessageRow.thread_id).where(
        MessageRow.team_id == snapshot.team_id,
        number > first.number,
        number <= first.number + count,
    )
    return [
        Sent(number=number, thread_id=thread_id, create_time=first.create_time, receipts=())
        for number, thread_id in snapshot.select(query.order_by(number))
    ]


def find(snapshot: Snapshot, number: int) -> Message | None:
    """One message, or None."""
    record = snapshot.find(MESSAGES.by_key, number)
    if record is None:
        return None
    return Message(
        number=number,
        sender_id=record.sender_id,
        recipient_ids=record.recipient_ids,
        payload=record.payload or _old_payload(record),
    )


def notice_of(snapshot: Snapshot, number: int) -> tuple[int | None, tuple[str, ...]]:
    """Of which event a message is the notice, and its recipients; None: there is none."""
    record = snapshot.find(MESSAGES.by_key, number)
    if record is None or record.notice is None:
        return None, ()
    return json.loads(record.notice)["event_number"], record.recipient_ids


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
    found = read(snapshot, numbers)
    return Page(found, numbers[-1] if len(numbers) < len(sizes) else stretch.until)


def read(snapshot: Snapshot, numbers: Sequence[int]) -> list[Message]:
    """Those of these messages that there are, in the same order."""
    columns = (
        MessageRow.number,
        MessageRow.sender_id,
        MessageRow.recipients,
        MessageRow.payload,
    )
    chosen = MessageRow.select(*columns).where(
        MessageRow.team_id == snapshot.team_id, MessageRow.number.in_(list(numbers))
    )
    rows = snapshot.select(chosen)
    old = old_payloads(snapshot, [row[0] for row in rows if row[-1] is None])
    found = {
        each: Message(
            number=each,
            sender_id=sender_id,
            recipient_ids=tuple(json.loads(recipients)),
            payload=payload or old[each],
        )
        for each, sender_id, recipients, payload in rows
    }
    return [found[each] for each in numbers if each in found]


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


def old_payloads(snapshot: Snapshot, numbers: Sequence[int]) -> dict[int, bytes]:
    """The payloads of messages that were written when none was stored."""
    if not numbers:
        return {}
    query = MessageRow.select(*_COLUMNS).where(
        MessageRow.team_id == snapshot.team_id, MessageRow.number.in_(list(numbers))
    )
    records = map(MessageRecord._make, snapshot.select(query))
    return {record.number: _old_payload(record) for record in records}


def _old_payload(record: MessageRecord) -> bytes:
    content = Content(
        subject=record.subject,
        body=record.body,
        data=None if record.data is None else wire.json_object(json.loads(record.data)),
        importance=Importance(record.importance),
        labels=filters.decode_labels(record.labels),
        notice=_notice(json.loads(record.notice)) if record.notice else None,
    )
    new = NewMessage(
        sender_id=record.sender_id,
        recipient_ids=record.recipient_ids,
        kind=MessageKind(record.kind),
        content=content,
        in_reply_to=record.in_reply_to,
        task_id=record.task_id,
    )
    return encode(new, record.number, record.thread_id, record.create_time)


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
