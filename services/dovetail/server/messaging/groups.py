"""Groups: the rules of named sets of agents, and who gets what is sent to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dovetail.server.access.caller import Caller
from dovetail.server.edge.paging import PAGE_BYTES, Paging
from dovetail.server.errors import (
    AbortedError,
    FailedPreconditionError,
    Reason,
    ResourceExhaustedError,
)
from dovetail.server.preconditions import check_version
from dovetail.server.store.store import Store
from dovetail.server.store.tables import agents, groups
from dovetail.server.store.tables.groups import Group
from dovetail.server.store.transaction import Need, Snapshot, Transaction

GROUPS_MAX = 1_000
RECIPIENTS_MAX = 1_000
BATCH_RECIPIENTS_MAX = 10_000
"""Of all messages of a batch: each delivery takes the one writer some 20 µs, 0.2 s in all."""

READ_MEMBERS_MAX = 20_000
"""Members of all groups of one request, also those in several: as many rows are read. Chosen."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupDraft:
    """A group as it is to be."""

    group_id: str
    display_name: str
    labels: Mapping[str, str]
    agent_ids: Sequence[str]


class GroupMembers(NamedTuple):
    """A group with its members, in order of id; None where they were not asked for."""

    group: Group
    agent_ids: Sequence[str] | None = None


class Groups:
    """Makes groups, and finds them."""

    def __init__(self, store: Store) -> None:
        """Keep groups in `store`."""
        self._store = store

    async def put(self, caller: Caller, draft: GroupDraft, etag: str) -> tuple[GroupMembers, bool]:
        """Make a group, or replace all of it; returns it, and whether it is new."""
        members = sorted(set(draft.agent_ids))

        def unit(transaction: Transaction) -> tuple[GroupMembers, bool]:
            before = groups.find(transaction, draft.group_id)
            if before:
                caller.require_own(f"group {draft.group_id!r}", before.creator_id)
            agents.require(transaction, [each for each in members if each != caller.agent_id])
            old = groups.members(transaction, draft.group_id) if before else []
            group = _head(transaction, caller, draft, before)._replace(agent_count=len(members))
            if group == before and old == members:
                return GroupMembers(group, members), False
            _check_etag(draft.group_id, before, etag)
            if before is None:
                _check_room(transaction)
            agents.touch(transaction, caller.agent_id)
            group = groups.changed(transaction, group)
            (groups.save if before else groups.add)(transaction, group)
            groups.set_members(transaction, group.group_id, old, members)
            return GroupMembers(group, members), before is None

        needs = [*groups.need([draft.group_id]), *groups.need_members([draft.group_id])]
        needs += agents.need({caller.agent_id, *members})
        return await self._store.write(caller.team_id, unit, needs)

    async def get(self, caller: Caller, group_id: str) -> GroupMembers:
        """One group with its members."""

        def query(snapshot: Snapshot) -> GroupMembers:
            (group,) = groups.require(snapshot, [group_id])
            return GroupMembers(group, groups.members_read(snapshot, group_id))

        return await self._store.read(caller.team_id, query)

    async def page(
        self, caller: Caller, request: groups.ListRequest, paging: Paging
    ) -> tuple[list[GroupMembers], str]:
        """A page of groups in order of id, without their members, and the token of the next."""

        def query(snapshot: Snapshot) -> tuple[list[GroupMembers], str]:
            if request.agent_id:
                agents.require(snapshot, [request.agent_id])
            found, after = groups.page(snapshot, request)
            return [GroupMembers(group) for group in found], paging.next_token(after)

        return await self._store.read(caller.team_id, query)

    async def delete(self, caller: Caller, group_id: str, etag: str) -> bool:
        """Remove a group; returns whether there was one."""

        def unit(transaction: Transaction) -> bool:
            before = groups.find(transaction, group_id)
            if before is None:
                return False
            caller.require_own(f"group {group_id!r}", before.creator_id)
            _check_etag(group_id, before, etag)
            agents.touch(transaction, caller.agent_id)
            groups.delete(transaction, group_id)
            return True

        needs = [*groups.need([group_id]), *agents.need([caller.agent_id])]
        return await self._store.write(caller.team_id, unit, needs)


