"""The loop guard: refuses what looks like a part of a loop of agents that only answer each other.

Like a late result (`tasks/late.py`) its refusal writes: a notice to whoever began the thread. A
unit that raises must not have written, so the unit returns the refusal, which is raised after the
commit.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

from dovetail.server.errors import FailedPreconditionError, Reason
from dovetail.server.messaging.tracing import Trace, Traced, others
from dovetail.server.store.loop_limits import NO_LIMITS, LoopLimits
from dovetail.server.store.tables import agents, chains, mail_notices, message_heads, thread_hours
from dovetail.server.store.tables.chains import Link
from dovetail.server.store.tables.mail_notices import MailReport
from dovetail.server.store.tables.message_bytes import MailEvent, message_id
from dovetail.server.store.tables.messages import MESSAGES, MessageRecord, message_number
from dovetail.server.store.transaction import Need, Transaction

CHAIN_MAX = 10
"""Messages of a chain that a refusal names."""

SAID_MAX = 3
"""Messages of a chain in the text for people."""

CHAIN_BYTES_MAX = 290
"""Of each list in the metadata of a refusal: what is larger is cut (`edge/statuses.py`)."""

WEIGHT_MAX = 10
"""As how many messages one counts at most, however many recipients it has."""

_SAYS = {
    "hops_max": "a hop_count of {count}",
    "depth_max": "a depth of {count}",
    "thread_messages_per_hour_max": "{count} messages of agents in its thread within an hour",
}


class Sending(Traced, Protocol):
    """A message to send. In errors its fields begin with `prefix`."""

    @property
    def prefix(self) -> str: ...
    @property
    def thread_id(self) -> str: ...


S = TypeVar("S", bound=Sending, covariant=True)


class Step(NamedTuple, Generic[S]):
    """A message to send, with its thread (empty: one of its own) and what led to it."""

    outgoing: S
    thread_id: str
    trace: Trace


class Excess(NamedTuple):
    """A message that goes beyond a limit: which limit, how much it allows, and how much it is."""

    step: Step[Sending]
    limit: str
    most: int
    reached: int


def _need_of_thread(message: MessageRecord) -> list[Need]:
    return thread_hours.need(message.thread_id)


class LoopGuard:
    """Counts what agents say to each other, and refuses what is too much.

    `default` are the limits of a team that sets none.
    """

    def __init__(self, default: LoopLimits = NO_LIMITS) -> None:
        """Guard all teams."""
        self._default = default

    def limits(self, transaction: Transaction) -> LoopLimits:
        """The limits of the team."""
        own = transaction.team.loop_limits
        return own.over(self._default) if own else self._default

    def needs(self, batch: Sequence[Sending]) -> list[Need]:
        """What a unit needs that sends these messages, where threads are limited by default."""
        if not self._default.thread_messages:
            return []
        found = [need for each in batch for need in thread_hours.need(each.thread_id)]
        replies = [message_number(each.in_reply_to) for each in batch if each.in_reply_to]
        if len(batch) == 1 and replies and replies[0]:
            found.append(Need(MESSAGES.by_key, (replies[0],), _need_of_thread))
        return found

    def find_excess(
        self, transaction: Transaction, sender_id: str, steps: Sequence[Step[Sending]]
    ) -> Excess | None:
        """The first message that goes beyond a limit, or None."""
        limits = self.limits(transaction)
        if limits == NO_LIMITS or agents.is_person(transaction, sender_id):
            return None
        counts: dict[str, int] = {}
        for step in steps:
            if not others(sender_id, step.outgoing):
                continue
            for limit, most, count in self._measures(transaction, sender_id, step, counts):
                if most and count > most:
                    return Excess(step, limit, most, count)
        return None

    def count(
        self, transaction: Transaction, sender_id: str, steps: Sequence[Step[Sending]]
    ) -> None:
        """Count messages that are sent in their threads' hours; a person's begins them anew."""
        if not self.limits(transaction).thread_messages:
            return
        is_person = agents.is_person(transaction, sender_id)
        for step in steps:
            if not step.thread_id or not others(sender_id, step.outgoing):
                continue
            hour = thread_hours.current(transaction, step.thread_id)
            if not is_person:
                more = _weight(sender_id, step.outgoing)
                thread_hours.save(
                    transaction, hour._replace(message_count=hour.message_count + more)
                )
            elif hour.message_count or hour.told:
                begin = transaction.team.stamp
                begun = hour._replace(begin_time=begin, message_count=0, told=0)
                thread_hours.save(transaction, begun)

    def _measures(
        self, transaction: Transaction, sender_id: str, step: Step[Sending], counts: dict[str, int]
    ) -> Iterator[tuple[str, int | None, int]]:
        """Each limit with what it allows and what the message comes to; adds to `counts`."""
        limits, trace = self.limits(transaction), step.trace
        yield "hops_max", limits.hops, trace.hop_count
        yield "depth_max", limits.depth, trace.depth
        if limits.thread_messages and step.thread_id:
            if step.thread_id not in counts:
                hour = thread_hours.current(transaction, step.thread_id)
                counts[step.thread_id] = hour.message_count
            counts[step.thread_id] += _weight(sender_id, step.outgoing)
            count = counts[step.thread_id]
            yield "thread_messages_per_hour_max", limits.thread_messages, count


def refuse(transaction: Transaction, sender_id: str, excess: Excess) -> FailedPreconditionError:
    """Tell whoever began the thread, once an hour, and return the error for the sender."""
    chain = _chain(transaction, excess.step)
    thread_id = excess.step.thread_id or (chain[-1].thread_id if chain else "")
    is_told = _tell(transaction, sender_id, excess, thread_id, chain)
    message_ids, sender_ids = _readable(chain)
    return FailedPreconditionError(
        Reason.LOOP_SUSPECTED,
        _text(transaction.team_id, thread_id, excess, chain),
        metadata={
            "limit": excess.limit,
            "most": str(excess.most),
            "count": str(excess.reached),
            "thread_id": thread_id,
            "chain_message_ids": message_ids,
            "chain_sender_ids": sender_ids,
            "beginner_told": str(is_told).lower(),
        },
    )


def _text(team_id: str, thread_id: str, excess: Excess, chain: Sequence[Link]) -> str:
    """What is wrong, and what to do next."""
    prefix = excess.step.outgoing.prefix
    after = f", after {_named(chain[-SAID_MAX:])}" if chain else ""
    return (
        f"{prefix and prefix.rstrip('.') + ': '}this looks like a loop of agents that only answer"
        f" each other: the message would come to {_what(excess)}, and {excess.most:,} is the most"
        f" that team {team_id!r} allows{after}. Nothing was sent. If it is needed, ask a person to"
        f" say something in thread {thread_id!r}; if it is new work, send it without in_reply_to,"
        " thread_id and cause_sequence; an operator may raise the limit"
    )


def _tell(
    transaction: Transaction,
    sender_id: str,
    excess: Excess,
    thread_id: str,
    chain: Sequence[Link],
) -> bool:
    """Tell whoever began the thread, unless that was done in this hour; whether it knows now."""
    hour = thread_hours.current(transaction, thread_id)
    if hour.told:
        return True
    head = message_heads.find(transaction, chain[-1].number) if chain else None
    if head is None:
        return False
    report = MailReport(
        event=MailEvent.LOOP_SUSPECTED,
        message=head,
        recipient_ids=list(dict.fromkeys([sender_id, *(link.sender_id for link in chain)])),
        actor_id=sender_id,
        reason=f"What {sender_id} was about to send after {_named(chain)} was refused: it would"
        f" have come to {_what(excess)}, and {excess.most:,} is the most ({excess.limit}).",
        told_ids=[chains.first_sender(transaction, thread_id)],
    )
    if mail_notices.write(transaction, report) is None:
        return False
    thread_hours.save(transaction, hour._replace(told=1))
    return True


def _chain(transaction: Transaction, step: Step[Sending]) -> list[Link]:
    """The last messages that led to one; where none is known, the last ones of its thread."""
    number = step.trace.cause_number
    found = chains.causes(transaction, number, CHAIN_MAX) if number else []
    if len(found) < CHAIN_MAX and step.thread_id:
        found = max(found, chains.last_of_thread(transaction, step.thread_id, CHAIN_MAX), key=len)
    return found[::-1]


def _weight(sender_id: str, outgoing: Sending) -> int:
    """As how many messages one counts."""
    return min(len(others(sender_id, outgoing)), WEIGHT_MAX)


def _readable(chain: Sequence[Link]) -> tuple[str, str]:
    """The ids and the senders of the last messages of a chain, as many as fit into an error."""
    for first in range(len(chain) + 1):
        shown = chain[first:]
        lists = [message_id(each.number) for each in shown], [each.sender_id for each in shown]
        message_ids, sender_ids = (json.dumps(each, ensure_ascii=False) for each in lists)
        if max(len(message_ids.encode()), len(sender_ids.encode())) <= CHAIN_BYTES_MAX:
            return message_ids, sender_ids
    raise AssertionError("an empty list fits")


def _what(excess: Excess) -> str:
    return _SAYS[excess.limit].format(count=f"{excess.reached:,}")


def _named(chain: Sequence[Link]) -> str:
    return ", ".join(f"{message_id(each.number)} of {each.sender_id!r}" for each in chain)
