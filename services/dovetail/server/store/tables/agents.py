"""Agents and the counters of their inboxes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NamedTuple

from dovetail.server.errors import NotFoundError, Reason
from dovetail.server.store import filters
from dovetail.server.store.chunks import chunks
from dovetail.server.store.pages import Page, Stretch, take_bytes
from dovetail.server.store.queries import descending
from dovetail.server.store.rings import REMOVALS
from dovetail.server.store.schema import AgentRow, TeamRow
from dovetail.server.store.sets import Codec, Row, Table
from dovetail.server.store.tables.unknown import Kind, not_found
from dovetail.server.store.transaction import (
    MICROS,
    Need,
    Snapshot,
    Statement,
    Transaction,
    param,
)

SEEN_MICROS = 60 * MICROS
ENVELOPE_BYTES = 96
NEIGHBOURS = 20


class AgentKind(IntEnum):
    """What an agent is."""

    UNSPECIFIED = 0
    MODEL = 1
    PERSON = 2
    SERVICE = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """What others say of an agent: all that is not counted by the servers."""

    display_name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    kind: AgentKind = AgentKind.UNSPECIFIED


@dataclass(frozen=True, kw_only=True, slots=True)
class Agent:
    """An agent as the directory shows it. Times in microseconds since 1970 UTC.

    What was removed of its inbox is counted, with the highest sequence of what was acknowledged,
    and of what was not.
    """

    agent_id: str
    display_name: str
    labels: Mapping[str, str]
    create_time: int
    last_seen_time: int
    last_sequence: int
    unacknowledged_count: int
    kind: AgentKind
    version: int
    remove_time: int | None
    removed_count: int = 0
    removed_acknowledged: int = 0
    removed_unacknowledged: int = 0
    first_sequence: int = 1
    """As far as it was asked for (`first_sequences.with_first`)."""

    @property
    def etag(self) -> str:
        """Its version, as callers see it."""
        return f"v{self.version}"

    @property
    def profile(self) -> Profile:
        """What others say of it."""
        return Profile(display_name=self.display_name, labels=self.labels, kind=self.kind)

    def removed_through(self, include_acknowledged: bool) -> int:
        """The highest sequence that was removed of what a stream sends; 0: none was."""
        if include_acknowledged:
            return max(self.removed_acknowledged, self.removed_unacknowledged)
        return self.removed_unacknowledged


@dataclass(frozen=True, kw_only=True, slots=True)
class ListRequest:
    """A page of agents: which ones, after which id."""

    labels: Mapping[str, str]
    after: str
    most: int
    most_bytes: int
    include_removed: bool = False


class AgentRecord(NamedTuple):
    """An agent as it is stored: what the directory shows, and the counters of its inbox."""

    agent_id: str
    display_name: str
    labels: str
    create_time: int
    last_seen_time: int
    last_sequence: int
    unacknowledged_count: int
    acknowledged_count: int = 0
    acknowledge_micros: int = 0
    mail_count: int = 0
    mail_bytes: int = 0
    removed_count: int = 0
    removed_acknowledged: int = 0
    removed_unacknowledged: int = 0
    removed_acknowledged_count: int = 0
    kind: int = 0
    version: int = 1
    remove_time: int | None = None

    @property
    def shown(self) -> Row:
        """What the directory shows, as `_SHOWN` has it."""
        removed = (self.removed_count, self.removed_acknowledged, self.removed_unacknowledged)
        state = (self.kind, self.version, self.remove_time)
        return (*self[: len(_COLUMNS)], *state, *removed)


_COLUMNS = (
    AgentRow.agent_id,
    AgentRow.display_name,
    AgentRow.labels,
    AgentRow.create_time,
    AgentRow.last_seen_time,
    AgentRow.last_sequence,
    AgentRow.unacknowledged_count,
)
_COUNTERS = (
    AgentRow.acknowledged_count,
    AgentRow.acknowledge_micros,
    AgentRow.mail_count,
    AgentRow.mail_bytes,
)
_SHOWN_REMOVED = (
    AgentRow.removed_count,
    AgentRow.removed_acknowledged,
    AgentRow.removed_unacknowledged,
)
_REMOVED = (*_SHOWN_REMOVED, AgentRow.removed_acknowledged_count)
_STATE = (AgentRow.kind, AgentRow.version, AgentRow.remove_time)
_SHOWN = (*_COLUMNS, *_STATE, *_SHOWN_REMOVED)
# An update writes all that changes often, in one statement: none of it is in an index.
AGENTS: Table[AgentRecord] = Table(
    (*_COLUMNS, *_COUNTERS, *_REMOVED, *_STATE),
    1,
    Codec(decode=AgentRecord._make, encode=tuple, key_of=lambda agent: agent[:1]),
    always=(*_COLUMNS[4:], *_COUNTERS),
)

_COUNT_REMOVAL = Statement(
    TeamRow.update({TeamRow.removal_count: TeamRow.removal_count + 1}).where(
        TeamRow.team_id == param("team_id")
    )
)


def need(agent_ids: Iterable[str]) -> list[Need]:
    """What a unit needs that sends to these agents, or acts for them; an empty id is none."""
    return [Need(AGENTS.by_key, (agent_id,)) for agent_id in agent_ids if agent_id]


def find(snapshot: Snapshot, agent_id: str) -> Agent | None:
    """One agent that is known, or None."""
    agent = find_any(snapshot, agent_id)
    return agent if agent and agent.remove_time is None else None


def find_any(snapshot: Snapshot, agent_id: str) -> Agent | None:
    """One agent, known or removed; None: there never was one."""
    record = snapshot.find(AGENTS.by_key, agent_id)
    return _agent(record.shown) if record else None


def is_removed(snapshot: Snapshot, agent_id: str) -> bool:
    """Whether it was known once, and is no more."""
    record = snapshot.find(AGENTS.by_key, agent_id)
    return record is not None and record.remove_time is not None


def is_person(snapshot: Snapshot, agent_id: str) -> bool:
    """Whether an agent is known as a person."""
    record = snapshot.find(AGENTS.by_key, agent_id)
    return record is not None and record.kind == AgentKind.PERSON


def get(snapshot: Snapshot, agent_id: str) -> Agent:
    """One agent. Raises NotFoundError with the nearest known ids."""
    agent = find(snapshot, agent_id)
    if agent is None:
        raise unknown_error(snapshot, [agent_id])
    return agent


def ping(snapshot: Snapshot) -> bool:
    """Read something, to check that the store can be read. Returns whether there is any agent."""
    return bool(snapshot.select(AgentRow.select(AgentRow.agent_id).limit(1)))


def register(transaction: Transaction, agent_id: str, profile: Profile | None = None) -> None:
    """Add an agent that is not known. One that was removed has the inbox that it had."""
    now, profile = transaction.team.stamp, profile or Profile()
    before = transaction.find(AGENTS.by_key, agent_id)
    added = AgentRecord(
        agent_id=agent_id,
        display_name=profile.display_name,
        labels=filters.encode_labels(profile.labels),
        create_time=now,
        last_seen_time=now,
        last_sequence=0,
        unacknowledged_count=0,
        kind=int(profile.kind),
    )
    if before is None:
        transaction.add(AGENTS, added)
        return
    again = before._replace(
        display_name=added.display_name,
        labels=added.labels,
        create_time=now,
        last_seen_time=now,
        kind=added.kind,
        version=before.version + 1,
        remove_time=None,
    )
    transaction.put(AGENTS, again)


def update(transaction: Transaction, agent_id: str, profile: Profile) -> None:
    """Change what is said of an agent that is known."""
    record = _record(transaction, agent_id)
    changed = record._replace(
        display_name=profile.display_name,
        labels=filters.encode_labels(profile.labels),
        kind=int(profile.kind),
        version=record.version + 1,
    )
    transaction.put(AGENTS, changed)


def remove(transaction: Transaction, agent_id: str) -> None:
    """Remove an agent that is known, and let every server look for its open calls."""
    record = _record(transaction, agent_id)
    stamp, version = transaction.team.stamp, record.version + 1
    transaction.put(AGENTS, record._replace(remove_time=stamp, version=version))
    transaction.write(_COUNT_REMOVAL)
    transaction.ring(REMOVALS)


def touch(transaction: Transaction, agent_id: str) -> None:
    """Register an agent that is not known, and update, to the minute, when it was last seen."""
    if not agent_id:
        return
    record = transaction.find(AGENTS.by_key, agent_id)
    if record is None or record.remove_time is not None:
        register(transaction, agent_id)
    else:
        _see(transaction, record)


def see(transaction: Transaction, agent_id: str) -> None:
    """Update when an agent was last seen, if it is known: reading registers nobody."""
    record = transaction.find(AGENTS.by_key, agent_id)
    if record and record.remove_time is None:
        _see(transaction, record)


def _see(transaction: Transaction, record: AgentRecord) -> None:
    now = transaction.team.stamp
    if record.last_seen_time + SEEN_MICROS <= now:
        transaction.put(AGENTS, record._replace(last_seen_time=now))


def _record(transaction: Transaction, agent_id: str) -> AgentRecord:
    record = transaction.find(AGENTS.by_key, agent_id)
    if record is None or record.remove_time is not None:
        raise AssertionError(f"no agent {agent_id!r}: the unit did not check that")
    return record


def last_sequences(snapshot: Snapshot, agent_ids: Iterable[str]) -> dict[str, int]:
    """The last sequence in the inbox of each of these agents that is known."""
    ids = list(agent_ids)
    snapshot.need(need(ids))
    found = ((agent_id, snapshot.find(AGENTS.by_key, agent_id)) for agent_id in ids)
    return {
        agent_id: record.last_sequence
        for agent_id, record in found
        if record and record.remove_time is None
    }


def removals(snapshot: Snapshot, agent_ids: Sequence[str]) -> dict[str, bool]:
    """Those of these agents that are in the directory, and whether each was removed."""
    found: dict[str, bool] = {}
    for some in chunks(agent_ids):
        query = AgentRow.select(AgentRow.agent_id, AgentRow.remove_time).where(
            AgentRow.team_id == snapshot.team_id, AgentRow.agent_id.in_(some)
        )
        found |= {agent_id: time is not None for agent_id, time in snapshot.select(query)}
    return found


def require(snapshot: Snapshot, agent_ids: Sequence[str]) -> dict[str, int]:
    """The last sequence in each of these inboxes. Raises NotFoundError with all unknown ids."""
    found = last_sequences(snapshot, agent_ids)
    unknown = [agent_id for agent_id in agent_ids if agent_id not in found]
    if unknown:
        raise unknown_error(snapshot, unknown)
    return found


def page(snapshot: Snapshot, asked: ListRequest) -> Page[Agent]:
    """A page of at most `most` agents and `most_bytes`, but at least one."""
    mine, key = AgentRow.team_id == snapshot.team_id, AgentRow.agent_id
    stretch = Stretch(newest_first=False, after=asked.after)
    wanted = filters.having_labels(snapshot, AgentRow.labels, asked.labels)
    if not asked.include_removed:
        wanted.append(AgentRow.remove_time.is_null())
    if wanted:
        stretch = stretch.step(snapshot, key, mine)
    query = AgentRow.select(*_SHOWN).where(mine, *stretch.of(key), *wanted)
    rows = snapshot.select(query.order_by(key).limit(asked.most + 1))
    chosen = take_bytes(((row, _size(row)) for row in rows[: asked.most]), asked.most_bytes)
    found = [_agent(row) for row in chosen]
    return Page(found, found[-1].agent_id if len(chosen) < len(rows) else stretch.until)


def _size(row: Row) -> int:
    return sum(len(text.encode()) for text in row[:3]) + ENVELOPE_BYTES


def _agent(row: Row) -> Agent:
    values: dict[str, Any] = dict(zip((column.name for column in _SHOWN), row, strict=True))
    values["labels"] = filters.decode_labels(values["labels"])
    values["kind"] = AgentKind(values["kind"])
    return Agent(**values)


def unknown_error(snapshot: Snapshot, unknown: Sequence[str]) -> NotFoundError:
    """The error for agents that are not known, with the nearest that are."""
    return not_found(snapshot, unknown, _AGENT, sum(removals(snapshot, unknown).values()))


def _neighbours(snapshot: Snapshot, agent_id: str) -> list[str]:
    """The known ids next to an unknown one in the order of ids: cheap in a team of any size."""
    columns = (AgentRow.agent_id, AgentRow.remove_time)
    ids = AgentRow.select(*columns).where(AgentRow.team_id == snapshot.team_id)
    below = ids.where(AgentRow.agent_id < agent_id).order_by(descending(AgentRow.agent_id))
    above = ids.where(AgentRow.agent_id > agent_id).order_by(AgentRow.agent_id)
    rows = [row for side in (below, above) for row in snapshot.select(side.limit(NEIGHBOURS))]
    return [each for each, remove_time in rows if remove_time is None]


_AGENT = Kind(word="agent", reason=Reason.AGENT_NOT_FOUND, neighbours=_neighbours)
