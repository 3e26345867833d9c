"""Teams with limits for loops, and time that passes in them."""

from __future__ import annotations

import json
from collections.abc import Awaitable
from typing import Any

from dovetail.cli.servers.up import LIMITS
from dovetail.server.store.schema import AgentRow, DeliveryRow, TaskRow, TeamRow, ThreadHourRow
from dovetail.server.store.transaction import Statement, Transaction
from support.refusals import refusal
from support.teams import Team

HOUR = 3_600 * 1_000_000
OFF = {"hops": 0, "thread_messages": 0, "depth": 0}
COLUMNS = {
    "hops": TeamRow.max_loop_hops,
    "thread_messages": TeamRow.max_loop_thread_messages,
    "depth": TeamRow.max_loop_depth,
    "away": TeamRow.max_away,
}
SETTINGS: dict[str, Any] = dict(LIMITS)
"""The settings of servers that `dovetail up` starts."""


async def limit(team: Team, **limits: int) -> None:
    """Set limits of a team that has written something already."""
    values = {COLUMNS[name]: value for name, value in limits.items()}

    def unit(transaction: Transaction) -> None:
        chosen = TeamRow.update(values).where(TeamRow.team_id == transaction.team_id)
        assert transaction.write(Statement(chosen)) == 1

    await team.pair.messaging_store.write(team.team_id, unit)


async def let_an_hour_pass(team: Team) -> None:
    """Make all an hour older at which the loop guard looks, and open questions."""

    def unit(transaction: Transaction) -> None:
        team_id = transaction.team_id
        older = DeliveryRow.update({DeliveryRow.create_time: DeliveryRow.create_time - HOUR})
        transaction.write(Statement(older.where(DeliveryRow.team_id == team_id)))
        begun = {ThreadHourRow.begin_time: ThreadHourRow.begin_time - HOUR}
        earlier = ThreadHourRow.update(begun).where(ThreadHourRow.team_id == team_id)
        transaction.write(Statement(earlier))
        asked = TaskRow.update({TaskRow.ask_time: TaskRow.ask_time - HOUR})
        transaction.write(Statement(asked.where(TaskRow.team_id == team_id)))
        seen = AgentRow.update({AgentRow.last_seen_time: AgentRow.last_seen_time - HOUR})
        transaction.write(Statement(seen.where(AgentRow.team_id == team_id)))

    await team.pair.messaging_store.write(team.team_id, unit)


async def suspected(call: Awaitable[Any]) -> dict[str, Any]:
    """The metadata of a send that must be refused as a part of a loop."""
    code, reason, metadata = await refusal(call)
    assert (code.name, reason) == ("FAILED_PRECONDITION", "LOOP_SUSPECTED")
    ids, senders = (json.loads(metadata.pop(f"chain_{part}_ids")) for part in ("message", "sender"))
    return {**metadata, "chain": [*zip(ids, senders, strict=True)]}
