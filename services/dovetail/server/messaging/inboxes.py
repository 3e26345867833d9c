"""Inboxes: the rules of sending, acknowledging and finding messages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from dovetail.server.access.caller import Caller
from dovetail.server.edge.paging import PAGE_BYTES, Order, Paging
from dovetail.server.errors import DovetailError
from dovetail.server.messaging import groups, tracing
from dovetail.server.messaging.conditions import check_conditions
from dovetail.server.messaging.groups import Addressed
from dovetail.server.messaging.loops import LoopGuard, Step, refuse
from dovetail.server.messaging.quotas import check_room
from dovetail.server.messaging.references import check_tasks, no_message, replied_to, thread_of
from dovetail.server.messaging.tracing import Tracer
from dovetail.server.preconditions import attachment_not_found, check_reached, check_same_request
from dovetail.server.store.idempotency import IdempotencyKey
from dovetail.server.store.pages import take_bytes
from dovetail.server.store.store import Store
from dovetail.server.store.tables import (
    agents,
    attachments,
    deadlines,
    deliveries,
    messages,
    tasks,
)
from dovetail.server.store.tables.attachments import Attachment
from dovetail.server.store.tables.deliveries import ACKNOWLEDGED_MAX, Receipt
from dovetail.server.store.tables.delivery_states import DeliveryState
from dovetail.server.store.tables.message_bytes import (
    SHOWN_RECIPIENTS_MAX,
    Content,
    MessageKind,
    NewMessage,
)
from dovetail.server.store.tables.messages import Message, MessageFilter, Sent, message_number
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
    group_ids: Sequence[str] = ()
    """Groups to whose members it goes too."""
    prefix: str = ""
    """What its fields begin with in errors: a batch has several."""
    acknowledge: Sequence[int] = ()
    """Sequences in the sender's inbox. No message of a batch has any."""
    expire_time: int | None = None
    ack_deadline: int | None = None
    """After so many microseconds its sender is told who is not done with it."""
    cause_sequence: int = 0
    """The delivery in the sender's inbox on which it acts; 0: it names none."""
    task_etag: str = ""
    """The task must be in the version with this etag; empty: in any."""


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

    def __init__(self, store: Store, guard: LoopGuard | None = None) -> None:
        """Keep messages in `store`; without a guard only what a team sets ends loops."""
        self._store = store
        self._guard = guard or LoopGuard()

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
        has_groups = any(each.group_ids for each in batch)

        def unit(transaction: Transaction) -> list[Sent] | DovetailError:
            if repeat and (earlier := _find_repeat(transaction, caller, repeat, len(batch))):
                return earlier
            sending = _addressed(transaction, sender_id, batch) if has_groups else batch
            everybody = dict.fromkeys(each for sent in sending for each in sent.recipient_ids)
            others = [agent_id for agent_id in everybody if agent_id != sender_id]
            last_sequences = agents.require(transaction, others)
            known = replied_to(transaction, batch)
            thread_ids = [thread_of(known, caller, each) for each in batch]
            check_tasks(transaction, batch)
            check_conditions(transaction, batch)
            _check_own(transaction, sender_id, batch)
            tracer = Tracer(transaction, sender_id, known, self._guard.limits(transaction))
            steps = [*map(Step, sending, thread_ids, tracer.trace_all(sending))]
            excess = self._guard.find_excess(transaction, sender_id, steps)
            if excess:
                return refuse(transaction, sender_id, excess)
            new = [_new(sender_id, step) for step in steps]
            check_room(transaction, new)
            agents.touch(transaction, sender_id)
            _mark_answered(transaction, sender_id, batch)
            deliveries.acknowledge_each(transaction, sender_id, batch[0].acknowledge)
            last_sequences |= agents.last_sequences(transaction, [sender_id])
            self._guard.count(transaction, sender_id, steps)
            return [
                _append(transaction, each, step.outgoing, last_sequences)
                for each, step in zip(new, steps, strict=True)
            ]

        needs = [*_needs(sender_id, batch), *self._guard.needs(batch)]
        sent = await self._store.write(caller.team_id, unit, needs)
        if isinstance(sent, DovetailError):
            raise sent
        return sent

    async def acknowledge(self, caller: Caller, wanted: Acknowledgement) -> tuple[int, int]:
        """Return how many deliveries this acknowledged, and how many remain unacknowledged.

        Very many are acknowledged in several commits, so that other writers come between.
        """
        agent_id = wanted.agent_id or caller.require_agent("a request without an agent_id")
        caller.require_own(f"the inbox of {agent_id!r}", agent_id)

        def step(transaction: Transaction) -> tuple[int, int, bool]:
            last = agents.require(transaction, [agent_id])[agent_id]
            check_reached(max([wanted.through_sequence, *wanted.sequences]), last)
            agents.touch(transaction, caller.agent_id)
            count, room = 0, ACKNOWLEDGED_MAX
            for span in wanted.spans():
                if room:
                    taken = deliveries.acknowledge(transaction, agent_id, span, room)
                    count += taken.acknowledged
                    room -= sum(taken)
            agent = agents.get(transaction, agent_id)
            return count, agent.unacknowledged_count, not room

        needs = agents.need([agent_id, caller.agent_id])
        needs += deliveries.need(agent_id, wanted.spans())
        total = 0
        while True:
            count, left, more = await self._store.write(caller.team_id, step, needs)
            total += count
            if not more:
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
            shown = shown_to(caller, message)
            return message, deliveries.receipts(snapshot, message.number, shown)

        return await self._store.read(caller.team_id, query)

    async def attachment(self, caller: Caller, message_id: str, name: str) -> Attachment:
        """One attachment of a message, with its bytes."""

        def query(snapshot: Snapshot) -> Attachment:
            number = _readable(snapshot, caller, message_id).number
            found = attachments.find_of_message(snapshot, number, name)
            if found is None:
                names = attachments.names_of_message(snapshot, number)
                raise attachment_not_found(f"message {message_id!r}", name, names)
            return found

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
            told = take_bytes(((each, _reason_bytes([each])) for each in found), PAGE_BYTES)
            if len(told) < len(found):
                last = message.recipient_ids.index(found[len(told)].recipient_id)
            more = last < len(message.recipient_ids)
            return told, paging.next_token(last if more else None)

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
            shown = {each.number: shown_to(caller, each) for each in found}
            receipts = deliveries.receipts_of(snapshot, shown)
            records: list[Record] = [(each, receipts[each.number]) for each in found]
            # Of a message's size the reasons of rejections, which came later, are no part.
            told = take_bytes(((each, _reason_bytes(each[1])) for each in records), PAGE_BYTES)
            if len(told) < len(records):
                after = told[-1][0].number
            return told, paging.next_token(after)

        return await self._store.scan(caller.team_id, query)


