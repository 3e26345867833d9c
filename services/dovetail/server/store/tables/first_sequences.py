"""The first delivery that is kept of each inbox."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dovetail.server.store.keyed import finding
from dovetail.server.store.schema import DeliveryRow
from dovetail.server.store.tables.agents import Agent
from dovetail.server.store.transaction import Snapshot

_FIRST = finding(
    'SELECT MIN("sequence") FROM "deliveries" WHERE "team_id" = ? AND "agent_id" = ?',
    (DeliveryRow.team_id, DeliveryRow.agent_id),
)


def with_first(snapshot: Snapshot, found: Sequence[Agent]) -> list[Agent]:
    """Agents with the first sequence that is kept of the inbox of each."""
    changed = [agent for agent in found if agent.removed_count]
    rows = snapshot.fetch(_FIRST, [(snapshot.team_id, agent.agent_id) for agent in changed])
    firsts = {
        agent.agent_id: agent.last_sequence + 1 if first is None else first
        for agent, ((first,),) in zip(changed, rows, strict=True)
    }
    return [replace(each, first_sequence=firsts.get(each.agent_id, 1)) for each in found]
