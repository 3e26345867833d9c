"""What changed since the last look, by name: for watchers whose wake-up was lost, or never sent.

A team's counters show whether it has new messages, or new changes of tasks; the numbers of its
messages lead to the inboxes they are in. So a look costs what changed, not what is watched.

The invariant: no number becomes visible after a larger one was seen. It holds because a team's
commits are serial and its counters are part of each commit. It would break on a read replica that
applies a commit in parts, or if two groups of one team could commit side by side.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from dovetail.server.store.chunks import chunks
from dovetail.server.store.rings import EVENTS, QUEUE, REMOVALS, WakeKey
from dovetail.server.store.schema import DeliveryRow, TeamRow
from dovetail.server.store.transaction import Snapshot

MESSAGES_MAX = 5_000
"""New messages of a team up to which their inboxes are looked up; beyond, all of the team's ring.

Chosen, to bound what one look reads. A ring too many costs its watcher one read.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Counters:
    """How far a team is: its last message and change of a task, and its removals of agents."""

    message: int
    event: int
    removals: int


@dataclass(frozen=True, slots=True)
class Changes:
    """How far each watched team is now, and the inboxes and queues that have changed."""

    counters: dict[str, Counters] = field(default_factory=dict[str, Counters])
    names: set[WakeKey] = field(default_factory=set[WakeKey])


def since(snapshot: Snapshot, seen: dict[str, Counters], watched: Iterable[WakeKey]) -> Changes:
    """Return what has changed of the watched names since `seen`; of a team not in `seen`, all."""
    # Counters and deliveries come from one snapshot. With two, a message between them would be
    # counted as seen though its inbox was not named.
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
        # A look does not see acknowledgements, which change neither counter: a stream that waits
        # for room finds it at its next heartbeat. Heartbeats of leases it need not see.
        if now.message > before.message:
            found.names.update(_receivers(snapshot, team_id, before.message))
        # Any change of a task can make others ready, in queues that only its rules know: all ring.
        if now.event > before.event:
            found.names.update(
                each for each in by_team[team_id] if each[1].startswith((QUEUE, EVENTS))
            )
        if now.removals > before.removals:
            found.names.add((team_id, REMOVALS))
    return found


def _counters(snapshot: Snapshot, team_ids: list[str]) -> dict[str, Counters]:
    found: dict[str, Counters] = {}
    for some in chunks(team_ids):
        query = TeamRow.select(
            TeamRow.team_id, TeamRow.last_message, TeamRow.last_event, TeamRow.removal_count
        )
        chosen = query.where(TeamRow.team_id.in_(some))
        for team_id, message, event, removals in snapshot.select(chosen):
            found[team_id] = Counters(message=message, event=event, removals=removals)
    return found


def _receivers(snapshot: Snapshot, team_id: str, after: int) -> list[WakeKey]:
    """The inboxes that received messages with a larger number."""
    query = DeliveryRow.select(DeliveryRow.agent_id).where(
        DeliveryRow.team_id == team_id, DeliveryRow.message_number > after
    )
    return [(team_id, agent_id) for (agent_id,) in snapshot.select(query.distinct())]
