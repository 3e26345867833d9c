"""Messages in searches: what is indexed of them, and what finds them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from dovetail.server.store import filters
from dovetail.server.store.pages import Page, take_bytes
from dovetail.server.store.queries import descending
from dovetail.server.store.schema import MessageRow, TeamRow
from dovetail.server.store.search.index import DocumentKind, Span
from dovetail.server.store.search.places import Field
from dovetail.server.store.search.plans import Document, document, label_tags, plan, tag
from dovetail.server.store.search.queries import Query
from dovetail.server.store.search.words import document_words
from dovetail.server.store.tables import messages, search, search_pages
from dovetail.server.store.tables.message_bytes import Importance, read_texts
from dovetail.server.store.tables.messages import Message, MessageFilter
from dovetail.server.store.tables.search import Bite, Corpus, Item, Lag
from dovetail.server.store.tables.search_pages import Hit, PageRequest, Sized
from dovetail.server.store.transaction import Snapshot, Statement, param


class MessageField(IntEnum):
    """What is searched of a message, with the numbers of the contract."""

    SUBJECT = 1
    BODY = 2
    DATA = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class MessageSearch:
    """A page of messages in which a query is found.

    `party_id`: only those that this agent sent or received; empty: all. `before`: the number before
    which the page begins; None: the newest.
    """

    query: Query
    party_id: str
    recipient_id: str
    filter: MessageFilter
    before: int | None
    most: int
    most_bytes: int


# The tags of a message: one letter each.
_SENDER, _RECIPIENT, _THREAD, _TASK, _KIND, _IMPORTANCE, _LABEL = "srtkoil"

_HEADS = Statement(
    MessageRow.select(
        MessageRow.number,
        MessageRow.size,
        MessageRow.thread_id,
        MessageRow.task_id,
        MessageRow.kind,
        MessageRow.importance,
        MessageRow.labels,
    )
    .where(MessageRow.team_id == param("team_id"), MessageRow.number > param("after"))
    .order_by(MessageRow.number)
    .limit(param("most"))
)
_FIRST_FROM = Statement(
    MessageRow.select(MessageRow.number, MessageRow.create_time)
    .where(MessageRow.team_id == param("team_id"), MessageRow.number >= param("number"))
    .order_by(MessageRow.number)
    .limit(1)
)


def page(snapshot: Snapshot, asked: MessageSearch) -> Page[Hit[Message]]:
    """A page of messages, the newest first."""
    opened = search.open_search(snapshot, DocumentKind.MESSAGE, plan(asked.query, _tags(asked)))
    if opened is None:
        return Page([], None)
    end = MESSAGES.lag(snapshot).last + 1
    span = Span(1, min(end, asked.before or end))
    span = search_pages.span_of(snapshot, _FIRST_FROM, asked.filter.create_time, span)
    request = PageRequest(
        query=asked.query, span=span, most=asked.most, most_bytes=asked.most_bytes
    )
    return search_pages.page(snapshot, opened, request, _Messages(snapshot, asked))


class _Messages:
    """The messages that a search may find."""

    def __init__(self, snapshot: Snapshot, asked: MessageSearch) -> None:
        self._snapshot = snapshot
        self._wanted = messages.conditions(snapshot, asked.filter)
        self._party_id = asked.party_id
        self._recipient_id = asked.recipient_id

    def accepted(self, numbers: Sequence[int]) -> list[Sized]:
        """Those that the filter chooses and the reader may see."""
        number = MessageRow.number
        columns = (number, MessageRow.size, MessageRow.sender_id, MessageRow.recipients)
        chosen = MessageRow.select(*columns).where(
            MessageRow.team_id == self._snapshot.team_id, number.in_(list(numbers)), *self._wanted
        )
        rows = self._snapshot.select(chosen.order_by(descending(number)))
        return [
            Sized(each, size)
            for each, size, sender_id, recipients in rows
            if self._may_find(sender_id, recipients)
        ]

    def read(self, numbers: Sequence[int]) -> list[tuple[int, Message, Sequence[Field]]]:
        """Messages, and their texts."""
        found = messages.read(self._snapshot, numbers)
        return [(each.number, each, [*_fields(each.payload)]) for each in found]

    def _may_find(self, sender_id: str, recipients: str) -> bool:
        if not self._party_id and not self._recipient_id:
            return True
        recipient_ids: list[str] = json.loads(recipients)
        if self._recipient_id and self._recipient_id not in recipient_ids:
            return False
        return self._party_id in ("", sender_id, *recipient_ids)


def _fields(payload: bytes) -> Iterator[Field]:
    texts = read_texts(payload)
    yield MessageField.SUBJECT, texts.subject
    yield MessageField.BODY, texts.body
    for each in texts.data:
        yield MessageField.DATA, each


def _tags(asked: MessageSearch) -> Iterator[list[str]]:
    """Of which tags a message that is asked for has one each."""
    filter, party = asked.filter, asked.party_id
    yield [tag(_SENDER, party), tag(_RECIPIENT, party)] if party else []
    yield [tag(_RECIPIENT, asked.recipient_id)] if asked.recipient_id else []
    yield [tag(_SENDER, each) for each in filter.sender_ids]
    yield [tag(_THREAD, filter.thread_id)] if filter.thread_id else []
    yield [tag(_TASK, filter.task_id)] if filter.task_id else []
    yield [tag(_KIND, str(int(each))) for each in set(filter.kinds)]
    least = filter.minimum_importance or Importance.LOW
    above = [each for each in Importance if each >= least] if least > Importance.LOW else []
    yield [tag(_IMPORTANCE, str(int(each))) for each in above]
    yield from ([each] for each in label_tags(_LABEL, filter.labels))


def _read_bite(snapshot: Snapshot, lag: Lag) -> Bite:
    """The messages that follow those that are indexed."""
    heads = snapshot.rows(_HEADS, after=lag.through, most=search.DOCUMENTS_MAX)
    taken = take_bytes(((head, head[1]) for head in heads), search.BITE_BYTES_MAX)
    found = {each.number: each for each in messages.read(snapshot, [head[0] for head in taken])}
    items = (Item(head[0], head[0], _document(found[head[0]], head[2:])) for head in taken)
    is_all = len(taken) == len(heads) < search.DOCUMENTS_MAX
    return search.take_bite(lag, items, is_all)


def _document(message: Message, head: Sequence[object]) -> Document:
    thread_id, task_id, kind, importance, labels = head
    tags = [
        tag(_SENDER, message.sender_id),
        *(tag(_RECIPIENT, each) for each in message.recipient_ids),
        tag(_THREAD, str(thread_id)),
        tag(_TASK, str(task_id)),
        tag(_KIND, str(kind)),
        tag(_IMPORTANCE, str(importance)),
        *label_tags(_LABEL, filters.decode_labels(str(labels))),
    ]
    words = document_words(text for _, text in _fields(message.payload))
    return document(message.number, words, tags)


MESSAGES = Corpus(DocumentKind.MESSAGE, TeamRow.last_message, _read_bite)
"""The messages of a team."""
