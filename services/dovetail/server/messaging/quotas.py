"""Limits of a team: how much one inbox may have unacknowledged, and how much the team may keep.

Notices never come here: a change of work never fails because of an inbox.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from dovetail.server.errors import Reason, ResourceExhaustedError
from dovetail.server.store.tables.agents import AGENTS
from dovetail.server.store.tables.message_bytes import (
    NewMessage,
    encode,
    message_id,
    taken_bytes,
)
from dovetail.server.store.tables.unknown import readable
from dovetail.server.store.team_counters import Limits
from dovetail.server.store.transaction import Transaction


@dataclass(frozen=True, kw_only=True, slots=True)
class _Use:
    """How much of a limit is used, and how much more a request needs."""

    measure: str
    limit: int | None
    used: int
    needed: int

    @property
    def is_over(self) -> bool:
        return self.limit is not None and self.used + self.needed > self.limit

    @property
    def metadata(self) -> dict[str, str]:
        return {
            "measure": self.measure,
            "limit": str(self.limit),
            "used": str(self.used),
            "needed": str(self.needed),
        }

    def __str__(self) -> str:
        return (
            f"{self.used:,} of {self.limit:,} {self.measure} are used, {self.needed:,} are needed"
        )


def check_room(transaction: Transaction, new: Sequence[NewMessage]) -> None:
    """Raise ResourceExhaustedError if these messages would go beyond a limit of the team.

    Without limits, which the team's row tells, this costs nothing.
    """
    limits = transaction.team.limits
    if limits is None:
        return
    sizes = _sizes(transaction, new)
    _check_inboxes(transaction, limits, new, sizes)
    team = transaction.team
    uses = (
        _Use(
            measure="messages",
            limit=limits.messages,
            used=team.message_count,
            needed=len(new),
        ),
        _Use(measure="bytes", limit=limits.bytes, used=team.message_bytes, needed=sum(sizes)),
    )
    for use in uses:
        if use.is_over:
            raise ResourceExhaustedError(
                Reason.TEAM_FULL,
                f"team {transaction.team_id!r} is full: {use}. Have old messages removed (retention"
                " of the team), or its limits raised",
                metadata={"team_id": transaction.team_id, **use.metadata},
            )


def _sizes(transaction: Transaction, new: Sequence[NewMessage]) -> list[int]:
    """What these messages take of limits if they are appended next."""
    team = transaction.team
    payloads = (
        encode(each, number, each.thread_id or message_id(number), team.stamp)
        for number, each in enumerate(new, start=team.last_message + 1)
    )
    return [taken_bytes(each, payload) for each, payload in zip(new, payloads, strict=True)]


def _check_inboxes(
    transaction: Transaction, limits: Limits, new: Sequence[NewMessage], sizes: Sequence[int]
) -> None:
    if limits.inbox_messages is None and limits.inbox_bytes is None:
        return
    needed: defaultdict[str, list[int]] = defaultdict(list)
    for message, size in zip(new, sizes, strict=True):
        for agent_id in message.recipient_ids:
            needed[agent_id].append(size)
    full: dict[str, _Use] = {}
    for agent_id, more in needed.items():
        agent = transaction.find(AGENTS.by_key, agent_id)
        count, size = (agent.mail_count, agent.mail_bytes) if agent else (0, 0)
        uses = (
            _Use(measure="messages", limit=limits.inbox_messages, used=count, needed=len(more)),
            _Use(measure="bytes", limit=limits.inbox_bytes, used=size, needed=sum(more)),
        )
        full.update((agent_id, use) for use in uses if use.is_over)
    if full:
        agent_id, use = next(iter(full.items()))
        ids = readable([*full])
        others = f", and {len(full) - 1:,} more are" if len(full) > 1 else " is"
        raise ResourceExhaustedError(
            Reason.INBOX_FULL,
            f"the inbox of {agent_id!r}{others} full: {use} (of what is unacknowledged, notices"
            " not counted). Nothing was sent: try again when it has acknowledged some, or leave it"
            " out",
            metadata={
                "agent_id": agent_id,
                "agent_ids": json.dumps(ids, ensure_ascii=False),
                "full_count": str(len(full)),
                **use.metadata,
            },
        )
