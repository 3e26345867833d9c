"""Endings: the rules of rejecting and withdrawing messages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from dovetail.server.access.caller import Caller
from dovetail.server.errors import FailedPreconditionError, Reason
from dovetail.server.messaging.references import no_message
from dovetail.server.preconditions import check_reached
from dovetail.server.store.store import Store
from dovetail.server.store.tables import agents, deliveries, endings, mail_notices, message_heads
from dovetail.server.store.tables.deliveries import DeliveryRecord, Receipt
from dovetail.server.store.tables.delivery_states import DeliveryAct, DeliveryState, next_state
from dovetail.server.store.tables.endings import Ending
from dovetail.server.store.tables.mail_notices import MailReport
from dovetail.server.store.tables.message_bytes import (
    SHOWN_RECIPIENTS_MAX,
    MailEvent,
    MessageKind,
    message_id,
)
from dovetail.server.store.tables.message_heads import MessageHead
from dovetail.server.store.tables.messages import message_number
from dovetail.server.store.transaction import Snapshot, Transaction

NAMED_MAX = 10
"""Sequences that an error names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejection:
    """Which deliveries of the caller's inbox are rejected, and why."""

    sequences: Sequence[int]
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Withdrawal:
    """What a call withdrew, what was too late, and the receipts of the first recipients."""

    withdrawn_count: int
    late_count: int
    receipts: Sequence[Receipt]


class Endings:
    """Rejects and withdraws messages."""

    def __init__(self, store: Store) -> None:
        """End deliveries in `store`."""
        self._store = store

    async def reject(self, caller: Caller, rejection: Rejection) -> tuple[int, int]:
        """Return how many deliveries this rejected, and how many remain unacknowledged.

        The inbox is always the caller's own: nobody else knows what it cannot act on.
        """
        agent_id = caller.require_agent("rejecting messages")
        sequences = [*dict.fromkeys(rejection.sequences)]

        def unit(transaction: Transaction) -> tuple[int, int]:
            last = agents.require(transaction, [agent_id])[agent_id]
            check_reached(max(sequences), last)
            records = endings.of_inbox(transaction, agent_id, sequences)
            _check_rejectable(transaction, records)
            # Read before anything is written: the group would write first what it has put.
            heads = message_heads.find_all(transaction, [each.message_number for each in records])
            agents.touch(transaction, agent_id)
            ending = Ending(act=DeliveryAct.REJECT, reason=rejection.reason)
            ended = endings.end(transaction, records, ending)
            for record in ended:
                _tell(transaction, heads[record.message_number], agent_id, rejection.reason)
            return len(ended), agents.get(transaction, agent_id).unacknowledged_count

        needs = agents.need([agent_id]) + endings.need(agent_id, sequences)
        return await self._store.write(caller.team_id, unit, needs)

    async def withdraw(self, caller: Caller, wanted_id: str) -> Withdrawal:
        """Take a message back from those that are not done with it, in one commit."""

        def unit(transaction: Transaction) -> Withdrawal:
            head = _withdrawable(transaction, caller, wanted_id)
            records = endings.of_message(transaction, head.number)
            agents.touch(transaction, caller.agent_id)
            ending = Ending(act=DeliveryAct.WITHDRAW)
            ended = {each.agent_id for each in endings.end(transaction, records, ending)}
            late = sum(
                each.agent_id not in ended and each.ending != DeliveryState.WITHDRAWN
                for each in records
            )
            shown = head.recipient_ids[:SHOWN_RECIPIENTS_MAX]
            return Withdrawal(
                withdrawn_count=len(ended),
                late_count=late,
                receipts=deliveries.receipts(transaction, head.number, shown),
            )

        needs = agents.need([caller.agent_id])
        return await self._store.write(caller.team_id, unit, needs)


def _check_rejectable(transaction: Transaction, records: Sequence[DeliveryRecord]) -> None:
    """Refuse deliveries whose senders may rely on their acknowledgement."""
    now = transaction.team.wall_clock
    refused = [
        each.sequence
        for each in records
        if next_state(DeliveryAct.REJECT, endings.state_of(each, now)) is None
    ]
    if refused:
        named = ", ".join(map(str, refused[:NAMED_MAX]))
        more = f" and {len(refused) - NAMED_MAX} more" if len(refused) > NAMED_MAX else ""
        raise FailedPreconditionError(
            Reason.DELIVERY_ACKNOWLEDGED,
            f"sequences {named}{more} are acknowledged already, which their senders may rely on:"
            " nothing was rejected; tell the senders by a message of your own",
            metadata={"sequences": json.dumps(refused[:NAMED_MAX])},
        )


def _tell(transaction: Transaction, head: MessageHead, agent_id: str, reason: str) -> None:
    """Tell the sender of a message that this agent rejected it."""
    report = MailReport(
        event=MailEvent.REJECTED,
        message=head,
        recipient_ids=[agent_id],
        actor_id=agent_id,
        reason=reason,
    )
    mail_notices.write(transaction, report)


def _withdrawable(snapshot: Snapshot, caller: Caller, wanted_id: str) -> MessageHead:
    """The head of a message that the caller may take back."""
    number = message_number(wanted_id)
    head = number and message_heads.find(snapshot, number)
    if not head or not caller.reaches(head.sender_id, *head.recipient_ids):
        raise no_message("message_id", wanted_id)
    caller.require_own(f"message {wanted_id!r}", head.sender_id)
    if head.kind is MessageKind.NOTICE:
        raise FailedPreconditionError(
            Reason.NOTICE_NOT_WITHDRAWABLE,
            f"{message_id(head.number)} is a notice: it reports what happened, and stays",
            metadata={"message_id": wanted_id},
        )
    return head