def _reason_bytes(receipts: Sequence[Receipt]) -> int:
    """The bytes of what recipients said when they rejected a message, at most."""
    return sum(4 * len(each.reason) for each in receipts)


def _needs(sender_id: str, batch: Sequence[OutgoingMessage]) -> list[Need]:
    """What the unit needs that sends these messages."""
    needs = agents.need({sender_id, *(each for sent in batch for each in sent.recipient_ids)})
    first, *others = batch
    needs += messages.need(sender_id, first.repeat, "" if others else first.in_reply_to)
    if first.task_id and not others:
        needs.append(tasks.need(first.task_id))
    needs += [*_answered(sender_id, batch), *tracing.needs(sender_id, batch)]
    needs += groups.needs(dict.fromkeys(each for sent in batch for each in sent.group_ids))
    return needs + deliveries.need(sender_id, deliveries.spans(first.acknowledge))


def _addressed(
    transaction: Transaction, sender_id: str, batch: Sequence[OutgoingMessage]
) -> list[OutgoingMessage]:
    """The messages with the members of their groups among the recipients."""
    addressed = [Addressed(each.recipient_ids, each.group_ids, each.prefix) for each in batch]
    resolved = groups.recipients(transaction, sender_id, addressed)
    return [replace(each, recipient_ids=found) for each, found in zip(batch, resolved, strict=True)]


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


def _check_own(transaction: Transaction, sender_id: str, batch: Sequence[OutgoingMessage]) -> None:
    """Raise if a sequence that the sender acknowledges or names is not in its inbox yet."""
    acknowledged = max(batch[0].acknowledge, default=0)
    cause = max(each.cause_sequence for each in batch)
    if acknowledged or cause:
        last = agents.require(transaction, [sender_id])[sender_id]
        check_reached(acknowledged, last)
        check_reached(cause, last, "cause_sequence")


def _new(sender_id: str, step: Step[OutgoingMessage]) -> NewMessage:
    outgoing, thread_id, trace = step
    return NewMessage(
        sender_id=sender_id,
        recipient_ids=tuple(dict.fromkeys(outgoing.recipient_ids)),
        kind=MessageKind.MESSAGE,
        content=outgoing.content,
        thread_id=thread_id,
        in_reply_to=outgoing.in_reply_to,
        task_id=outgoing.task_id,
        repeat=outgoing.repeat,
        group_ids=outgoing.group_ids,
        expire_time=outgoing.expire_time,
        cause_number=trace.cause_number,
        hop_count=trace.hop_count,
        depth=trace.depth,
    )


def _append(
    transaction: Transaction,
    new: NewMessage,
    outgoing: OutgoingMessage,
    last_sequences: dict[str, int],
) -> Sent:
    """Write one message, and count it in `last_sequences`."""
    sent = messages.append(transaction, new, last_sequences)
    if outgoing.ack_deadline is not None:
        deadline_time = transaction.team.wall_clock + outgoing.ack_deadline
        deadlines.add(transaction, deadline_time, sent.number)
    for receipt in sent.receipts:
        last_sequences[receipt.recipient_id] = receipt.sequence
    return sent


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
        raise no_message("message_id", message_id)
    return message


def shown_to(caller: Caller, message: Message) -> Sequence[str]:
    """Whose receipts come with a message: the first few; for an agent that got it, its own."""
    if caller.reaches(message.sender_id):
        return message.recipient_ids[:SHOWN_RECIPIENTS_MAX]
    return [caller.agent_id] if caller.agent_id in message.recipient_ids else []
