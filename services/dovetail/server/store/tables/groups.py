"""Groups: named sets of a team's agents."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dovetail.server.errors import Reason
from dovetail.server.store import filters
from dovetail.server.store.chunks import chunks
from dovetail.server.store.pages import Page, Stretch, take_bytes
from dovetail.server.store.queries import Delete, descending, fn
from dovetail.server.store.schema import AgentGroupRow, GroupMemberRow
from dovetail.server.store.sets import Codec, Range, Row, Table, plain
from dovetail.server.store.tables.unknown import Kind, not_found
from dovetail.server.store.transaction import Need, Snapshot, Statement, Transaction, param

MEMBERS_MAX = 1_000
ENVELOPE_BYTES = 160
NEIGHBOURS = 20


class Group(NamedTuple):
    """A group as it is stored, without its members. Times in microseconds since 1970 UTC."""

    group_id: str
    display_name: str
    labels_text: str
    creator_id: str
    create_time: int
    update_time: int
    version: int
    agent_count: int

    @property
    def labels(self) -> Mapping[str, str]:
        """Its labels."""
        return filters.decode_labels(self.labels_text)

    @property
    def etag(self) -> str:
        """Its version, as callers see it."""
        return f"v{self.version}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ListRequest:
    """A page of groups: which ones, after which id."""

    agent_id: str
    labels: Mapping[str, str]
    after: str
    most: int
    most_bytes: int


_COLUMNS = (
    AgentGroupRow.group_id,
    AgentGroupRow.display_name,
    AgentGroupRow.labels,
    AgentGroupRow.creator_id,
    AgentGroupRow.create_time,
    AgentGroupRow.update_time,
    AgentGroupRow.version,
    AgentGroupRow.agent_count,
)
GROUPS: Table[Group] = Table(
    _COLUMNS,
    1,
    Codec(decode=Group._make, encode=tuple, key_of=lambda group: group[:1]),
    always=_COLUMNS[5:],
)
MEMBERS: Table[Row] = Table((GroupMemberRow.group_id, GroupMemberRow.agent_id), 2, plain(2))
_OF_GROUP = Range(
    MEMBERS,
    (GroupMemberRow.group_id,),
    '"group_id" = ?',
    order='"agent_id"',
    most=MEMBERS_MAX,
)
_MINE = AgentGroupRow.team_id == param("team_id")
_COUNT = Statement(AgentGroupRow.select(fn.COUNT(AgentGroupRow.group_id)).where(_MINE))
_OF_AGENT = Statement(
    GroupMemberRow.select(GroupMemberRow.group_id).where(
        GroupMemberRow.team_id == param("team_id"), GroupMemberRow.agent_id == param("agent_id")
    )
)
_TAKE_OUT = Statement(
    Delete(GroupMemberRow).where(
        GroupMemberRow.team_id == param("team_id"), GroupMemberRow.agent_id == param("agent_id")
    )
)
_CLEAR = Statement(
    Delete(GroupMemberRow).where(
        GroupMemberRow.team_id == param("team_id"), GroupMemberRow.group_id == param("group_id")
    )
)
_DELETE = Statement(Delete(AgentGroupRow).where(_MINE, AgentGroupRow.group_id == param("group_id")))


def labels_text(labels: Mapping[str, str]) -> str:
    """Labels as they are stored."""
    return filters.encode_labels(labels)


def need(group_ids: Iterable[str]) -> list[Need]:
    """What a unit needs of these groups, beside their members."""
    return [Need(GROUPS.by_key, (group_id,)) for group_id in group_ids]


def need_members(group_ids: Iterable[str]) -> list[Need]:
    """What a unit needs that reads the members of these groups."""
    return [Need(_OF_GROUP, (group_id,)) for group_id in group_ids]


def find(snapshot: Snapshot, group_id: str) -> Group | None:
    """One group, or None."""
    return snapshot.find(GROUPS.by_key, group_id)


def require(snapshot: Snapshot, group_ids: Sequence[str]) -> list[Group]:
    """These groups. Raises NotFoundError with all that are not known, and the nearest that are."""
    found = [find(snapshot, group_id) for group_id in group_ids]
    unknown = [each for each, group in zip(group_ids, found, strict=True) if group is None]
    if unknown:
        raise not_found(snapshot, unknown, _GROUP)
    return [group for group in found if group]


def count(snapshot: Snapshot) -> int:
    """How many groups the team has."""
    row = snapshot.row(_COUNT)
    return row[0] if row else 0


def members(transaction: Transaction, group_id: str) -> list[str]:
    """The members of a group, in order of id."""
    return sorted(agent_id for _, agent_id in transaction.find_all(_OF_GROUP, group_id))


def members_read(snapshot: Snapshot, group_id: str) -> list[str]:
    """The same, for a query."""
    query = GroupMemberRow.select(GroupMemberRow.agent_id).where(
        GroupMemberRow.team_id == snapshot.team_id, GroupMemberRow.group_id == group_id
    )
    return [agent_id for (agent_id,) in snapshot.select(query.order_by(GroupMemberRow.agent_id))]


def add(transaction: Transaction, group: Group) -> None:
    """Add a group, still without members."""
    transaction.add(GROUPS, group)


def save(transaction: Transaction, group: Group) -> None:
    """Change what is said of a group."""
    transaction.put(GROUPS, group)


def set_members(
    transaction: Transaction, group_id: str, before: Collection[str], after: Collection[str]
) -> None:
    """Replace the members of a group, whose head is written."""
    left = sorted(set(before).difference(after))
    for some in chunks(left):
        gone = Delete(GroupMemberRow).where(
            GroupMemberRow.team_id == param("team_id"),
            GroupMemberRow.group_id == param("group_id"),
            GroupMemberRow.agent_id.in_(some),
        )
        transaction.write(Statement(gone), group_id=group_id)
    for agent_id in sorted(set(after).difference(before)):
        transaction.add(MEMBERS, (group_id, agent_id))


def delete(transaction: Transaction, group_id: str) -> None:
    """Remove a group."""
    transaction.write(_CLEAR, group_id=group_id)
    transaction.write(_DELETE, group_id=group_id)


def take_out(transaction: Transaction, agent_id: str) -> int:
    """Take an agent out of all groups. Returns of how many it was a member."""
    group_ids = [group_id for (group_id,) in transaction.rows(_OF_AGENT, agent_id=agent_id)]
    if not group_ids:
        return 0
    transaction.write(_TAKE_OUT, agent_id=agent_id)
    transaction.need(need(group_ids))
    for group in require(transaction, group_ids):
        smaller = group._replace(agent_count=group.agent_count - 1)
        save(transaction, changed(transaction, smaller))
    return len(group_ids)


def changed(transaction: Transaction, group: Group) -> Group:
    """A group that changes now: its version grows, beyond that of any that had its id before."""
    stamp = transaction.team.stamp
    return group._replace(update_time=stamp, version=max(group.version + 1, stamp))


def page(snapshot: Snapshot, asked: ListRequest) -> Page[Group]:
    """A page of at most `most` groups and `most_bytes`, but at least one."""
    mine, key = AgentGroupRow.team_id == snapshot.team_id, AgentGroupRow.group_id
    stretch = Stretch(newest_first=False, after=asked.after)
    wanted = filters.having_labels(snapshot, AgentGroupRow.labels, asked.labels)
    if asked.agent_id:
        wanted.append(
            key.in_(
                GroupMemberRow.select(GroupMemberRow.group_id).where(
                    GroupMemberRow.team_id == snapshot.team_id,
                    GroupMemberRow.agent_id == asked.agent_id,
                )
            )
        )
    query = AgentGroupRow.select(*_COLUMNS).where(mine, *stretch.of(key), *wanted)
    rows = snapshot.select(query.order_by(key).limit(asked.most + 1))
    chosen = take_bytes(((row, _size(row)) for row in rows[: asked.most]), asked.most_bytes)
    found = [Group._make(row) for row in chosen]
    return Page(found, found[-1].group_id if len(chosen) < len(rows) else None)


def _size(row: Row) -> int:
    return sum(len(text.encode()) for text in row[:4]) + ENVELOPE_BYTES


def _neighbours(snapshot: Snapshot, group_id: str) -> list[str]:
    """The known ids next to an unknown one in the order of ids."""
    key = AgentGroupRow.group_id
    ids = AgentGroupRow.select(key).where(AgentGroupRow.team_id == snapshot.team_id)
    below = ids.where(key < group_id).order_by(descending(key))
    above = ids.where(key > group_id).order_by(key)
    return [each for side in (below, above) for (each,) in snapshot.select(side.limit(NEIGHBOURS))]


_GROUP = Kind(word="group", reason=Reason.GROUP_NOT_FOUND, neighbours=_neighbours)
