"""The directory: which agents a team has."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from dovetail.server.access.caller import Caller
from dovetail.server.edge.paging import PAGE_BYTES, Paging
from dovetail.server.errors import ResourceExhaustedError
from dovetail.server.store.store import Store
from dovetail.server.store.tables import agents, deliveries
from dovetail.server.store.tables.agents import Agent
from dovetail.server.store.transaction import Snapshot, Transaction


class Directory:
    """Registers agents and finds them."""

    def __init__(self, store: Store) -> None:
        """Keep agents in `store`."""
        self._store = store

    async def register(
        self, caller: Caller, agent_id: str, display_name: str, labels: Mapping[str, str]
    ) -> tuple[Agent, bool]:
        """The agent, and whether it was created by this call."""
        agent_id = agent_id or caller.require_agent("registering without an agent_id")
        caller.require_own(f"agent {agent_id!r}", agent_id)

        def unit(transaction: Transaction) -> tuple[Agent, bool]:
            created = agents.find(transaction, agent_id) is None
            if created:
                agents.register(transaction, agent_id, display_name, labels)
            agents.touch(transaction, caller.agent_id)
            return _shown(transaction, agents.get(transaction, agent_id)), created

        needs = agents.need([agent_id, caller.agent_id])
        return await self._store.write(caller.team_id, unit, needs)

    async def get(self, caller: Caller, agent_id: str) -> Agent:
        """One agent."""
        agent_id = agent_id or caller.require_agent("a request without an agent_id")
        return await self._store.read(caller.team_id, lambda s: _shown(s, agents.get(s, agent_id)))

    async def open_inbox(self, caller: Caller, agent_id: str) -> Agent:
        """The agent whose inbox is opened. The caller's own is registered, if the disk allows."""
        caller.require_own(f"the inbox of {agent_id!r}", agent_id)
        team_id = caller.team_id
        if agent_id == caller.agent_id:
            with contextlib.suppress(ResourceExhaustedError):
                needs = agents.need([agent_id])
                await self._store.write(team_id, lambda t: agents.touch(t, agent_id), needs)
        return await self._store.read(team_id, lambda s: agents.get(s, agent_id))

    async def page(
        self, caller: Caller, labels: Mapping[str, str], after: str, paging: Paging
    ) -> tuple[list[Agent], str]:
        """A page of agents in order of id, after one, and the token of the next."""
        request = agents.ListRequest(
            labels=labels, after=after, most=paging.most, most_bytes=PAGE_BYTES
        )
        look = self._store.scan if labels else self._store.read

        def find(snapshot: Snapshot) -> tuple[list[Agent], str]:
            found, after = agents.page(snapshot, request)
            return deliveries.with_first(snapshot, found), after

        page, after = await look(caller.team_id, find)
        return page, paging.next_token(after)


def _shown(snapshot: Snapshot, agent: Agent) -> Agent:
    """An agent as the directory shows it."""
    return deliveries.with_first(snapshot, [agent])[0]
