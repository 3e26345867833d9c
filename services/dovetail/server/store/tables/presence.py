"""Presence: what agents have open at each server process, and how often each process has beaten."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from dovetail.server.store.chunks import chunks
from dovetail.server.store.queries import Delete
from dovetail.server.store.schema import PresenceRow, ServerProcessRow
from dovetail.server.store.sets import Row, Table, plain
from dovetail.server.store.transaction import (
    GlobalSnapshot,
    Need,
    Snapshot,
    Statement,
    Transaction,
    param,
)

PROCESSES_READ_MAX = 1_000
TEAMS_READ_MAX = 100


class Count(NamedTuple):
    """What an agent has open: streams, and calls that wait."""

    open_streams: int = 0
    waiting_calls: int = 0

    def __bool__(self) -> bool:
        return bool(self.open_streams or self.waiting_calls)


NOTHING = Count()


class Told(NamedTuple):
    """What a process last told of an agent."""

    agent_id: str
    process_id: str
    calls: Count


PRESENCE: Table[Row] = Table(
    (
        PresenceRow.agent_id,
        PresenceRow.process_id,
        PresenceRow.open_streams,
        PresenceRow.waiting_calls,
    ),
    2,
    plain(2),
)
PROCESSES: Table[Row] = Table(
    (ServerProcessRow.process_id, ServerProcessRow.beat_count), 1, plain(1)
)
_OWN = (
    PresenceRow.team_id == param("team_id"),
    PresenceRow.process_id == param("process_id"),
)
_FORGET = Statement(Delete(PresenceRow).where(*_OWN))
_FORGET_PROCESS = Statement(
    Delete(ServerProcessRow).where(
        ServerProcessRow.team_id == param("team_id"),
        ServerProcessRow.process_id == param("process_id"),
    )
)
_BEATS = Statement(
    ServerProcessRow.select(ServerProcessRow.process_id, ServerProcessRow.beat_count)
    .where(ServerProcessRow.team_id == param("team_id"))
    .limit(PROCESSES_READ_MAX)
)
_TEAMS = Statement(
    PresenceRow.select(PresenceRow.team_id)
    .where(PresenceRow.process_id == param("process_id"))
    .distinct()
    .limit(TEAMS_READ_MAX)
)


def need(process_id: str, agent_ids: Iterable[str]) -> list[Need]:
    """What a unit needs that records what these agents have open at a process."""
    return [Need(PRESENCE.by_key, (agent_id, process_id)) for agent_id in agent_ids]


def record(transaction: Transaction, process_id: str, counts: Mapping[str, Count]) -> None:
    """Record what agents, which are in the directory, have open at a process."""
    for agent_id, count in counts.items():
        row = (agent_id, process_id, *count)
        if not count:
            continue
        if transaction.find(PRESENCE.by_key, agent_id, process_id) is None:
            transaction.add(PRESENCE, row)
        else:
            transaction.put(PRESENCE, row)
    for some in chunks([agent_id for agent_id, count in counts.items() if not count]):
        gone = Delete(PresenceRow).where(*_OWN, PresenceRow.agent_id.in_(some))
        transaction.write(Statement(gone), process_id=process_id)


def of_agents(snapshot: Snapshot, agent_ids: Sequence[str]) -> list[Told]:
    """What all processes told of these agents, also those that have died since."""
    found: list[Told] = []
    for some in chunks(agent_ids):
        query = PresenceRow.select(
            PresenceRow.agent_id,
            PresenceRow.process_id,
            PresenceRow.open_streams,
            PresenceRow.waiting_calls,
        ).where(PresenceRow.team_id == snapshot.team_id, PresenceRow.agent_id.in_(some))
        found += [
            Told(agent_id, process_id, Count(streams, calls))
            for agent_id, process_id, streams, calls in snapshot.select(query)
        ]
    return found


def beat(transaction: Transaction, process_id: str, beats: int) -> bool:
    """Show that a process is alive, in the unit of no team. Returns whether it was known."""
    is_known = transaction.find(PROCESSES.by_key, process_id) is not None
    (transaction.put if is_known else transaction.add)(PROCESSES, (process_id, beats))
    return is_known


def need_beat(process_id: str) -> list[Need]:
    """What a unit needs that shows that a process is alive."""
    return [Need(PROCESSES.by_key, (process_id,))]


def beats(snapshot: Snapshot) -> dict[str, int]:
    """How often each process has beaten, in a snapshot of no team."""
    return dict(snapshot.rows(_BEATS))


def teams_of(snapshot: GlobalSnapshot, process_id: str) -> list[str]:
    """Some of the teams of whose agents a process told something."""
    return [team_id for (team_id,) in snapshot.rows(_TEAMS, process_id=process_id)]


def forget(transaction: Transaction, process_id: str) -> None:
    """Remove what a process told of a team's agents."""
    transaction.write(_FORGET, process_id=process_id)


def forget_process(transaction: Transaction, process_id: str) -> None:
    """Remove a process of which nothing else is left, in the unit of no team."""
    transaction.write(_FORGET_PROCESS, process_id=process_id)
