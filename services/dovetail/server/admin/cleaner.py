"""The cleaner: removes what the teams' rules no longer keep, in bites between the writes of others.

Every server has one. Each looks about once a minute, by reads alone, whether there is anything to
remove; the first that finds something takes the duty, a row of the store, and works until nothing
is left. The others see its turns go on. A holder whose turns stand still for a while is gone, and
another takes its place: no clocks are compared. Two that clean at once would do no harm, as each
bite checks again what it removes; they would only take twice the time from others.

A bite is one unit. It takes a few milliseconds, measured on the writer's thread, and a pause of
several times that follows: so a write of others seldom meets one, and never waits for long.

All state belongs to the event loop; units and looks see only their arguments.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import structlog

from dovetail.server.errors import DovetailError
from dovetail.server.store.removal import fronts, looks
from dovetail.server.store.removal.fronts import Duty, Front, Item, Position
from dovetail.server.store.removal.looks import HELD, Policy, Seen
from dovetail.server.store.sets import FilePages
from dovetail.server.store.store import Store
from dovetail.server.store.tables import teams
from dovetail.server.store.tables.credentials import NO_TEAM
from dovetail.server.store.transaction import Transaction

# All chosen, and measured in tests/scenarios/test_retention.py.
BITE_SECONDS = 0.003
"""What a bite should take of the writer; a commit follows, and all that waits with it."""

PAUSE_RATIO = 6
"""The pause after a bite is so many times as long as the bite: the writer is free for the most."""

PAUSE_SECONDS_MAX = 1.0
FIRST_ROWS, ROWS_MIN, ROWS_MAX = 100, 60, 2_000
"""Rows of a bite: at first, and the bounds between which it follows what was measured."""

LOOK_RATIO = 25
"""The pause between two rounds is at least so many times as long as the looks of one."""

TEAMS_READ = 200
HELD_ROWS_MAX = 5_000
"""Rows that stayed behind a front and are looked at again, of each team in each round."""

WALKED_SAVED = 5_000
"""So far a front may move without finding anything until that is written."""

PIECES_MAX = 1_000
"""Bites in which one task may lose events and attempts; the rest goes in the next round."""

ABANDONED_SECONDS = 60.0
"""A duty whose turn stands still for so long is abandoned."""

FREE_SHARE_MAX = 0.1
FREE_PAGES_MAX = 64
"""Pages of a file that may be free: new rows take them at once."""

FIRST_PAGES, PAGES_MIN, PAGES_MAX = 32, 4, 2_000

log: structlog.typing.FilteringBoundLogger = structlog.get_logger("dovetail.cleaner")


@dataclass(slots=True)
class _Pace:
    """How much is done in a bite, so that it takes about BITE_SECONDS."""

    size: int
    least: int
    most: int

    def follow(self, seconds: float) -> None:
        """Adapt to what a bite took."""
        factor = min(2.0, max(0.25, BITE_SECONDS / max(seconds, 1e-6)))
        self.size = round(min(self.most, max(self.least, self.size * factor)))


@dataclass(slots=True)
class _Team:
    """What a cleaner remembers of a team from one round to the next."""

    positions: dict[Front, Position] = field(default_factory=dict[Front, Position])
    walked: Counter[Front] = field(default_factory=Counter[Front])


class Cleaner:
    """Removes what is no longer kept, and gives the room back."""

    def __init__(
        self, store: Store, policy: Policy, period: float, pause_ratio: float = PAUSE_RATIO
    ) -> None:
        """Clean `store`, with a look every `period` seconds."""
        self._store = store
        self._policy = policy
        self._period = period
        self._pause_ratio = pause_ratio
        self._holder_id = secrets.token_hex(8)
        self._holds = False
        # The duty as it was last seen with another holder, and since when it stands still.
        self._duty: tuple[Duty, float] | None = None
        self._teams: defaultdict[str, _Team] = defaultdict(_Team)
        self._rows = _Pace(FIRST_ROWS, ROWS_MIN, ROWS_MAX)
        self._pages = _Pace(FIRST_PAGES, PAGES_MIN, PAGES_MAX)
        self._gives_back = True
        self._removed: Counter[str] = Counter()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Clean until `close`."""
        self._task = asyncio.create_task(self._run())

    def close(self) -> None:
        """Stop. A unit that runs still ends; nobody waits for it."""
        if self._task:
            self._task.cancel()

    async def _run(self) -> None:
        # Not all servers at once, and not while they start.
        await asyncio.sleep(self._period * random.uniform(0.1, 1.0))
        while True:
            began = time.monotonic()
            try:
                await self.round()
            except DovetailError:
                pass  # the store is away: health checks say so
            except Exception:
                log.exception("the store cannot be cleaned")
            took = time.monotonic() - began
            await asyncio.sleep(max(self._period, took * LOOK_RATIO if not self._holds else 0.0))

    async def round(self) -> None:
        """Look into all teams, and remove what is found, for as long as this is the cleaner."""
        after = ""
        try:
            while True:
                page = await self._store.scan(
                    NO_TEAM, partial(teams.page, after=after, most=TEAMS_READ)
                )
                for team in page:
                    if not await self._clean(team.team_id):
                        return
                if len(page) < TEAMS_READ:
                    break
                after = page[-1].team_id
            if self._holds and self._gives_back:
                await self._give_back()
        finally:
            if self._holds:
                await self._end()

    async def _clean(self, team_id: str) -> bool:
        """Remove what is found in a team. Returns whether to go on with others."""
        team = self._teams[team_id]
        through: set[Front] = set()
        held_rows: Counter[Front] = Counter()
        while True:
            look = partial(
                looks.find, policy=self._policy, skip=frozenset(through), known=team.positions
            )
            began = time.monotonic()
            seen = await self._store.scan(team_id, look)
            through.update(seen.through)
            team.positions.update(seen.ends)
            found = seen.found
            if found is None:
                break
            if found.items:
                if not await self._is_due():
                    return False
                if not await self._remove(team_id, seen):
                    break  # The rules have changed: look again in the next round.
            team.positions[found.front] = found.end
            team.walked[found.front] += found.rows
            held_rows[found.front] += found.rows
            if not found.more or (found.front in HELD and held_rows[found.front] >= HELD_ROWS_MAX):
                through.add(found.front)
            if not found.items:
                await asyncio.sleep(min(time.monotonic() - began, PAUSE_SECONDS_MAX))
        await self._save(team_id, team)
        if not team.positions:
            del self._teams[team_id]
        return True

    async def _remove(self, team_id: str, seen: Seen) -> bool:
        """Remove what a look found, bite by bite. Returns whether all of it was done."""
        found = seen.found
        assert found is not None
        items, pieces = list(found.items), 0
        while items and pieces < PIECES_MAX:
            some = _first(items, self._rows.size)
            unit = partial(looks.bite, seen=seen, policy=self._policy, items=some)
            bitten = await self._store.write(team_id, unit, looks.needs(found.front))
            if not bitten.goes_on:
                return False
            pieces = 0 if bitten.done else pieces + 1
            del items[: bitten.done]
            kind = found.front.name.lower()
            self._removed[kind] += bitten.removed
            self._store.meter.removed(kind, bitten.removed, bitten.seconds)
            self._rows.follow(bitten.seconds)
            await self._pause(bitten.seconds)
        self._teams[team_id].walked[found.front] = 0
        return True

    async def _pause(self, seconds: float) -> None:
        """Leave the writer to others after a bite that took so long."""
        await asyncio.sleep(min(seconds * self._pause_ratio, PAUSE_SECONDS_MAX))

    async def _save(self, team_id: str, team: _Team) -> None:
        """Write how far fronts moved that found nothing, once that is far."""
        far = {
            front: team.positions[front]
            for front, rows in team.walked.items()
            if rows >= WALKED_SAVED and front not in HELD
        }
        if far:
            needs = [need for front in far for need in looks.needs(front)]
            await self._store.write(team_id, partial(looks.save, positions=far), needs)
        for front in far:
            team.walked[front] = 0

    async def _is_due(self) -> bool:
        """Whether this is the cleaner: said again before what each look found is removed."""
        if self._holds:
            go_on = partial(fronts.go_on, holder_id=self._holder_id)
            self._holds = await self._store.write(NO_TEAM, go_on)
            return self._holds
        return await self._take()

    async def _take(self) -> bool:
        """Take the duty, if nobody has it, or whoever has it stands still. Returns whether."""
        seen, now = await self._store.read(NO_TEAM, fronts.duty), time.monotonic()
        if seen.holder_id not in ("", self._holder_id):
            if self._duty is None or self._duty[0] != seen:
                self._duty = seen, now
            if now - self._duty[1] < ABANDONED_SECONDS:
                return False
        unit = partial(fronts.take, holder_id=self._holder_id, seen=seen)
        self._holds = await self._store.write(NO_TEAM, unit)
        self._removed.clear()
        return self._holds

    async def _end(self) -> None:
        """Leave the duty, and tell what was done."""
        self._holds = False
        await self._store.write(NO_TEAM, partial(fronts.end, holder_id=self._holder_id))
        if self._removed.total():
            log.info("removed what is no longer kept", **self._removed)

    async def _give_back(self) -> None:
        """Give free pages of the store's file back to the disk, bite by bite."""
        before = FilePages(0, 0)
        while True:
            unit = partial(_give_back, pages=self._pages.size, holder_id=self._holder_id)
            pages, seconds = await self._store.write(NO_TEAM, unit)
            if pages is None or not _has_room(pages):
                break
            if pages == before:  # The file of an older release cannot be cut (`compacting.py`).
                self._gives_back = False
                break
            before = pages
            self._pages.follow(seconds)
            await self._pause(seconds)
        await self._store.tidy()


def _first(items: Sequence[Item], most: int) -> list[Item]:
    """The first items that have so many rows together; at least one."""
    chosen: list[Item] = []
    rows = 0
    for item in items:
        rows += item.weight
        if chosen and rows > most:
            break
        chosen.append(item)
    return chosen


def _has_room(pages: FilePages) -> bool:
    return pages.free > max(FREE_PAGES_MAX, pages.total * FREE_SHARE_MAX)


def _give_back(
    transaction: Transaction, pages: int, holder_id: str
) -> tuple[FilePages | None, float]:
    """Give pages back, and return how many there are, and how long that took."""
    began = time.perf_counter()
    if not fronts.go_on(transaction, holder_id):
        return None, 0.0
    left = transaction.give_back(pages)
    return left, time.perf_counter() - began
