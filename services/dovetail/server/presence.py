"""Presence: what agents have open, here and on other servers.

Calls that stay open (streams, and calls that wait) are counted in memory, by the agent that made
them. What other processes have to know is told through the store: once in each period the counts
that have changed are written, for all agents of a team in one unit, and as long as a process has
told anything it beats, a number in one row. So idle streams cost one small write for all of them,
and none where there are none.

Nobody compares clocks. Each process looks at the beats of all, once in each period, and measures
on its own monotonic clock for how long one has not changed. What a process told counts while its
beat was seen to change within ALIVE_PERIODS. Of a process that was there at the first look nothing
counts before its next beat: it may have died long ago.

All of it belongs to the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import structlog

from dovetail.server.access.caller import Caller
from dovetail.server.errors import DovetailError
from dovetail.server.stays import Key, Stay, Stays
from dovetail.server.store.store import Store
from dovetail.server.store.tables import agents, presence
from dovetail.server.store.tables.credentials import NO_TEAM
from dovetail.server.store.tables.presence import NOTHING, Count, Told

PERIOD_SECONDS = 10.0
"""Between two looks at the beats, and between two writes of what has changed. Chosen."""

BEAT_PERIODS = 2
ALIVE_PERIODS = 4.5
"""A beat comes every 20 s and is seen within 10 s, so 45 s without one are more than a beat late.

