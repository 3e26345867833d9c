"""Agents and the counters of their inboxes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import accumulate
from typing import Any, NamedTuple

from dovetail.server.errors import NotFoundError, Reason
from dovetail.server.store import filters
from dovetail.server.store.pages import Page, Stretch, take_bytes
from dovetail.server.store.queries import descending
from dovetail.server.store.schema import AgentRow
from dovetail.server.store.sets import Codec, Row, Table
from dovetail.server.store.transaction import MICROS, Need, Snapshot, Transaction

SEEN_MICROS = 60 * MICROS
ENVELOPE_BYTES = 64
# All chosen, to bound an error's size, and the work for it: it is done where other writers wait.
SHOWN_IDS_MAX = 10
SHOWN_BYTES_MAX = 680  # The longest id fits.
NEIGHBOURS = 20
COMPARED_IDS_MAX = 3
COMPARED_CHARACTERS_MAX = 40


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
    removed_count: int = 0
    removed_acknowledged: int = 0
    removed_unacknowledged: int = 0
    first_sequence: int = 1
    """As far as it was asked for (`deliveries.with_first`)."""

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
_SHOWN = (*_COLUMNS, *_SHOWN_REMOVED)
# An update writes all that changes often, in one statement: none of it is in an index.
AGENTS: Table[AgentRecord] = Table(
    (*_COLUMNS, *_COUNTERS, *_REMOVED),
    1,
    Codec(decode=AgentRecord._make, encode=tuple, key_of=lambda agent: agent[:1]),
    always=(*_COLUMNS[4:], *_COUNTERS),
)


def need(agent_ids: Iterable[str]) -> list[Need]:
    """What a unit needs that sends to these agents, or acts for them; an empty id is none."""
    return [Need(AGENTS.by_key, (agent_id,)) for agent_id in agent_ids if agent_id]


def find(snapshot: Snapshot, agent_id: str) -> Agent | None:
    """One agent, or None."""
    record = snapshot.find(AGENTS.by_key, agent_id)
    if record is None:
        return None
    return _agent((*record[: len(_COLUMNS)], *record[-len(_REMOVED) : -1]))


def get(snapshot: Snapshot, agent_id: str) -> Agent:
    """One agent. Raises NotFoundError with the nearest known ids."""
    agent = find(snapshot, agent_id)
    if agent is None:
        raise _not_found(snapshot, [agent_id])
    return agent


def ping(snapshot: Snapshot) -> bool:
    """Read something, to check that the store can be read. Returns whether there is any agent."""
    return bool(snapshot.select(AgentRow.select(AgentRow.agent_id).limit(1)))


def register(
    transaction: Transaction,
    agent_id: str,
    display_name: str = "",
    labels: Mapping[str, str] | None = None,
) -> None:
    """Add an agent that does not exist yet, with an empty inbox."""
    now = transaction.team.stamp
    transaction.add(
        AGENTS,
        AgentRecord(
            agent_id=agent_id,
            display_name=display_name,
            labels=filters.encode_labels(labels or {}),
            create_time=now,
            last_seen_time=now,
            last_sequence=0,
            unacknowledged_count=0,
        ),
    )


def touch(transaction: Transaction, agent_id: str) -> None:
    """Register an agent that is new, and update, to the minute, when it was last seen."""
    if not agent_id:
        return
    record = transaction.find(AGENTS.by_key, agent_id)
    now = transaction.team.stamp
    if record is None:
        register(transaction, agent_id)
    elif record.last_seen_time + SEEN_MICROS <= now:
        transaction.put(AGENTS, record._replace(last_seen_time=now))


def last_sequences(snapshot: Snapshot, agent_ids: Iterable[str]) -> dict[str, int]:
    """The last sequence in the inbox of each of these agents that exists."""
    ids = list(agent_ids)
    snapshot.need(need(ids))
    found = ((agent_id, snapshot.find(AGENTS.by_key, agent_id)) for agent_id in ids)
    return {agent_id: record.last_sequence for agent_id, record in found if record}


def require(snapshot: Snapshot, agent_ids: Sequence[str]) -> dict[str, int]:
    """The last sequence in each of these inboxes. Raises NotFoundError with all unknown ids."""
    found = last_sequences(snapshot, agent_ids)
    unknown = [agent_id for agent_id in agent_ids if agent_id not in found]
    if unknown:
        raise _not_found(snapshot, unknown)
    return found


def page(snapshot: Snapshot, asked: ListRequest) -> Page[Agent]:
    """A page of at most `most` agents and `most_bytes`, but at least one."""
    mine, key = AgentRow.team_id == snapshot.team_id, AgentRow.agent_id
    stretch = Stretch(newest_first=False, after=asked.after)
    wanted = filters.having_labels(snapshot, AgentRow.labels, asked.labels)
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
    return Agent(**values)


def _neighbours(snapshot: Snapshot, agent_id: str) -> list[str]:
    """The known ids next to an unknown one in the order of ids: cheap in a team of any size."""
    ids = AgentRow.select(AgentRow.agent_id).where(AgentRow.team_id == snapshot.team_id)
    below = ids.where(AgentRow.agent_id < agent_id).order_by(descending(AgentRow.agent_id))
    above = ids.where(AgentRow.agent_id > agent_id).order_by(AgentRow.agent_id)
    rows = [row for side in (below, above) for row in snapshot.select(side.limit(NEIGHBOURS))]
    return [each for (each,) in rows]


def _nearest(snapshot: Snapshot, unknown: Sequence[str]) -> list[str]:
    """Known ids that are similar to the unknown ones. The work is bounded, as writers wait."""
    found: dict[str, None] = {}
    for agent_id in unknown[:COMPARED_IDS_MAX]:
        begun = {each[:COMPARED_CHARACTERS_MAX]: each for each in _neighbours(snapshot, agent_id)}
        alike = get_close_matches(agent_id[:COMPARED_CHARACTERS_MAX], begun, n=3)
        found.update((begun[each], None) for each in alike)
    return list(found)


def _not_found(snapshot: Snapshot, unknown: Sequence[str]) -> NotFoundError:
    shown = readable(unknown)
    nearest = readable(_nearest(snapshot, unknown))
    names = ", ".join(json.dumps(agent_id, ensure_ascii=False) for agent_id in shown)
    more = f" and {len(unknown) - len(shown)} more" if len(unknown) > len(shown) else ""
    hint = f"; nearest known: {', '.join(nearest)}" if nearest else ""
    who = f"agent {names} is" if len(unknown) == 1 else f"agents {names}{more} are"
    return NotFoundError(
        Reason.AGENT_NOT_FOUND,
        f"{who} not known here, in team {snapshot.team_id!r}{hint}",
        metadata={
            "agent_ids": json.dumps(shown, ensure_ascii=False),
            "unknown_count": str(len(unknown)),
            "nearest_ids": json.dumps(nearest, ensure_ascii=False),
        },
    )


def readable(agent_ids: Sequence[str]) -> list[str]:
    """The first of these ids, as many as fit into an error without cutting one."""
    first = agent_ids[:SHOWN_IDS_MAX]
    sizes = accumulate(len(json.dumps(each, ensure_ascii=False).encode()) + 2 for each in first)
    return [each for each, size in zip(first, sizes, strict=True) if size <= SHOWN_BYTES_MAX]
