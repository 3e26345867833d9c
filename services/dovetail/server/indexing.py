"""Indexing: what keeps the index of words up to date, beside the calls that write.

Sends and changes of tasks do not index: that would take the one writer half of its time. A search
first has indexed what is missing, bite by bite, and so finds all that was written before it began.
In quiet times the index is brought up to date anyway, so that no search has much to do. A bite is
read and taken apart on a scanner's thread, and written as a unit of its own, on condition that
nobody else has indexed it meanwhile: any number of servers may do this, and each bite counts once.

All state belongs to the event loop, but for the words that are known: the thread that makes a bite
reads them while no other bite of the team is under way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextvars import Context
from typing import NamedTuple

import structlog

from dovetail.server.errors import DovetailError, Reason, UnavailableError
from dovetail.server.store.search.plans import words_of
from dovetail.server.store.store import Store
from dovetail.server.store.tables.search import Bite, Corpus, index_of
from dovetail.server.store.transaction import Snapshot, Transaction

# All numbers here are chosen, not measured.
CATCH_UP_SECONDS = 10.0
"""How long a search waits while bites are written."""

PERIOD_SECONDS = 5.0
"""Between two looks for teams that are behind."""

BUSY_PER_SECOND = 200
"""So many messages, or events, of all teams in a second keep the background from indexing."""

BUSY_LAG = 50_000
"""Of a team that is further behind, some is indexed also in busy times."""

QUIET_PAUSE, BUSY_PAUSE = 1, 9
"""After a bite the background pauses so many times as long as the bite took: others write then."""

KNOWN_WORDS_MAX = 100_000
"""Words that are remembered as noted, of all teams: some 10 MiB."""

log: structlog.typing.FilteringBoundLogger = structlog.get_logger("dovetail.search")


class _Made(NamedTuple):
    """A bite, and those of its words that may not be noted yet."""

    bite: Bite
    words: Collection[str]


class Indexer:
    """Indexes one corpus of all teams of a store."""

    def __init__(self, store: Store, corpus: Corpus, period: float = PERIOD_SECONDS) -> None:
        """Index what `store` has of `corpus`; look every `period` seconds after `start`."""
        self._store = store
        self._corpus = corpus
        self._period = period
        self._bites: dict[str, asyncio.Task[int]] = {}
        self._known: dict[str, set[str]] = {}
        self._task: asyncio.Task[None] | None = None
        # How much had been written at the last look, and when that was.
        self._written: tuple[int, float] | None = None

    def start(self) -> None:
        """Index in the background until `close`."""
        self._task = asyncio.create_task(self._run())

    def close(self) -> None:
        """Index no more in the background; searches still do."""
        if self._task:
            self._task.cancel()

    async def catch_up(self, team_id: str) -> None:
        """Return once all is indexed that was written before the call."""
        lag = await self._store.read(team_id, self._corpus.lag)
        through, end = lag.through, _now() + CATCH_UP_SECONDS
        while through < lag.last:
            if _now() > end:
                raise UnavailableError(
                    Reason.SEARCH_NOT_READY,
                    f"the index is being built, and {lag.last - through:,} are left of what it must"
                    " have: nothing is wrong, try again in some seconds",
                    metadata={"left": str(lag.last - through)},
                    retry_after=5.0,
                )
            through = await self._index(team_id)

    async def _index(self, team_id: str) -> int:
        """Index the next bite of a team, once for all who wait for it. Returns how far it is."""
        task = self._bites.get(team_id)
        if task is None:
            # In a context of its own: the permit of one caller must not decide for the others.
            task = asyncio.create_task(self._index_next(team_id), name=team_id, context=Context())
            self._bites[team_id] = task
            task.add_done_callback(self._forget)
        # A caller that leaves does not take the bite with it.
        return await asyncio.shield(task)

    def _forget(self, task: asyncio.Task[int]) -> None:
        """Forget a bite that has ended, also if nobody waited for how."""
        del self._bites[task.get_name()]
        if not task.cancelled():
            task.exception()

    async def _index_next(self, team_id: str) -> int:
        known = self._known.get(team_id, set())

        def make(snapshot: Snapshot) -> _Made:
            bite = self._corpus.next_bite(snapshot)
            keeps = index_of(snapshot).keeps_vocabulary
            return _Made(bite, words_of(bite.documents) - known if keeps else ())

        made = await self._store.scan(team_id, make)
        bite = made.bite
        if bite.through == bite.after:
            return bite.after

        def unit(transaction: Transaction) -> bool:
            return self._corpus.write(transaction, bite, made.words)

        if not await self._store.write(team_id, unit, self._corpus.need()):
            return bite.after
        self._remember(team_id, made.words)
        return bite.through

    def _remember(self, team_id: str, words: Collection[str]) -> None:
        """Keep in mind that words are noted: they always will be."""
        if sum(map(len, self._known.values())) + len(words) > KNOWN_WORDS_MAX:
            self._known.clear()
        self._known.setdefault(team_id, set()).update(words)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._period)
            try:
                await self._round()
            except DovetailError:
                pass  # the store is away: health checks say so
            except Exception:
                log.exception("the index of words cannot be kept up to date")

    async def _round(self) -> None:
        """Index for a while what is missing, of those teams first that are most behind."""
        work = await self._store.read("", self._corpus.work)
        is_busy = self._is_busy(work.written)
        end = _now() + max(self._period, 1.0)
        for backlog in work.backlogs:
            if not is_busy or backlog.lag > BUSY_LAG:
                await self._follow(backlog.team_id, end, BUSY_PAUSE if is_busy else QUIET_PAUSE)

    def _is_busy(self, written: int) -> bool:
        """Whether much was written since the last look."""
        before, self._written = self._written, (written, _now())
        if before is None:
            return False
        return written - before[0] > BUSY_PER_SECOND * (self._written[1] - before[1])

    async def _follow(self, team_id: str, end: float, pause: int) -> None:
        """Index bites of a team until a time, or until none is left, or others index it too."""
        through = -1
        while _now() < end:
            began = _now()
            reached = await self._index(team_id)
            if reached <= through:
                return
            through = reached
            await asyncio.sleep(pause * (_now() - began))


def _now() -> float:
    return asyncio.get_running_loop().time()
