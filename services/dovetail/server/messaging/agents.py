"""The directory: which agents a team has."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from dovetail.server import clock
from dovetail.server.access.caller import Caller
from dovetail.server.edge.paging import Paging
from dovetail.server.errors import (
    FailedPreconditionError,
    PermissionDeniedError,
    Reason,
    ResourceExhaustedError,
)
from dovetail.server.messaging.bounces import Bounce, tell_senders
from dovetail.server.preconditions import check_version
from dovetail.server.presence import Presence
from dovetail.server.store.store import Store
from dovetail.server.store.tables import agents, first_sequences, groups, open_work, presence
from dovetail.server.store.tables.agents import Agent, AgentKind, ListRequest, Profile
from dovetail.server.store.tables.credentials import Role
from dovetail.server.store.tables.open_work import COUNTED_MAX, OpenWork
from dovetail.server.store.tables.presence import Count, Told
from dovetail.server.store.transaction import Snapshot, Transaction


class PresentAgent(NamedTuple):
    """An agent, and what it has open."""

    agent: Agent
    calls: Count


class Removal(NamedTuple):
    """An agent as it was removed, of how many groups it was a member, and who was told."""

    agent: PresentAgent
    left_groups: int
    bounce: Bounce


class Directory:
    """Registers agents, finds, changes and removes them."""

    def __init__(self, store: Store, presence: Presence) -> None:
        """Keep agents in `store`; `presence` knows what they have open."""
        self.store = store
        self._presence = presence

    async def register(
        self, caller: Caller, agent_id: str, profile: Profile
    ) -> tuple[PresentAgent, bool]:
        """The agent, and whether this call made it known."""
        agent_id = agent_id or caller.require_agent("registering without an agent_id")
        caller.require_own(f"agent {agent_id!r}", agent_id)
        _check_kind(caller, profile.kind)

        def unit(transaction: Transaction) -> tuple[Found, bool]:
            created = agents.find(transaction, agent_id) is None
            if created:
                agents.register(transaction, agent_id, profile)
            agents.touch(transaction, caller.agent_id)
            return _found(transaction, agents.get(transaction, agent_id)), created

        needs = agents.need([agent_id, caller.agent_id])
        found, created = await self.store.write(caller.team_id, unit, needs)
        return self._present_one(caller, found), created

    async def get(self, caller: Caller, agent_id: str) -> PresentAgent:
        """One agent."""
        agent_id = agent_id or caller.require_agent("a request without an agent_id")
        found = await self.store.read(caller.team_id, lambda s: _found(s, agents.get(s, agent_id)))
        return self._present_one(caller, found)

    async def update(
        self, caller: Caller, agent_id: str, changes: Mapping[str, Any], etag: str
    ) -> PresentAgent:
        """Change what is said of an agent; `changes` are fields of its profile."""
        agent_id = agent_id or caller.require_agent("updating without an agent_id")
        caller.require_own(f"agent {agent_id!r}", agent_id)

        def unit(transaction: Transaction) -> Found:
            before = agents.get(transaction, agent_id)
            profile = replace(before.profile, **changes)
            if profile == before.profile:
                return _found(transaction, before)
            if profile.kind is not before.kind:
                _check_kind(caller, profile.kind)
            _check_etag(before, etag)
            agents.touch(transaction, caller.agent_id)
            agents.update(transaction, agent_id, profile)
            return _found(transaction, agents.get(transaction, agent_id))

        needs = agents.need({agent_id, caller.agent_id})
        return self._present_one(caller, await self.store.write(caller.team_id, unit, needs))

    async def remove(self, caller: Caller, agent_id: str, etag: str) -> Removal:
        """Take an agent that has nothing to do out of the directory, and out of all groups."""
        caller.require_own(f"agent {agent_id!r}", agent_id)

        def unit(transaction: Transaction) -> tuple[Found, int, Bounce]:
            before = agents.find_any(transaction, agent_id)
            if before and before.remove_time is not None:
                return _found(transaction, before), 0, Bounce()
            before = agents.get(transaction, agent_id)
            _check_etag(before, etag)
            _check_idle(agent_id, open_work.of_agent(transaction, agent_id))
            if caller.agent_id != agent_id:  # Whoever removes itself is not registered by that.
                agents.touch(transaction, caller.agent_id)
            left = groups.take_out(transaction, agent_id)
            agents.remove(transaction, agent_id)
            bounce = tell_senders(transaction, agent_id, caller.agent_id)
            removed = agents.find_any(transaction, agent_id)
            return _found(transaction, removed or before), left, bounce

        needs = agents.need({agent_id, caller.agent_id})
        found, left, bounce = await self.store.write(caller.team_id, unit, needs)
        return Removal(self._present_one(caller, found), left, bounce)

    async def open_inbox(self, caller: Caller, agent_id: str) -> Agent:
        """The agent whose inbox is opened; of the caller's own it is noted, if the disk allows."""
        caller.require_own(f"the inbox of {agent_id!r}", agent_id)
        team_id = caller.team_id
        agent = await self.store.read(team_id, lambda s: agents.get(s, agent_id))
        # Most likely to the minute: stamps may be ahead of the clock, and the unit knows.
        is_due = abs(clock.now() - agent.last_seen_time) >= agents.SEEN_MICROS
        if agent_id == caller.agent_id and is_due:
            with contextlib.suppress(ResourceExhaustedError):
                needs = agents.need([agent_id])
                await self.store.write(team_id, lambda t: agents.see(t, agent_id), needs)
        return agent

    async def page(
        self, caller: Caller, request: ListRequest, paging: Paging
    ) -> tuple[list[PresentAgent], str]:
        """A page of agents in order of id, after one, and the token of the next."""

        def query(snapshot: Snapshot) -> tuple[Found, str]:
            found, after = agents.page(snapshot, request)
            return _found(snapshot, *found), paging.next_token(after)

        look = self.store.scan if request.labels else self.store.read
        found, token = await look(caller.team_id, query)
        return self._present(caller, found), token

    def _present_one(self, caller: Caller, found: Found) -> PresentAgent:
        return self._present(caller, found)[0]

    def _present(self, caller: Caller, found: Found) -> list[PresentAgent]:
        """The agents with what they have open, on the servers that are alive."""
        ids = [agent.agent_id for agent in found.agents]
        counts = self._presence.of(caller.team_id, ids, found.told)
        return [PresentAgent(*each) for each in zip(found.agents, counts, strict=True)]


