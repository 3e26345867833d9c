"""Bounces: who is told when an agent is removed that has not read its mail."""

from __future__ import annotations

from typing import NamedTuple

from dovetail.server.store.tables import mail_notices, message_heads, unread_mail
from dovetail.server.store.tables.mail_notices import MailReport
from dovetail.server.store.tables.message_bytes import MailEvent
from dovetail.server.store.transaction import Transaction

SENDERS_TOLD_MAX = 200
"""Senders that one commit tells: a notice each, 20 ms for the one writer. Chosen."""

_STAYS = "What it has not acknowledged stays in its inbox, and is there if it is registered again."


class Bounce(NamedTuple):
    """How many senders were told, and how many others have something unread there."""

    told_senders: int = 0
    other_senders: int = 0


def tell_senders(transaction: Transaction, agent_id: str, actor_id: str) -> Bounce:
    """Tell the senders of what an agent has not read that it was removed, each once.

    Neither the agent itself is told, nor the one that removed it, nor any that is not known.
    """
    now = transaction.team.wall_clock
    unread = unread_mail.by_sender(transaction, agent_id, now)
    senders = [each for each in unread if each.sender_id not in (agent_id, actor_id)]
    first = senders[:SENDERS_TOLD_MAX]
    heads = message_heads.find_all(transaction, [each.newest for each in first])
    told = 0
    for each in first:
        report = MailReport(
            event=MailEvent.RECIPIENT_REMOVED,
            message=heads[each.newest],
            recipient_ids=[agent_id],
            actor_id=actor_id,
            message_count=each.messages,
            remark=_STAYS,
        )
        told += mail_notices.write(transaction, report) is not None
    return Bounce(told, len(senders) - len(first))
