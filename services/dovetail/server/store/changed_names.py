"""What changed since the last look, by name: for watchers whose wake-up was lost, or never sent.

A team's counters tell whether it has new messages, or new changes of tasks; the numbers of its
messages tell which inboxes they are in. So a look costs what changed, not what is watched. A team's
commits are serial, and its counters are part of each: no number appears behind one that was seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from dovetail.server.store.chunks import chunks
from dovetail.server.store.engines.wakeups import QUEUE, WakeKey
from dovetail.server.store.schema import DeliveryRow, TeamRow
from dovetail.server.store.transaction import Snapshot

MESSAGES_MAX = 5_000
"""New messages of a team of which the inboxes are named; of more, all of the team's are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Counters:
    """How far a team was: its last message, and its last change of a task."""

    message: int
    event: int


@dataclass(frozen=True, slots=True)
class Changes:
    """How far each watched team is now, and the inboxes and queues that changed since."""

    counters: dict[str, Counters] = field(default_factory=dict[str, Counters])
    names: set[WakeKey] = field(default_factory=set[WakeKey])


def since(snapshot: Snapshot, seen: dict[str, Counters], watched: Iterable[WakeKey]) -> Changes:
    """What of all that is watched changed since `seen`. Of a team not seen before, all did."""
    by_team: dict[str, list[WakeKey]] = {}
    for each in watched:
        by_team.setdefault(each[0], []).append(each)
    found = Changes(counters=_counters(snapshot, sorted(by_team)))
    for team_id, now in found.counters.items():
        before = seen.get(team_id)
        if before == now:
            continue
        if before is None or now.message - before.message > MESSAGES_MAX:
            found.names.update(by_team[team_id])
            continue
        if now.message > before.message:
            found.names.update(_receivers(snapshot, team_id, before.message))
        if now.event > before.event:
            found.names.update(each for each in by_team[team_id] if each[1].startswith(QUEUE))
    return found


def _counters(snapshot: Snapshot, team_ids: list[str]) -> dict[str, Counters]:
    found: dict[str, Counters] = {}
    for some in chunks(team_ids):
        query = TeamRow.select(TeamRow.team_id, TeamRow.last_message, TeamRow.last_event)
        chosen = query.where(TeamRow.team_id.in_(some))
        for team_id, message, event in snapshot.select(chosen):
            found[team_id] = Counters(message=message, event=event)
    return found


def _receivers(snapshot: Snapshot, team_id: str, after: int) -> list[WakeKey]:
    """The inboxes that got the messages after a number."""
    query = DeliveryRow.select(DeliveryRow.agent_id).where(
        DeliveryRow.team_id == team_id, DeliveryRow.message_number > after
    )
    return [(team_id, agent_id) for (agent_id,) in snapshot.select(query.distinct())]