def list_request(
    agent_id: str, labels: Mapping[str, str], after: str, paging: Paging
) -> groups.ListRequest:
    """Which groups to list."""
    return groups.ListRequest(
        agent_id=agent_id, labels=labels, after=after, most=paging.most, most_bytes=PAGE_BYTES
    )


def needs(group_ids: Iterable[str]) -> list[Need]:
    """What a unit needs that sends to these groups."""
    # Their members are read when it is known how many they are.
    return groups.need(group_ids)


class Addressed(NamedTuple):
    """To whom a message is to be sent; `prefix` is what its fields begin with in errors."""

    recipient_ids: Sequence[str]
    group_ids: Sequence[str]
    prefix: str


def recipients(
    transaction: Transaction, sender_id: str, batch: Sequence[Addressed]
) -> list[list[str]]:
    """The recipients of each message: those that it names, then the members of its groups.

    The sender gets what it sends to a group only if it names itself too.
    """
    group_ids = list(dict.fromkeys(each for message in batch for each in message.group_ids))
    members = _members(transaction, group_ids)
    resolved: list[list[str]] = []
    count = 0
    for message in batch:
        # Each once, also in a later group: a message costs as much as its groups have members.
        others = (each for group_id in message.group_ids for each in members[group_id])
        found = dict.fromkeys(message.recipient_ids)
        found.update(dict.fromkeys(each for each in others if each != sender_id))
        if not found:
            raise _no_recipients(message)
        count += len(found)
        _check_count(f"{message.prefix}group_ids", len(found), RECIPIENTS_MAX)
        _check_count("requests", count, BATCH_RECIPIENTS_MAX)
        resolved.append(list(found))
    return resolved


def _members(transaction: Transaction, group_ids: Sequence[str]) -> dict[str, list[str]]:
    found = groups.require(transaction, group_ids)
    _check_count("group_ids", sum(each.agent_count for each in found), READ_MEMBERS_MAX)
    transaction.need(groups.need_members(group_ids))
    return {group_id: groups.members(transaction, group_id) for group_id in group_ids}


def _check_count(field: str, count: int, most: int) -> None:
    if count > most:
        raise FailedPreconditionError(
            Reason.TOO_MANY_RECIPIENTS,
            f"{field}: with the members of the groups there are {count:,} recipients, and at most"
            f" {most:,} are allowed: send to fewer groups at once, or make them smaller",
            metadata={"field": field, "recipient_count": str(count), "most": str(most)},
        )


def _no_recipients(message: Addressed) -> FailedPreconditionError:
    field, names = f"{message.prefix}group_ids", ", ".join(map(repr, message.group_ids[:3]))
    more = len(message.group_ids) - 3
    rest = f" and {more} more" if more > 0 else ""
    return FailedPreconditionError(
        Reason.NO_RECIPIENTS,
        f"{field}: {names}{rest} {'have' if len(message.group_ids) > 1 else 'has'} no member but"
        " the sender, so nobody would get it: add members by PutGroup, or name recipient_ids",
        metadata={"field": field},
    )


def _head(
    transaction: Transaction, caller: Caller, draft: GroupDraft, before: Group | None
) -> Group:
    """A group with what the draft says of it, and else as it was."""
    stamp = transaction.team.stamp
    old = before or Group(draft.group_id, "", "", caller.agent_id, stamp, stamp, 0, 0)
    return old._replace(
        display_name=draft.display_name, labels_text=groups.labels_text(draft.labels)
    )


def _check_etag(group_id: str, group: Group | None, expected: str) -> None:
    if expected and group is None:
        raise AbortedError(
            Reason.ETAG_MISMATCH,
            f"etag: there is no group {group_id!r}, so it has no etag",
            metadata={"group_id": group_id, "etag": ""},
        )
    if group:
        metadata = {"group_id": group_id, "etag": group.etag}
        check_version("etag", f"group {group_id!r}", expected, metadata)


def _check_room(snapshot: Snapshot) -> None:
    if groups.count(snapshot) >= GROUPS_MAX:
        raise ResourceExhaustedError(
            Reason.TOO_MANY_GROUPS,
            f"the team has {GROUPS_MAX:,} groups, and may not have more: delete one first",
            metadata={"most": str(GROUPS_MAX)},
        )
