"""Figures: what a scrape reads of the store, bounded in time, and kept for a few seconds.

They are of all teams together. They are read among the scans, by the threads of the store that
readers do not wait for; the writer takes no part. What is not read within the budget is broken off
and left out: a hole in a graph is true, an old number is not.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from dovetail.server import clock
from dovetail.server.errors import DovetailError
from dovetail.server.metrics import table
from dovetail.server.metrics.table import Metric
from dovetail.server.store.store import Store
from dovetail.server.store.tables import overall
from dovetail.server.store.transaction import MICROS

BUDGET_SECONDS = 0.2
"""For all that one scrape reads."""

PAUSE_RATIO = 25
"""The next read comes after so many times as long: figures take 4 % of a core at most."""

Values = Mapping[tuple[str, ...], float]
Found = dict[Metric, Values]


class Figures:
    """Reads the figures of one server. For its event loop only."""

    def __init__(self, store: Store, service: str, period_seconds: float) -> None:
        """Read `store` for a service, at most once in a period."""
        self._store = store
        self._period = period_seconds
        reads = {
            table.STORE_BYTES: self._sizes,
            table.OLDEST_UNACKNOWLEDGED: self._oldest_unacknowledged,
            table.TASKS: self._tasks,
            table.QUEUE_AGE: self._queue_age,
        }
        mine = table.of_service(service)
        self._reads: list[Callable[[], Awaitable[Found]]] = [
            read for metric, read in reads.items() if metric in mine
        ]
        self._found: Found = {}
        self._due = 0.0

    async def read(self, asked_time: float) -> Found:
        """All figures, for a scrape that asked at this time of the monotonic clock."""
        now = time.monotonic()
        if now >= self._due:
            await self._read_all()
            ended = time.monotonic()
            self._due = ended + max(self._period, (ended - now) * PAUSE_RATIO)
        waiting = {(queue,): float(jobs) for queue, jobs in self._store.waiting_jobs().items()}
        return self._found | {table.LOOP_DELAY: one(now - asked_time), table.WAITING_JOBS: waiting}

    async def _read_all(self) -> None:
        self._found, is_whole = {}, False
        with contextlib.suppress(DovetailError, TimeoutError):
            async with asyncio.timeout(BUDGET_SECONDS):
                for read in self._reads:
                    self._found |= await read()
                is_whole = True
        self._found |= {table.FIGURES_UP: one(is_whole)}

    async def _sizes(self) -> Found:
        sizes = await self._store.sizes()
        found: Found = {
            table.STORE_BYTES: {(part,): float(size) for part, size in sizes.parts.items()}
        }
        if sizes.disk_free is not None:
            found[table.DISK_FREE] = one(sizes.disk_free)
        return found

    async def _oldest_unacknowledged(self) -> Found:
        since = await self._store.scan("", overall.oldest_mail)
        return {table.OLDEST_UNACKNOWLEDGED: one(_age(since))}

    async def _tasks(self) -> Found:
        states = await self._store.scan("", overall.tasks_by_state)
        return {table.TASKS: {(state.name,): float(count) for state, count in states.items()}}

    async def _queue_age(self) -> Found:
        since = await self._store.scan("", partial(overall.oldest_ready, now=clock.now()))
        return {table.QUEUE_AGE: one(_age(since))}


def late(asked_time: float) -> Found:
    """What is shown when the event loop did not come to it: for how long, and nothing else."""
    waited = time.monotonic() - asked_time
    return {table.LOOP_DELAY: one(waited), table.FIGURES_UP: one(False)}


def one(value: float) -> Values:
    """The value of a metric without labels."""
    return {(): float(value)}


def _age(since: int | None) -> float:
    return 0.0 if since is None else max(0.0, (clock.now() - since) / MICROS)