Beats are seen up to 10 s late: a server that was killed counts for 55 s at most.
"""

FORGET_PERIODS = 12
"""What a process told is removed when it has not beaten for so long. One that lives tells again."""

UNKNOWN_PERIODS = 6
"""So often it is asked whether an agent is in the directory by now."""

UNIT_AGENTS_MAX = 500
"""Agents of which one unit tells."""

UNITS_MAX = 100
"""Units that wait at once: of very many teams some follow the others."""

FORGOTTEN_MAX = 4
"""Processes of which what they told is removed in one period."""

log: structlog.typing.FilteringBoundLogger = structlog.get_logger("dovetail.presence")


class _Process(NamedTuple):
    """Another process: its last beat, since when it was seen, and whether no other was before."""

    beats: int
    since: float
    is_first: bool


class Presence:
    """Counts the open calls of one process, and knows those of all others."""

    def __init__(self, store: Store, period_seconds: float = PERIOD_SECONDS) -> None:
        """Share counts through `store`."""
        self._store = store
        self._period = period_seconds
        self._process_id = secrets.token_hex(8)
        self._stays = Stays(store)
        self._counts: dict[Key, Count] = {}
        # What the store has of this process, and how often it has beaten.
        self._told: dict[Key, Count] = {}
        # Of agents that are not in the directory nothing is told; they are asked for again later.
        self._unknown: dict[Key, Count] = {}
        self._unknown_time = 0.0
        self._beats = 0
        self._beat_time = 0.0
        self._others: dict[str, _Process] = {}
        self._has_looked = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Tell and look until `finish`."""
        self._stays.start()
        self._task = asyncio.create_task(self._run())

    async def finish(self) -> None:
        """Remove what was told: the calls have ended. Others would see it in a minute anyway."""
        self._stays.close()
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        with contextlib.suppress(DovetailError):
            if self._beats:
                await self._forget(self._process_id, {team_id for team_id, _ in self._told})

    @contextmanager
    def stream(self, caller: Caller, *agent_ids: str) -> Generator[Stay]:
        """Count a stream of the caller; it ends with these agents, and with the caller's own."""
        with self._stay(caller, agent_ids, Count(1, 0)) as stay:
            yield stay

    @contextmanager
    def waiting(self, caller: Caller, *agent_ids: str) -> Generator[Stay]:
        """Count a call that waits; it ends with these agents, and with the caller's own."""
        with self._stay(caller, agent_ids, Count(0, 1)) as stay:
            yield stay

    def of(self, team_id: str, agent_ids: Iterable[str], told: Iterable[Told]) -> list[Count]:
        """What agents of a team have open on all servers, by what the processes told of them."""
        now = asyncio.get_running_loop().time()
        found = {each: self._counts.get((team_id, each), NOTHING) for each in agent_ids}
        for agent_id, process_id, count in told:
            if agent_id in found and self._is_alive(process_id, now):
                found[agent_id] = _sum(found[agent_id], count)
        return list(found.values())

    @contextmanager
    def _stay(self, caller: Caller, agent_ids: Sequence[str], one: Count) -> Generator[Stay]:
        key = caller.team_id, caller.agent_id
        with self._stays.stay(caller.team_id, (caller.agent_id, *agent_ids)) as stay:
            self._add(key, one)
            try:
                yield stay
            finally:
                self._add(key, Count(-one.open_streams, -one.waiting_calls))

    def _add(self, key: Key, count: Count) -> None:
        if key[1]:  # A caller without an agent is nobody's presence.
            self._counts[key] = _sum(self._counts.get(key, NOTHING), count)
            if not self._counts[key]:
                del self._counts[key]

    async def _run(self) -> None:
        while True:
            for do in (self._tell, self._look):
                try:
                    await do()
                except DovetailError:
                    pass  # The store is away: health checks say so.
                except Exception:
                    log.exception("presence cannot be told")
            await asyncio.sleep(self._period)

    # Telling, and looking at others

    async def _tell(self) -> None:
        """Write what has changed since the last time, and beat if anything is told."""
        now = asyncio.get_running_loop().time()
        if now - self._unknown_time >= UNKNOWN_PERIODS * self._period:
            self._unknown_time = now
            self._unknown.clear()
        changed = self._changed()
        is_due = now - self._beat_time >= (BEAT_PERIODS - 0.5) * self._period
        if not changed and not (self._told and is_due):
            return
        if await self._beat() and not changed:
            return
        parts = [*_parts(self._changed())]
        for start in range(0, len(parts), UNITS_MAX):
            some = parts[start : start + UNITS_MAX]
            await asyncio.gather(*(self._record(*part) for part in some))

    def _changed(self) -> dict[Key, Count]:
        """What the store does not have as it is."""
        told, unknown = self._told, self._unknown
        now = self._counts | {key: NOTHING for key in told if key not in self._counts}
        return {
            key: count
            for key, count in now.items()
            if count != told.get(key, NOTHING) and count != unknown.get(key)
        }

    async def _beat(self) -> bool:
        """Show that this process is alive. Returns whether the others had not forgotten it."""
        self._beats += 1
        unit = partial(presence.beat, process_id=self._process_id, beats=self._beats)
        needs = presence.need_beat(self._process_id)
        is_known = await self._store.write(NO_TEAM, unit, needs)
        self._beat_time = asyncio.get_running_loop().time()
        if not is_known:  # What was told before is forgotten, too, if it was stopped for long.
            self._told.clear()
        return is_known

    async def _record(self, team_id: str, counts: Mapping[str, Count]) -> None:
        """Tell of some agents of a team, as far as they are in the directory.

        Anybody may watch tasks, also as an agent or in a team that never was: a unit would make
        that team.
        """
        find = partial(agents.removals, agent_ids=[*counts])
        known = await self._store.read(team_id, find)
        told = {agent_id: counts[agent_id] for agent_id in known}
        self._unknown |= {(team_id, each): counts[each] for each in counts.keys() - told.keys()}
        if told:
            unit = partial(presence.record, process_id=self._process_id, counts=told)
            await self._store.write(team_id, unit, presence.need(self._process_id, told))
        for agent_id, count in told.items():
            self._told[team_id, agent_id] = count
            if not count:
                del self._told[team_id, agent_id]

    async def _look(self) -> None:
        """Note which processes have beaten, and forget those that have not for long."""
        beats = await self._store.read(NO_TEAM, presence.beats)
        now = asyncio.get_running_loop().time()
        before, self._others = self._others, {}
        for process_id, count in beats.items():
            known = before.get(process_id)
            if known is None:
                self._others[process_id] = _Process(count, now, is_first=not self._has_looked)
            elif known.beats != count:
                self._others[process_id] = _Process(count, now, is_first=False)
            else:
                self._others[process_id] = known
        self._has_looked = True
        dead = [
            process_id
            for process_id, seen in self._others.items()
            if now - seen.since > FORGET_PERIODS * self._period and process_id != self._process_id
        ]
        for process_id in dead[:FORGOTTEN_MAX]:
            find = partial(presence.teams_of, process_id=process_id)
            await self._forget(process_id, await self._store.read(NO_TEAM, find))

    async def _forget(self, process_id: str, team_ids: Iterable[str]) -> None:
        """Remove what a process told of these teams, and the process itself if that was all."""
        forget = partial(presence.forget, process_id=process_id)
        for team_id in team_ids:
            await self._store.write(team_id, forget)
        find = partial(presence.teams_of, process_id=process_id)
        if not await self._store.read(NO_TEAM, find):
            unit = partial(presence.forget_process, process_id=process_id)
            await self._store.write(NO_TEAM, unit)

    def _is_alive(self, process_id: str, now: float) -> bool:
        """Whether another process was seen to be alive. What this one told it knows better."""
        seen = self._others.get(process_id)
        if seen is None or seen.is_first or process_id == self._process_id:
            return False
        return now - seen.since <= ALIVE_PERIODS * self._period


def _sum(one: Count, other: Count) -> Count:
    return Count(one.open_streams + other.open_streams, one.waiting_calls + other.waiting_calls)


def _parts(counts: Mapping[Key, Count]) -> Generator[tuple[str, dict[str, Count]]]:
    """Counts in parts for a unit each: a team, and some of its agents."""
    teams: dict[str, dict[str, Count]] = {}
    for (team_id, agent_id), count in sorted(counts.items()):
        part = teams.setdefault(team_id, {})
        part[agent_id] = count
        if len(part) == UNIT_AGENTS_MAX:
            yield team_id, teams.pop(team_id)
    yield from teams.items()
