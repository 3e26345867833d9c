"""Crews: threads that take waiting jobs in groups, and answer each group at once.

This is the boundary between the event loop and threads that wait for disks. Jobs wait in lanes; one
lane is served by one thread at a time, in order of arrival.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dovetail.server.errors import DovetailError, Reason, UnavailableError

MOST_WAITING = 10_000
PATIENCE_SECONDS = 30.0
SWEEP_SECONDS = 1.0
BUSY_GROUP = 8
GATHER_SECONDS = 0.0005
GATHER_TIMES = 4


@dataclass(eq=False, slots=True)
class Job:
    """A function to be run by a crew, and what came of it."""

    team_id: str
    work: Callable[[Any], Any]
    future: asyncio.Future[Any]
    since: float
    result: Any = None
    error: BaseException | None = None

    @property
    def abandoned(self) -> bool:
        """Whether nobody waits any more: a job whose turn comes then must not be run."""
        return self.future.done()


class Crew:
    """Some threads that run groups of jobs. It serves the event loop on which it was made."""

    def __init__(
        self,
        name: str,
        threads: int,
        largest_group: int,
        run: Callable[[list[Job]], None],
        at_end: Callable[[], None],
    ) -> None:
        """Start `threads` threads; `run` does a group of jobs, `at_end` ends a thread's things."""
        self._run_group = run
        self._at_end = at_end
        self._largest = largest_group
        self._lanes: dict[str, deque[Job]] = {}
        self._served: set[str] = set()
        self._ready: deque[str] = deque()
        self._last_size: dict[str, int] = {}
        self._waiting = 0
        self._loop = asyncio.get_running_loop()
        self._pending: set[Job] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._stopping = False
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    async def do(self, lane: str, team_id: str, work: Callable[[Any], Any]) -> Any:
        """Have the function run with what the crew's `run` gives it, and await its answer."""
        job = Job(team_id, work, self._loop.create_future(), self._loop.time())
        with self._changed:
            if self._stopping:
                raise UnavailableError(Reason.SERVER_STOPPING, "the server is stopping")
            if self._waiting >= MOST_WAITING:
                raise busy(f"{self._waiting:,} calls wait for the store")
            self._waiting += 1
            self._lanes.setdefault(lane, deque()).append(job)
            if lane not in self._served:
                self._served.add(lane)
                self._ready.append(lane)
                self._changed.notify()
        self._pending.add(job)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(SWEEP_SECONDS, self._sweep)
        try:
            return await job.future
        finally:
            self._pending.discard(job)

    def close(self) -> None:
        """Finish what waits, then end the threads."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _sweep(self) -> None:
        """Give up on jobs that a stuck store does not answer. One timer, not one for each job."""
        self._sweeper = None
        late = self._loop.time() - PATIENCE_SECONDS
        for job in self._pending:
            if job.since < late and not job.future.done():
                patience = f"{PATIENCE_SECONDS:.0f} s"
                job.future.set_exception(busy(f"the store did not answer for {patience}"))
        if self._pending:
            self._sweeper = self._loop.call_later(SWEEP_SECONDS, self._sweep)

    def _work(self) -> None:
        while (lane := self._next_lane()) is not None:
            self._gather(lane)
            jobs = self._take(lane)
            try:
                self._run_group(jobs)
            except Exception as error:  # noqa: BLE001 - a crew must not lose a thread
                for job in jobs:
                    job.error = job.error or error
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
                self._loop.call_soon_threadsafe(_resolve, jobs)
            self._leave(lane, len(jobs))
        self._at_end()

    def _next_lane(self) -> str | None:
        with self._changed:
            while not self._ready:
                if self._stopping:
                    return None
                self._changed.wait()
            return self._ready.popleft()

    def _gather(self, lane: str) -> None:
        """Let a group grow for a moment, where the last one was large: pure loss for one caller."""
        expected = self._last_size.get(lane, 0)
        if expected < BUSY_GROUP:
            return
        for _ in range(GATHER_TIMES):
            if len(self._lanes[lane]) >= expected:
                return
            time.sleep(GATHER_SECONDS)

    def _take(self, lane: str) -> list[Job]:
        with self._changed:
            queue = self._lanes[lane]
            jobs = [queue.popleft() for _ in range(min(len(queue), self._largest))]
            self._waiting -= len(jobs)
            return jobs

    def _leave(self, lane: str, size: int) -> None:
        with self._changed:
            if self._lanes[lane]:
                self._last_size[lane] = size
                self._ready.append(lane)
                self._changed.notify()
            else:
                self._served.discard(lane)
                del self._lanes[lane]
                self._last_size[lane] = size
                if len(self._last_size) > MOST_WAITING:
                    self._last_size.clear()


def busy(message: str) -> DovetailError:
    """Too much waits, or for too long. What a crew has begun by then may still be done."""
    return UnavailableError(Reason.STORE_BUSY, message, retry_after=0.5)


def _resolve(jobs: list[Job]) -> None:
    for job in jobs:
        if job.future.done():
            continue
        if job.error is None:
            job.future.set_result(job.result)
        else:
            job.future.set_exception(job.error)
