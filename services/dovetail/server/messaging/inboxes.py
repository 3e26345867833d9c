"""Inboxes: the rules of sending, acknowledging and finding messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dovetail.server.access.caller import Caller
from dovetail.server.edge.paging import PAGE_BYTES, Order, Paging
from dovetail.server.edge.validation import Checks, shown
from dovetail.server.errors import NotFoundError, Reason
from dovetail.server.messaging.quotas import check_room
from dovetail.server.preconditions import check_reached, check_same_request
from dovetail.server.store.idempotency import IdempotencyKey
from dovetail.server.store.store import Store
from dovetail.server.store.tables import (
    agents,
    deliveries,
    dependencies,
    messages,
    tasks,
    threads,
)
from dovetail.server.store.tables.deliveries import ACKNOWLEDGED_MAX, DeliveryState, Receipt
from dovetail.server.store.tables.message_bytes import (
    SHOWN_RECIPIENTS_MAX,
    Content,
    MessageKind,
    NewMessage,
)
from dovetail.server.store.tables.messages import Message, MessageFilter, Sent, message_number
from dovetail.server.store.tables.threads import Thread
from dovetail.server.store.transaction import Need, Snapshot, Transaction


@dataclass(frozen=True, kw_only=True, slots=True)
class OutgoingMessage:
    """A message as its sender asks for it."""

    recipient_ids: Sequence[str]
    content: Content
    thread_id: str
    in_reply_to: str
    task_id: str
    repeat: IdempotencyKey | None
    prefix: str = ""
    """What its fields begin with in errors: a batch has several."""
    acknowledge: Sequence[int] = ()
    """Sequences in the sender's inbox. No message of a batch has any."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Acknowledgement:
    """Which deliveries of an inbox are acknowledged: these, and all through one."""

    agent_id: str
    sequences: Sequence[int]
    through_sequence: int

    def spans(self) -> Iterator[tuple[int, int]]:
        """The sequences as runs without gaps, and then the rest through one."""
        yield from deliveries.spans(self.sequences)
        if self.through_sequence:
            yield 1, self.through_sequence


@dataclass(frozen=True, kw_only=True, slots=True)
class MessageQuery:
    """Which messages to list."""

    recipient_id: str
    states: Sequence[DeliveryState]
    filter: MessageFilter
    order: Order
    after: int | None


Record = tuple[Message, Sequence[Receipt]]
"""A message, and those of its receipts that its reader may see."""


