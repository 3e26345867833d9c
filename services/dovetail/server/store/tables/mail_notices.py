"""Notices about mail: what became of a message is told to its sender, in the commit of what did it.

Any part of the server may write one within its unit: `write` finds who is told, and composes the
text. Notices about tasks are composed in the wing of tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dovetail.server.store.tables import agents, messages
from dovetail.server.store.tables.message_bytes import (
    SHOWN_RECIPIENTS_MAX,
    Content,
    MailEvent,
    MailNotice,
    MessageKind,
    NewMessage,
    message_id,
)
from dovetail.server.store.tables.message_heads import MessageHead
from dovetail.server.store.tables.messages import Sent
from dovetail.server.store.transaction import Transaction

SUBJECT_CHARACTERS_MAX = 512
NAMED_MAX = 3
"""Recipients that a subject names; the body has more."""

_SAYS = {
    MailEvent.REJECTED: "was rejected by",
    MailEvent.UNACKNOWLEDGED: "is not acknowledged by",
    MailEvent.RECIPIENT_REMOVED: "will not be read by",
    MailEvent.LOOP_SUSPECTED: "may be part of a loop with",
}
_EXPLAINS = {
    MailEvent.REJECTED: "",
    MailEvent.UNACKNOWLEDGED: "Its deadline has passed. Not done with it: {names}.",
    MailEvent.RECIPIENT_REMOVED: "Removed before they were done with it: {names}.",
    MailEvent.LOOP_SUSPECTED: "",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class MailReport:
    """What became of a message: at whom, who did it (empty: no call did), and why.

    `told_ids` are told; None: its sender is. With a `message_count` it stands for so many.
    `remark` is a sentence for people.
    """

    event: MailEvent
    message: MessageHead
    recipient_ids: Sequence[str]
    actor_id: str = ""
    reason: str = ""
    told_ids: Sequence[str] | None = None
    message_count: int = 0
    remark: str = ""


def write(transaction: Transaction, report: MailReport) -> Sent | None:
    """Write the notice, and return it; None: nobody is told.

    Nobody is told of what became of a notice, nor is the agent that acted, nor one that is not
    known any more.
    """
    message = report.message
    if message.kind is MessageKind.NOTICE:
        return None
    told_ids = (message.sender_id,) if report.told_ids is None else report.told_ids
    wanted = [each for each in dict.fromkeys(told_ids) if each and each != report.actor_id]
    last_sequences = agents.last_sequences(transaction, wanted)
    if not last_sequences:
        return None
    return messages.append(transaction, _compose(report, tuple(last_sequences)), last_sequences)


def _compose(report: MailReport, told_ids: tuple[str, ...]) -> NewMessage:
    message = report.message
    about = message_id(message.number)
    count = len(report.recipient_ids)
    named = _names(report.recipient_ids, NAMED_MAX)
    others = max(0, report.message_count - 1)
    more = f" and {others:,} more of yours" if others else ""
    title = f": {message.title}" if message.title else ""
    explained = _EXPLAINS[report.event].format(
        names=_names(report.recipient_ids, SHOWN_RECIPIENTS_MAX)
    )
    return NewMessage(
        sender_id=report.actor_id,
        recipient_ids=told_ids,
        kind=MessageKind.NOTICE,
        content=Content(
            subject=_cut(f"Message {about}{more} {_SAYS[report.event]} {named}{title}"),
            body="\n\n".join(each for each in (explained, report.reason, report.remark) if each),
            mail_notice=MailNotice(
                event=report.event,
                message_id=about,
                recipient_ids=tuple(report.recipient_ids[:SHOWN_RECIPIENTS_MAX]),
                recipient_count=count,
                reason=report.reason,
                message_count=report.message_count,
            ),
        ),
        thread_id=message.thread_id,
        task_id=message.task_id,
    )


def _names(agent_ids: Sequence[str], most: int) -> str:
    """The first of these ids, and how many more there are."""
    more = len(agent_ids) - most
    return ", ".join(agent_ids[:most]) + (f" and {more:,} more" if more > 0 else "")


def _cut(text: str) -> str:
    if len(text) <= SUBJECT_CHARACTERS_MAX:
        return text
    return text[: SUBJECT_CHARACTERS_MAX - 1] + "…"
