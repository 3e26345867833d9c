"""A session of a model: its agent, the tasks that it holds, and what it was shown."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

from dovetail.bridges.mcp.held import HeldTasks
from dovetail.bridges.mcp.steps import CORRECT, UNKNOWN, RefusedError, explain
from dovetail.bridges.mcp.unread import unread_line
from dovetail.bridges.senders import Senders
from dovetail.client import Agent, DovetailError, PermissionDeniedError
from dovetail.client.held import through_outages

TOOL_SECONDS_MAX = 21.0
"""Several hosts end a call after 30 seconds: with what follows a tool ours takes 25."""

MARK_SECONDS = 1.0
LEASE = timedelta(seconds=60)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a session is, as the command line said."""

    team_id: str
    messaging: str
    tasks: str


@dataclass(kw_only=True)
class Bridge:
    """A session of a model: its agent, and the tasks that it holds."""

    agent: Agent
    place: Place
    lease: timedelta = LEASE
    agent_id: str = ""
    """Empty until the first answer of the servers."""
    held: HeldTasks = field(init=False)
    senders: Senders = field(init=False)
    _joining: asyncio.Task[None] | None = None
    # Sequences of messages in answers that the host has not yet been seen to take.
    _passed_on: set[int] = field(default_factory=set[int])

    def __post_init__(self) -> None:
        """Make what belongs to the session."""
        self.held = HeldTasks(self.agent.tasks)
        self.senders = Senders(self.agent)

    async def __aenter__(self) -> Bridge:
        """Begin: others may write to the agent before its model makes the first call."""
        self._joining = asyncio.create_task(self._join_soon())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Give back what the session still holds."""
        await self.close()

    async def join(self) -> str:
        """Make the agent known in its team, once; return its id."""
        if not self.agent_id:
            try:
                self.agent_id = (await self.agent.register()).agent_id
            except PermissionDeniedError:  # Of a token that may only read.
                self.agent_id = (await self.agent.agent()).agent_id
        return self.agent_id

    def pass_on(self, sequences: Iterable[int]) -> None:
        """Note that messages are in the answer that is being made."""
        self._passed_on.update(sequences)

    async def answer(self, tool: Callable[[], Awaitable[str]]) -> str:
        """What a tool says, and the line of what is unread. Raises RefusedError.

        A host that calls again has taken the answers before. Only then, and after this call, whose
        round trips take longer than writing an answer, are their messages marked as seen: a bridge
        that is killed says too little, never too much.
        """
        taken, self._passed_on = self._passed_on, set()
        try:
            return await self._answer(tool)
        finally:
            await self._mark_seen(taken)

    async def _mark_seen(self, sequences: set[int]) -> None:
        with suppress(DovetailError, TimeoutError):
            async with asyncio.timeout(MARK_SECONDS):
                if sequences:
                    await self.agent.mark_seen(sequences)

    async def _answer(self, tool: Callable[[], Awaitable[str]]) -> str:
        try:
            async with asyncio.timeout(TOOL_SECONDS_MAX):
                await self.join()
                text = await tool()
        except DovetailError as error:
            raise RefusedError(await self._ended(explain(error))) from error
        except TimeoutError as error:
            raise RefusedError(await self._ended(UNKNOWN)) from error
        except RefusedError as error:
            raise RefusedError(await self._ended(str(error))) from error
        except ValueError as error:  # Of the client, which checks some values itself.
            raise RefusedError(await self._ended(f"{error}. {CORRECT}")) from error
        return await self._ended(text)

    async def close(self) -> None:
        """Give back what the session still holds. Closing again does nothing."""
        if self._joining:
            self._joining.cancel()
        await self.held.close()

    async def _join_soon(self) -> None:
        """Make the agent known as soon as the servers answer; a refusal is for the first call."""
        with suppress(DovetailError):
            await through_outages(self.agent.tasks, self.join)

    async def _ended(self, text: str) -> str:
        return f"{text}\n{await unread_line(self.agent, self.held.take_lost())}"