class Inboxes:
    """Sends, acknowledges and finds messages."""

    def __init__(self, store: Store) -> None:
        """Keep messages in `store`."""
        self._store = store

    async def send(self, caller: Caller, outgoing: OutgoingMessage) -> Sent:
        """Write one message and a delivery for each recipient, in one commit."""
        (sent,) = await self.send_all(caller, [outgoing])
        return sent

    async def send_all(self, caller: Caller, batch: Sequence[OutgoingMessage]) -> list[Sent]:
        """Write messages in order, all or none, in one commit.

        The first has the id by which a repeat of them all is known.
        """
        sender_id = caller.require_agent("sending")
        repeat = batch[0].repeat

        def unit(transaction: Transaction) -> list[Sent]:
            if repeat and (earlier := _find_repeat(transaction, caller, repeat, len(batch))):
                return earlier
            everybody = dict.fromkeys(each for sent in batch for each in sent.recipient_ids)
            others = [agent_id for agent_id in everybody if agent_id != sender_id]
            last_sequences = agents.require(transaction, others)
            thread_ids = _threads(transaction, caller, batch)
            _check_tasks(transaction, batch)
            new = [_new(sender_id, *each) for each in zip(batch, thread_ids, strict=True)]
            check_room(transaction, new)
            acknowledged = batch[0].acknowledge
            if acknowledged:
                last = agents.require(transaction, [sender_id])[sender_id]
                check_reached(max(acknowledged), last)
            agents.touch(transaction, sender_id)
            _mark_answered(transaction, sender_id, batch)
            deliveries.acknowledge_each(transaction, sender_id, acknowledged)
            last_sequences |= agents.last_sequences(transaction, [sender_id])
            return [_append(transaction, each, last_sequences) for each in new]

        return await self._store.write(caller.team_id, unit, _needs(sender_id, batch))

    async def acknowledge(self, caller: Caller, wanted: Acknowledgement) -> tuple[int, int]:
        """Return how many deliveries this acknowledged, and how many remain unacknowledged.

        Very many are acknowledged in several commits, so that other writers come between.
        """
        agent_id = wanted.agent_id or caller.require_agent("a request without an agent_id")
        caller.require_own(f"the inbox of {agent_id!r}", agent_id)

        def step(transaction: Transaction) -> tuple[int, int]:
            last = agents.require(transaction, [agent_id])[agent_id]
            check_reached(max([wanted.through_sequence, *wanted.sequences]), last)
            agents.touch(transaction, caller.agent_id)
            count = 0
            for span in wanted.spans():
                most = ACKNOWLEDGED_MAX - count
                if most:
                    count += deliveries.acknowledge(transaction, agent_id, span, most)
            agent = agents.get(transaction, agent_id)
            return count, agent.unacknowledged_count

        needs = agents.need([agent_id, caller.agent_id])
        needs += deliveries.need(agent_id, wanted.spans())
        total = 0
        while True:
            count, left = await self._store.write(caller.team_id, step, needs)
            total += count
            if count < ACKNOWLEDGED_MAX:
                return total, left

    async def mark_seen(self, caller: Caller, sequences: Sequence[int]) -> int:
        """Mark deliveries of the caller's inbox as seen. Returns how many were not before.

        The inbox is always the caller's own: nobody else knows what it has seen.
        """
        agent_id = caller.require_agent("marking messages as seen")

        def unit(transaction: Transaction) -> int:
            last = agents.require(transaction, [agent_id])[agent_id]
            check_reached(max(sequences), last)
            agents.touch(transaction, agent_id)
            return deliveries.mark_seen(transaction, agent_id, sequences)

        needs = agents.need([agent_id]) + deliveries.need(agent_id, deliveries.spans(sequences))
        return await self._store.write(caller.team_id, unit, needs)

    async def get(self, caller: Caller, message_id: str) -> Record:
        """One message with its receipts."""

        def query(snapshot: Snapshot) -> Record:
            message = _readable(snapshot, caller, message_id)
            shown = _shown_to(caller, message)
            return message, deliveries.receipts(snapshot, message.number, shown)

        return await self._store.read(caller.team_id, query)

    async def receipts(
        self, caller: Caller, message_id: str, first: int, paging: Paging
    ) -> tuple[Sequence[Receipt], str]:
        """Return a page of the receipts of one message, from index `first` on, and the next token.

        The token of a page is the number of recipients before it.
        """

        def query(snapshot: Snapshot) -> tuple[Sequence[Receipt], str]:
            message = _readable(snapshot, caller, message_id)
            if not caller.reaches(message.sender_id):
                own = [caller.agent_id]
                return deliveries.receipts(snapshot, message.number, own), ""
            last = first + paging.most
            shown = message.recipient_ids[first:last]
            found = deliveries.receipts(snapshot, message.number, shown)
            more = last < len(message.recipient_ids)
            return found, paging.next_token(last if more else None)

        return await self._store.read(caller.team_id, query)

    async def page(
        self, caller: Caller, message_query: MessageQuery, paging: Paging
    ) -> tuple[list[Record], str]:
        """A page of messages with their receipts, and the token of the next."""
        own = message_query.recipient_id
        if own:
            caller.require_own(f"the inbox of {own!r}", own)
        request = messages.ListRequest(
            party_id="" if own or caller.reaches() else caller.agent_id,
            recipient_id=message_query.recipient_id,
            states=message_query.states,
            filter=message_query.filter,
            newest_first=message_query.order == Order.NEWEST_FIRST,
            after=message_query.after,
            most=paging.most,
            most_bytes=PAGE_BYTES,
        )

        def query(snapshot: Snapshot) -> tuple[list[Record], str]:
            if message_query.recipient_id:
                agents.require(snapshot, [message_query.recipient_id])
            found, after = messages.page(snapshot, request)
            shown = {each.number: _shown_to(caller, each) for each in found}
            receipts = deliveries.receipts_of(snapshot, shown)
            records: list[Record] = [(each, receipts[each.number]) for each in found]
            return records, paging.next_token(after)

        return await self._store.scan(caller.team_id, query)


def _needs(sender_id: str, batch: Sequence[OutgoingMessage]) -> list[Need]:
    """What the unit needs that sends these messages."""
    needs = agents.need({sender_id, *(each for sent in batch for each in sent.recipient_ids)})
    first, *others = batch
    needs += messages.need(sender_id, first.repeat, "" if others else first.in_reply_to)
    if first.task_id and not others:
        needs.append(tasks.need(first.task_id))
    needs += _answered(sender_id, batch)
    return needs + deliveries.need(sender_id, deliveries.spans(first.acknowledge))


