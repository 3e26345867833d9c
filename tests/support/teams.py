"""A team for each test, on servers that it shares with others or has for itself."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from typing import Any

from dovetail.messaging.v1 import messaging_pb2 as talk
from dovetail.server.store.tables import events, queues, task_pages, tasks
from dovetail.server.store.tables.events import TaskEvent
from dovetail.server.store.tables.tasks import Task, TaskFilter
from dovetail.tasks.v1 import tasks_pb2 as work
from support.callers import Caller
from support.pair import Pair
from support.waiting import until


def new_team_id() -> str:
    """The id of a team that no other test has."""
    return f"team {uuid.uuid4().hex[:12]}"


@dataclass(frozen=True)
class Team:
    """A team on a pair of servers, empty at first; the default team where it has no id."""

    pair: Pair
    team_id: str = ""

    @staticmethod
    def new(pair: Pair) -> Team:
        """A team that no other test has."""
        return Team(pair, new_team_id())

    def caller(self, agent_id: str = "") -> Caller:
        """One who calls, registered or not."""
        return Caller(self.pair, agent_id, self.team_id)

    async def known(self, *agent_ids: str) -> list[Caller]:
        """Callers that are registered."""
        callers = [self.caller(agent_id) for agent_id in agent_ids]
        for each in callers:
            await each.register()
        return callers

    async def bob_with(self, count: int, **fields: Any) -> Caller:
        """A new agent, bob, to whom alice has sent so many messages."""
        alice, bob = await self.known("alice", "bob")
        for number in range(1, count + 1):
            await alice.send("bob", subject=str(number), **fields)
        return bob

    async def waiting(self, caller: Caller, **fields: Any) -> asyncio.Task[list[work.ClaimedTask]]:
        """A claim that waits at the server."""
        claim = asyncio.create_task(caller.claim(**{"max_wait": 30, **fields}))
        await until(lambda: self.is_watched(caller))
        await caller.page(page_size=1)  # by then it has looked once
        return claim

    def is_watched(self, caller: Caller) -> bool:
        """Whether a claim of a caller waits at the server."""
        queue = (self.team_id, queues.name(caller.agent_id))
        return queue in self.pair.tasks_store.bells.watched()

    async def agents(self) -> list[talk.Agent]:
        """Everybody who is known."""
        return list((await self.caller().list_agents(page_size=1_000)).agents)

    def message(self, message_id: str) -> Any:
        """One message, with its receipts."""
        return self.caller().read(message_id)

    async def events(self, task_id: str) -> list[TaskEvent]:
        """The history of a task, as the store keeps it."""
        store, team_id = self.pair.tasks_store, self.team_id
        return await store.read(team_id, lambda s: events.of_task(s, task_id))

    async def row(self, task_id: str) -> Task | None:
        """A task, deleted or not, as the store keeps it."""
        store, team_id = self.pair.tasks_store, self.team_id
        return await store.read(team_id, lambda s: tasks.find(s, task_id))

    async def rows(self) -> list[Task]:
        """All tasks, as the store keeps them."""
        every = task_pages.ListRequest(
            filter=TaskFilter(), newest_first=False, after=None, most=1_000, most_bytes=10**9
        )
        store, team_id = self.pair.tasks_store, self.team_id
        found, _ = await store.read(team_id, lambda s: task_pages.page(s, every))
        return found

    async def verbs(self, task_id: str) -> list[str]:
        """What was done to a task, or happened to it, in order."""
        return [event.verb.words for event in await self.events(task_id)]

    async def picture(self, task_id: str) -> tuple[Any, ...]:
        """All that a change of a task could change: task, history, agents with their inboxes."""
        agents = [agent.SerializeToString(deterministic=True) for agent in await self.agents()]
        return await self.row(task_id), await self.events(task_id), agents
