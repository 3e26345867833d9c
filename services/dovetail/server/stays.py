"""Stays: calls that stay open, and their end when an agent is removed.

The removal of an agent rings the team (`rings.REMOVALS`). Then, and a moment after a call began,
the store is asked which of the agents here are removed, and their calls are ended. A ring that is
lost is made up for by the look for changes (`changed_names.py`).

All of it belongs to the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import NamedTuple

import structlog

from dovetail.server.errors import DovetailError, NotFoundError, Reason
from dovetail.server.store.engines.wakeups import Bell
from dovetail.server.store.rings import REMOVALS, Delivery
from dovetail.server.store.store import Store
from dovetail.server.store.tables import agents

FRESH_SECONDS = 1.0
"""A call that began so long ago is looked at: its agent may have been removed meanwhile."""

RETRY_SECONDS = 0.5

log: structlog.typing.FilteringBoundLogger = structlog.get_logger("dovetail.presence")

Key = tuple[str, str]
"""A team and an agent."""


class Stay:
    """A call that stays open. It ends when one of its agents is removed."""

    __slots__ = ("_error", "on_end")

    def __init__(self) -> None:
        self._error: DovetailError | None = None
        self.on_end: Callable[[DovetailError], object] = _ignore
        """Called with the error when the call is to end."""

    def check(self) -> None:
        """Raise NotFoundError if one of its agents was removed."""
        if self._error:
            raise self._error

    def end(self, error: DovetailError) -> None:
        """Let the call end with an error."""
        self._error = error
        self.on_end(error)


class _Team(NamedTuple):
    """The calls of a team by their agents, and the watch of the team's removals."""

    watch: ExitStack
    stays: dict[str, dict[Stay, None]]


class _RemovalBell(Bell):
    """Tells of the removal of an agent."""

    def __init__(self, rung: Callable[[], None]) -> None:
        super().__init__()
        self._rung = rung

    def ring(self, handed: Sequence[Delivery] | None = None) -> None:
        del handed  # Only inboxes have deliveries.
        self._rung()


class Stays:
    """The open calls of one process."""

    def __init__(self, store: Store) -> None:
        """End calls of agents that are removed in `store`."""
        self._store = store
        self._teams: dict[str, _Team] = {}
        # Agents to look at: of teams that rang all, else those whose calls just began.
        self._rung: set[str] = set()
        self._fresh: set[Key] = set()
        self._fresh_time = 0.0
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look for removed agents until `close`."""
        self._task = asyncio.create_task(self._run())

    def close(self) -> None:
        """Look no more."""
        if self._task:
            self._task.cancel()

    @contextmanager
    def stay(self, team_id: str, agent_ids: Iterable[str]) -> Generator[Stay]:
        """A call that ends with any of these agents, for as long as the block lasts."""
        names, stay = [each for each in dict.fromkeys(agent_ids) if each], Stay()
        for agent_id in names:
            self._enter(team_id, agent_id, stay)
        try:
            yield stay
        finally:
            for agent_id in names:
                self._leave(team_id, agent_id, stay)

    def _enter(self, team_id: str, agent_id: str, stay: Stay) -> None:
        team = self._teams.get(team_id)
        if team is None:
            team = self._teams[team_id] = _Team(ExitStack(), {})
            bell = _RemovalBell(partial(self._on_removal, team_id))
            team.watch.enter_context(self._store.bells.watch(team_id, [REMOVALS], bell))
        team.stays.setdefault(agent_id, {})[stay] = None
        if not self._fresh:
            self._fresh_time = asyncio.get_running_loop().time()
            self._wake.set()
        self._fresh.add((team_id, agent_id))

    def _leave(self, team_id: str, agent_id: str, stay: Stay) -> None:
        team = self._teams[team_id]
        del team.stays[agent_id][stay]
        if not team.stays[agent_id]:
            del team.stays[agent_id]
        if not team.stays:
            team.watch.close()
            del self._teams[team_id]

    def _on_removal(self, team_id: str) -> None:
        self._rung.add(team_id)
        self._wake.set()

    async def _run(self) -> None:
        while True:
            await self._until_due()
            try:
                await self._end_removed()
            except DovetailError:
                await asyncio.sleep(RETRY_SECONDS)  # The store is away: health checks say so.
            except Exception:
                log.exception("removed agents cannot be looked for")
                await asyncio.sleep(RETRY_SECONDS)

    async def _until_due(self) -> None:
        """Wait for a removal, or until calls that began are to be looked at."""
        loop = asyncio.get_running_loop()
        while not self._rung:
            end = self._fresh_time + FRESH_SECONDS if self._fresh else None
            if end is not None and loop.time() >= end:
                return
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(end):
                    await self._wake.wait()

    async def _end_removed(self) -> None:
        """End the calls of agents that were removed, of those that may have been."""
        rung, self._rung = self._rung, set()
        fresh, self._fresh = self._fresh, set()
        wanted: dict[str, set[str]] = {}
        for team_id in rung:
            if team := self._teams.get(team_id):
                wanted[team_id] = set(team.stays)
        for team_id, agent_id in fresh:
            if agent_id in self._of(team_id):
                wanted.setdefault(team_id, set()).add(agent_id)
        try:
            while wanted:
                team_id, agent_ids = next(iter(wanted.items()))
                find = partial(agents.removals, agent_ids=sorted(agent_ids))
                found = await self._store.read(team_id, find)
                for agent_id in [each for each, is_removed in found.items() if is_removed]:
                    for stay in list(self._of(team_id).get(agent_id, ())):
                        stay.end(_removed(team_id, agent_id))
                del wanted[team_id]
        finally:  # What the store did not answer is asked again.
            self._rung.update(wanted)

    def _of(self, team_id: str) -> Mapping[str, Iterable[Stay]]:
        team = self._teams.get(team_id)
        return team.stays if team else {}


def _removed(team_id: str, agent_id: str) -> NotFoundError:
    """The error with which the calls of an agent end that was removed."""
    return NotFoundError(
        Reason.AGENT_NOT_FOUND,
        f"agent {agent_id!r} is not known here, in team {team_id!r}: it was removed while the call"
        " was open",
        metadata={
            "agent_ids": json.dumps([agent_id], ensure_ascii=False),
            "unknown_count": "1",
            "nearest_ids": "[]",
            "removed_count": "1",
        },
    )


def _ignore(error: DovetailError) -> None:
    """The end of a call that looks by itself."""
    del error