def _answered(sender_id: str, batch: Sequence[OutgoingMessage]) -> list[Need]:
    """The deliveries to which the sender replies with these messages."""
    numbers = {message_number(each.in_reply_to): None for each in batch if each.in_reply_to}
    return [deliveries.need_of_message(sender_id, each) for each in numbers if each]


def _mark_answered(
    transaction: Transaction, sender_id: str, batch: Sequence[OutgoingMessage]
) -> None:
    """Mark what the sender replies to as seen."""
    for need in _answered(sender_id, batch):
        deliveries.mark_message_seen(transaction, need)


def _new(sender_id: str, outgoing: OutgoingMessage, thread_id: str) -> NewMessage:
    return NewMessage(
        sender_id=sender_id,
        recipient_ids=tuple(dict.fromkeys(outgoing.recipient_ids)),
        kind=MessageKind.MESSAGE,
        content=outgoing.content,
        thread_id=thread_id,
        in_reply_to=outgoing.in_reply_to,
        task_id=outgoing.task_id,
        repeat=outgoing.repeat,
    )


def _append(transaction: Transaction, new: NewMessage, last_sequences: dict[str, int]) -> Sent:
    """Write one message, and count it in `last_sequences`."""
    sent = messages.append(transaction, new, last_sequences)
    for receipt in sent.receipts:
        last_sequences[receipt.recipient_id] = receipt.sequence
    return sent


def _check_tasks(snapshot: Snapshot, batch: Sequence[OutgoingMessage]) -> None:
    """Raise if one of the tasks that the messages are about does not exist."""
    prefixes = {each.task_id: each.prefix for each in reversed(batch) if each.task_id}
    if len(batch) == 1 and all(tasks.exists(snapshot, task_id) for task_id in prefixes):
        return
    # By a query, which reads no content of very many tasks.
    for task_id in dependencies.unknown(snapshot, [*prefixes])[-1:]:
        raise NotFoundError(
            Reason.TASK_NOT_FOUND,
            f"{prefixes[task_id]}task_id: no task {task_id!r}",
            metadata={"task_id": task_id},
        )


def _find_repeat(
    transaction: Transaction, caller: Caller, repeat: IdempotencyKey, count: int
) -> list[Sent]:
    """The messages that an earlier request with this id sent; none if there was no such."""
    found = messages.find_repeat(transaction, caller.agent_id, repeat)
    if found is None:
        return []
    sent, request_hash = found
    check_same_request(repeat, request_hash)
    # The request is the same, so it sent as many, in one unit: their numbers follow each other.
    return [sent, *messages.following(transaction, sent, count - 1)]


def _readable(snapshot: Snapshot, caller: Caller, message_id: str) -> Message:
    """A message that the caller may read: for an agent, one that it sent or received."""
    number = message_number(message_id)
    message = number and messages.find(snapshot, number)
    if not message or not caller.reaches(message.sender_id, *message.recipient_ids):
        raise _no_message("message_id", message_id)
    return message


def _shown_to(caller: Caller, message: Message) -> Sequence[str]:
    """Whose receipts come with a message: the first few; for an agent that got it, its own."""
    if caller.reaches(message.sender_id):
        return message.recipient_ids[:SHOWN_RECIPIENTS_MAX]
    return [caller.agent_id] if caller.agent_id in message.recipient_ids else []


def _threads(snapshot: Snapshot, caller: Caller, batch: Sequence[OutgoingMessage]) -> list[str]:
    """The thread of each message; of one that replies, that of what it replies to."""
    numbers = {message_number(each.in_reply_to) or 0 for each in batch if each.in_reply_to}
    known = threads.of_messages(snapshot, [*numbers]) if numbers else {}
    return [_thread(known, caller, each) for each in batch]


def _thread(known: Mapping[int, Thread], caller: Caller, outgoing: OutgoingMessage) -> str:
    if not outgoing.in_reply_to:
        return outgoing.thread_id
    found = known.get(message_number(outgoing.in_reply_to) or 0)
    if not found or not caller.reaches(*found.party_ids):
        raise _no_message(f"{outgoing.prefix}in_reply_to", outgoing.in_reply_to)
    thread_id = found.thread_id
    if outgoing.thread_id not in ("", thread_id):
        with Checks() as check:
            check.refuse(
                f"{outgoing.prefix}thread_id",
                f"{shown(outgoing.thread_id)} is not the thread of {outgoing.in_reply_to}, which is"
                f" {shown(thread_id)}: leave it out",
            )
    return thread_id


def _no_message(field: str, message_id: str) -> NotFoundError:
    return NotFoundError(
        Reason.MESSAGE_NOT_FOUND,
        f"{field}: no message {message_id!r}",
        metadata={"message_id": message_id},
    )