class Found(NamedTuple):
    """Agents, and what the server processes told of them."""

    agents: Sequence[Agent]
    told: Sequence[Told]


def _found(snapshot: Snapshot, *found: Agent) -> Found:
    shown = first_sequences.with_first(snapshot, found)
    return Found(shown, presence.of_agents(snapshot, [agent.agent_id for agent in found]))


def _check_etag(agent: Agent, expected: str) -> None:
    metadata = {"agent_id": agent.agent_id, "etag": agent.etag}
    check_version("etag", f"agent {agent.agent_id!r}", expected, metadata)


def _check_kind(caller: Caller, kind: AgentKind) -> None:
    """Raise PermissionDeniedError where an agent says of itself that it is a person.

    Others trust that more than what a name or a label says.
    """
    if kind is AgentKind.PERSON and caller.role is Role.AGENT:
        raise PermissionDeniedError(
            Reason.ROLE_REFUSED,
            "kind: the role AGENT may not mark an agent as a person: an operator does that, by"
            " RegisterAgent or UpdateAgent",
            metadata=caller.role_metadata,
        )


def _check_idle(agent_id: str, work: OpenWork) -> None:
    """Raise FailedPreconditionError while an agent has something to do."""
    if not work:
        return
    tasks = _told(work.tasks, "open task is assigned to it", "open tasks are assigned to it")
    questions = _told(work.questions, "question waits for its answer", "questions wait for it")
    first = [*work.task_ids, *work.question_ids]
    raise FailedPreconditionError(
        Reason.AGENT_HAS_WORK,
        f"agent {agent_id!r} cannot be removed: {' and '.join(filter(None, (tasks, questions)))},"
        f" {', '.join(map(repr, first[:3]))} among them: assign those tasks to others, unassign or"
        " cancel them, and answer the questions or take these tasks back",
        metadata={
            "agent_id": agent_id,
            "task_count": str(work.tasks),
            "question_count": str(work.questions),
            "task_id": first[0],
        },
    )


def _told(count: int, one: str, many: str) -> str:
    if count == 1:
        return f"1 {one}"
    return f"{'at least ' if count == COUNTED_MAX else ''}{count:,} {many}" if count else ""
