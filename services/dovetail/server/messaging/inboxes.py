"""Inboxes: the rules of sending, acknowledging and finding messages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dovetail.server.access.caller import Caller
from dovetail.server.edge.paging import PAGE_BYTES, Order, Paging
from dovetail.server.edge.validation import Checks, shown
from dovetail.server.errors import NotFoundError, Reason
from dovetail.server.preconditions import check_reached, check_same_request
from dovetail.server.store.idempotency import IdempotencyKey
from dovetail.server.store.store import Store
from dovetail.server.store.tables import agents, deliveries, messages, tasks
from dovetail.server.store.tables.deliveries import DeliveryState, Receipt
from dovetail.server.store.tables.messages import (
    SHOWN_RECIPIENTS_MAX,
    Content,
    Importance,
    Message,
    MessageFilter,
    MessageKind,
    NewMessage,
    Sent,
    message_number,
)
from dovetail.server.store.transaction import Snapshot, Transaction

MOST_RECIPIENTS = 1_000
MOST_SEQUENCES = 1_000
ACKNOWLEDGED_MAX = 1_000
SUBJECT_CHARACTERS = 512
LARGEST_SEQUENCE = 2**63 - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class OutgoingMessage:
    """A message as its sender asks for it. `size` is that of the request, in bytes."""

    recipient_ids: Sequence[str]
    content: Content
    thread_id: str
    in_reply_to: str
    task_id: str
    size: int
    repeat: IdempotencyKey | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Acknowledgement:
    """Which deliveries of an inbox are acknowledged: these, and all through one.

    `prefix` is what the names of its fields begin with in the request that it came from.
    """

    agent_id: str
    sequences: Sequence[int]
    through_sequence: int
    prefix: str = ""

    def spans(self) -> Iterator[tuple[int, int]]:
        """The sequences as runs without gaps, and then the rest through one."""
        yield from deliveries.spans(self.sequences)
        if self.through_sequence:
            yield 1, self.through_sequence


@dataclass(frozen=True, kw_only=True, slots=True)
class MessageQuery:
    """Which messages to list."""

    recipient_id: str
    states: Sequence[int]
    filter: MessageFilter
    order: int


Record = tuple[Message, Sequence[Receipt]]


class Inboxes:
    """Sends, acknowledges and finds messages."""

    def __init__(self, store: Store) -> None:
        """Keep messages in `store`."""
        self._store = store

    async def send(self, caller: Caller, draft: OutgoingMessage) -> Sent:
        """Write one message and a delivery for each recipient, in one commit."""
        sender_id = caller.require_agent("sending")
        _check_draft(draft)
        recipient_ids = tuple(dict.fromkeys(draft.recipient_ids))

        def unit(transaction: Transaction) -> Sent:
            if draft.repeat:
                earlier = _earlier(transaction, caller, draft.repeat)
                if earlier:
                    return earlier
            others = [agent_id for agent_id in recipient_ids if agent_id != sender_id]
            last_sequences = agents.require(transaction, caller.team_id, others)
            thread_id = _thread(transaction, caller, draft)
            if draft.task_id and not tasks.exists(transaction, caller.team_id, draft.task_id):
                raise NotFoundError(
                    Reason.TASK_NOT_FOUND,
                    f"task_id: no task {draft.task_id!r}",
                    metadata={"task_id": draft.task_id},
                )
            agents.touch(transaction, caller.team_id, sender_id)
            if len(others) < len(recipient_ids):
                own = agents.last_sequences(transaction, caller.team_id, [sender_id])
                last_sequences = {**last_sequences, **own}
            new = NewMessage(
                sender_id=sender_id,
                recipient_ids=recipient_ids,
                kind=MessageKind.MESSAGE,
                content=draft.content,
                size=draft.size,
                thread_id=thread_id,
                in_reply_to=draft.in_reply_to,
                task_id=draft.task_id,
                repeat=draft.repeat,
            )
            return messages.append(transaction, caller.team_id, new, last_sequences)

        return await self._store.write(caller.team_id, unit)

    async def acknowledge(self, caller: Caller, wanted: Acknowledgement) -> tuple[int, int]:
        """How many deliveries this acknowledged, and how many stay unacknowledged.

        Very many are acknowledged in bites, so that nobody waits long for the one writer.
        """
        agent_id = wanted.agent_id or caller.require_agent("a request without an agent_id")
        _check_acknowledgement(agent_id, wanted)
        caller.require_own(f"the inbox of {agent_id!r}", agent_id)

        def bite(transaction: Transaction) -> tuple[int, int]:
            last = agents.require(transaction, caller.team_id, [agent_id])[agent_id]
            check_reached(max([wanted.through_sequence, *wanted.sequences]), last)
            agents.touch(transaction, caller.team_id, caller.agent_id)
            count = 0
            for span in wanted.spans():
                most = ACKNOWLEDGED_MAX - count
                if most:
                    count += deliveries.acknowledge(
                        transaction, caller.team_id, agent_id, span, most
                    )
            agent = agents.get(transaction, caller.team_id, agent_id)
            return count, agent.unacknowledged_count

        total = 0
        while True:
            count, left = await self._store.write(caller.team_id, bite)
            total += count
            if count < ACKNOWLEDGED_MAX:
                return total, left

    async def get(self, caller: Caller, message_id: str) -> Record:
        """One message with its receipts."""
        with Checks() as check:
            check.id("message_id", message_id)

        def query(snapshot: Snapshot) -> Record:
            message = _readable(snapshot, caller, message_id)
            shown = _shown_to(caller, message)
            return message, deliveries.receipts(snapshot, caller.team_id, message.number, shown)

        return await self._store.read(caller.team_id, query)

    async def receipts(
        self, caller: Caller, message_id: str, paging: Paging
    ) -> tuple[Sequence[Receipt], str]:
        """A page of the receipts of one message, and the token of the next."""
        with Checks() as check:
            check.id("message_id", message_id)
            first = paging.after_number(check) or 0

        def query(snapshot: Snapshot) -> tuple[Sequence[Receipt], str]:
            message = _readable(snapshot, caller, message_id)
            if not caller.reaches(message.sender_id):
                own = [caller.agent_id]
                return deliveries.receipts(snapshot, caller.team_id, message.number, own), ""
            last = first + paging.most
            shown = message.recipient_ids[first:last]
            found = deliveries.receipts(snapshot, caller.team_id, message.number, shown)
            more = last < len(message.recipient_ids)
            return found, paging.next_token(last if more else None)

        return await self._store.read(caller.team_id, query)

    async def page(
        self, caller: Caller, listing: MessageQuery, paging: Paging
    ) -> tuple[list[Record], str]:
        """A page of messages with their receipts, and the token of the next."""
        with Checks() as check:
            check.optional_id("recipient_id", listing.recipient_id)
            check.enums("states", listing.states, DeliveryState)
            check_filter(check, listing.filter)
            check.enum("order", listing.order, Order)
            after = paging.after_number(check)
        own = listing.recipient_id
        if own:
            caller.require_own(f"the inbox of {own!r}", own)
        asked = messages.ListRequest(
            party_id="" if own or caller.reaches() else caller.agent_id,
            recipient_id=listing.recipient_id,
            states=listing.states,
            filter=listing.filter,
            newest_first=listing.order == Order.NEWEST_FIRST,
            after=after,
            most=paging.most,
            most_bytes=PAGE_BYTES,
        )

        def query(snapshot: Snapshot) -> tuple[list[Record], str]:
            if listing.recipient_id:
                agents.require(snapshot, caller.team_id, [listing.recipient_id])
            found, after = messages.page(snapshot, caller.team_id, asked)
            shown = {each.number: _shown_to(caller, each) for each in found}
            receipts = deliveries.receipts_of(snapshot, caller.team_id, shown)
            records: list[Record] = [(each, receipts[each.number]) for each in found]
            return records, paging.next_token(after)

        return await self._store.scan(caller.team_id, query)


def check_filter(check: Checks, filter: MessageFilter) -> None:
    """Record what is wrong with a filter."""
    check.ids("filter.sender_ids", filter.sender_ids)
    check.optional_id("filter.thread_id", filter.thread_id)
    check.optional_id("filter.task_id", filter.task_id)
    check.enums("filter.kinds", filter.kinds, MessageKind)
    check.enum("filter.minimum_importance", filter.minimum_importance, Importance)
    check.labels("filter.labels", filter.labels)
    check.time_range("filter.create_time", filter.create_time)


def _check_draft(draft: OutgoingMessage) -> None:
    with Checks() as check:
        count = len(draft.recipient_ids)
        if not 1 <= count <= MOST_RECIPIENTS:
            check.refuse("recipient_ids", f"must have 1 to {MOST_RECIPIENTS:,} ids, has {count:,}")
        else:
            check.ids("recipient_ids", draft.recipient_ids, MOST_RECIPIENTS)
        content = draft.content
        check.text("subject", content.subject, SUBJECT_CHARACTERS)
        if "\0" in content.body:
            check.refuse("body", "must not contain NUL characters; send bytes as text or in data")
        check.enum("importance", content.importance, Importance)
        check.optional_id("thread_id", draft.thread_id)
        check.optional_id("in_reply_to", draft.in_reply_to)
        check.optional_id("task_id", draft.task_id)
        check.labels("labels", content.labels)
        check.optional_id("request_id", draft.repeat.request_id if draft.repeat else "")
        check.size("body", draft.size)


def _check_acknowledgement(agent_id: str, wanted: Acknowledgement) -> None:
    sequences, through = f"{wanted.prefix}sequences", f"{wanted.prefix}through_sequence"
    with Checks() as check:
        check.id("agent_id", agent_id)
        if not wanted.sequences and not wanted.through_sequence:
            check.refuse(sequences, f"must not be empty unless {through} is set")
        if len(wanted.sequences) > MOST_SEQUENCES:
            count = len(wanted.sequences)
            check.refuse(sequences, f"must have at most {MOST_SEQUENCES:,}, has {count:,}")
        for index, sequence in enumerate(wanted.sequences[:MOST_SEQUENCES]):
            check.number(f"{sequences}[{index}]", sequence, 1, LARGEST_SEQUENCE)
        check.number(through, wanted.through_sequence, 0, LARGEST_SEQUENCE)


def _earlier(transaction: Transaction, caller: Caller, repeat: IdempotencyKey) -> Sent | None:
    found = messages.find_repeat(transaction, caller.team_id, caller.agent_id, repeat)
    if found is None:
        return None
    sent, request_hash = found
    check_same_request(repeat, request_hash)
    return sent


def _readable(snapshot: Snapshot, caller: Caller, message_id: str) -> Message:
    """A message that the caller may read: for an agent, one that it sent or received."""
    number = message_number(message_id)
    message = number and messages.find(snapshot, caller.team_id, number)
    if not message or not caller.reaches(message.sender_id, *message.recipient_ids):
        raise _no_message("message_id", message_id)
    return message


def _shown_to(caller: Caller, message: Message) -> Sequence[str]:
    """Whose receipts come with a message: the first few; for an agent that got it, its own."""
    if caller.reaches(message.sender_id):
        return message.recipient_ids[:SHOWN_RECIPIENTS_MAX]
    return [caller.agent_id] if caller.agent_id in message.recipient_ids else []


def _thread(transaction: Transaction, caller: Caller, draft: OutgoingMessage) -> str:
    if not draft.in_reply_to:
        return draft.thread_id
    number = message_number(draft.in_reply_to)
    found = number and messages.thread_of(transaction, caller.team_id, number)
    if not found or not caller.reaches(*found.party_ids):
        raise _no_message("in_reply_to", draft.in_reply_to)
    thread_id = found.thread_id
    if draft.thread_id not in ("", thread_id):
        with Checks() as check:
            check.refuse(
                "thread_id",
                f"{shown(draft.thread_id)} is not the thread of {draft.in_reply_to}, which is"
                f" {shown(thread_id)}: leave it out",
            )
    return thread_id


def _no_message(field: str, message_id: str) -> NotFoundError:
    return NotFoundError(
        Reason.MESSAGE_NOT_FOUND,
        f"{field}: no message {message_id!r}",
        metadata={"message_id": message_id},
    )
