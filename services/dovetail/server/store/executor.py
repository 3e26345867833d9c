"""Executors: threads that take waiting jobs in groups, and resolve each group at once.

This is the boundary between the event loop and threads that wait for disks. Jobs wait in
partitions; one partition is served by one thread at a time, in order of arrival.

A thread may wait without a bound, for a lock file or a database that stands still. Callers do not:
the event loop answers them when they have waited long enough, and at the end of the server. A
partition that is blocked (another session holds its team) is put aside and tried again after a
pause; at most half of the threads try such partitions, so that the others are served meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dovetail.server.errors import DovetailError, Reason, UnavailableError

JOBS_WAITING_MAX = 10_000
JOB_TIMEOUT_SECONDS = 30.0
OBSTACLE_SECONDS = 5.0
BLOCKED_SECONDS = 10.0
FIRST_PAUSE_SECONDS = 0.05
PAUSE_SECONDS_MAX = 0.5
SWEEP_SECONDS = 1.0
BUSY_GROUP = 8
GATHER_SECONDS = 0.0005
GATHER_TIMES = 4
PROBES = "\0probes"


@dataclass(eq=False, slots=True)
class Job:
    """A function to be run by a executor, and what came of it."""

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


class PartitionBlockedError(Exception):
    """Nothing of a group was done, since another holds what it needs; to be tried again later.

    `refusal` is for the callers who have waited for too long by then.
    """

    def __init__(self, refusal: DovetailError) -> None:
        """Nothing was done; `refusal` says why."""
        super().__init__(str(refusal))
        self.refusal = refusal


@dataclass(frozen=True, kw_only=True, slots=True)
class Duties:
    """What the threads of an executor do.

    `run` does a group of jobs. `begin` and `end` open and close what a thread needs. `obstacle`
    says what keeps the threads from going on, as far as that is known; it never waits.
    """

    run: Callable[[list[Job]], None]
    begin: Callable[[], None]
    end: Callable[[], None]
    obstacle: Callable[[], str]


class GroupExecutor:
    """Some threads that run groups of jobs. It serves the event loop on which it was made."""

    def __init__(self, name: str, threads: int, largest_group: int, duties: Duties) -> None:
        """Start `threads` threads."""
        self._duties = duties
        self._largest = largest_group
        self._partitions: dict[str, deque[Job]] = {}
        self._served: set[str] = set()
        self._ready: deque[str] = deque()
        # Blocked partitions: how long each pauses, those that pause, those to be tried again.
        self._pauses: dict[str, float] = {}
        self._aside: list[tuple[float, str]] = []
        self._again: deque[str] = deque()
        self._tried: set[str] = set()
        self._most_tried = max(1, threads // 2)
        self._last_size: dict[str, int] = {}
        self._waiting = 0
        self._loop = asyncio.get_running_loop()
        self._pending: set[Job] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._obstructed_since: float | None = None
        self._stopping = False
        self._given_up = False
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    async def do(self, partition: str, team_id: str, work: Callable[[Any], Any]) -> Any:
        """Have the function run with what the executor's `run` gives it, and await its answer."""
        job = Job(team_id, work, self._loop.create_future(), self._loop.time())
        with self._changed:
            if self._stopping or self._given_up:
                raise UnavailableError(Reason.SERVER_STOPPING, "the server is stopping")
            if self._waiting >= JOBS_WAITING_MAX and partition != PROBES:
                raise busy(f"{self._waiting:,} calls wait for the store")
            self._waiting += 1
            self._partitions.setdefault(partition, deque()).append(job)
            if partition not in self._served:
                self._served.add(partition)
                (self._again if partition in self._pauses else self._ready).append(partition)
                self._changed.notify()
        self._pending.add(job)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(SWEEP_SECONDS, self._sweep)
        try:
            return await job.future
        finally:
            self._pending.discard(job)

    def give_up_after(self, seconds: float, then: Callable[[], None]) -> None:
        """Answer in so many seconds whoever still waits, call `then`, and take no more jobs."""
        self._loop.call_later(seconds, self._give_up, then)

    def close(self, deadline: float) -> bool:
        """Finish what waits, then end the threads; whether all have ended by the deadline."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def refuse_rest(self) -> None:
        """Answer those whose jobs will never be run: the threads have ended, or are lost."""
        text = f"the server is stopping, and {self._what_is_wrong('in time')}"
        for job in self._pending:
            if not job.future.done():
                job.future.set_exception(
                    UnavailableError(Reason.SERVER_STOPPING, text, retry_after=0.5)
                )

    def _give_up(self, then: Callable[[], None]) -> None:
        self._given_up = True
        if self._pending:
            self.refuse_rest()
            then()

    def _sweep(self) -> None:
        """Give up on jobs that a stuck store does not answer. One timer, not one for each job."""
        self._sweeper = None
        now, patience = self._loop.time(), f"for {JOB_TIMEOUT_SECONDS:.0f} s"
        late = now - self._patience(now)
        for job in self._pending:
            if job.since < late and not job.future.done():
                job.future.set_exception(busy(self._what_is_wrong(patience)))
        if self._pending:
            self._sweeper = self._loop.call_later(SWEEP_SECONDS, self._sweep)

    def _patience(self, now: float) -> float:
        """How long a job may wait: where it is known what all wait for, nobody waits for long."""
        if not self._duties.obstacle():
            self._obstructed_since = None
            return JOB_TIMEOUT_SECONDS
        if self._obstructed_since is None:
            self._obstructed_since = now
        return (
            SWEEP_SECONDS if now - self._obstructed_since > OBSTACLE_SECONDS else OBSTACLE_SECONDS
        )

    def _what_is_wrong(self, when: str) -> str:
        return self._duties.obstacle() or f"the store did not answer {when}"

    def _work(self) -> None:
        with contextlib.suppress(Exception):  # Tried again, and told, when there is work to do.
            self._duties.begin()
        while (partition := self._next_partition()) is not None:
            self._linger(partition)
            jobs = self._take(partition)
            done = self._run(partition, jobs)
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
                self._loop.call_soon_threadsafe(_resolve, done)
            self._yield_partition(partition, len(jobs))
        self._duties.end()

    def _run(self, partition: str, jobs: list[Job]) -> list[Job]:
        """Run a group; those whose callers are to be answered now."""
        blocked = partition in self._pauses
        try:
            self._duties.run(jobs)
        except PartitionBlockedError as error:
            return self._put_back(partition, jobs, error.refusal)
        except Exception as error:  # noqa: BLE001 - a executor must not lose a thread
            for job in jobs:
                job.error = job.error or error
        if blocked:
            with self._changed:
                self._pauses.pop(partition, None)
        return jobs

    def _put_back(self, partition: str, jobs: list[Job], refusal: DovetailError) -> list[Job]:
        """Have a blocked partition pause, with those of its jobs that may still wait."""
        late = self._loop.time() - BLOCKED_SECONDS
        over = [job for job in jobs if job.since < late or job.abandoned]
        for job in over:
            job.error = refusal
        again = [job for job in jobs if job not in over]
        with self._changed:
            self._partitions[partition].extendleft(reversed(again))
            self._waiting += len(again)
            pause = 2 * self._pauses.get(partition, FIRST_PAUSE_SECONDS / 2)
            if len(self._pauses) > JOBS_WAITING_MAX:
                self._pauses.clear()
            self._pauses[partition] = min(pause, PAUSE_SECONDS_MAX)
        return over

    def _next_partition(self) -> str | None:
        with self._changed:
            while (partition := self._choose()) is None:
                if self._stopping:
                    return None
                self._changed.wait(self._until_next())
            return partition

    def _choose(self) -> str | None:
        """A partition whose turn it is: a blocked one for some threads, or one of the rest."""
        while self._aside and self._aside[0][0] <= time.monotonic():
            self._again.append(heapq.heappop(self._aside)[1])
        if self._again and len(self._tried) < self._most_tried:
            partition = self._again.popleft()
            self._tried.add(partition)
            return partition
        return self._ready.popleft() if self._ready else None

    def _until_next(self) -> float | None:
        """How long until a pause ends; None: it lasts until something changes."""
        if not self._aside or len(self._tried) >= self._most_tried:
            return None
        return max(0.0, self._aside[0][0] - time.monotonic())

    def _linger(self, partition: str) -> None:
        """Let a group grow for a moment, where the last one was large: pure loss for one caller."""
        expected = self._last_size.get(partition, 0)
        if expected < BUSY_GROUP:
            return
        for _ in range(GATHER_TIMES):
            if len(self._partitions[partition]) >= expected:
                return
            time.sleep(GATHER_SECONDS)

    def _take(self, partition: str) -> list[Job]:
        with self._changed:
            queue = self._partitions[partition]
            jobs = [queue.popleft() for _ in range(min(len(queue), self._largest))]
            self._waiting -= len(jobs)
            return jobs

    def _yield_partition(self, partition: str, size: int) -> None:
        with self._changed:
            if partition in self._tried:
                self._tried.discard(partition)
                self._changed.notify()  # Another may now try a blocked partition.
            if not self._partitions[partition]:
                self._served.discard(partition)
                del self._partitions[partition]
                self._remember(partition, size)
            elif partition in self._pauses:
                due = time.monotonic() + self._pauses[partition]
                heapq.heappush(self._aside, (due, partition))
                self._changed.notify()
            else:
                self._remember(partition, size)
                self._ready.append(partition)
                self._changed.notify()

    def _remember(self, partition: str, size: int) -> None:
        self._last_size[partition] = size
        if len(self._last_size) > JOBS_WAITING_MAX:
            self._last_size.clear()


def busy(message: str) -> DovetailError:
    """Too much waits, or for too long. What a executor has begun by then may still be done."""
    return UnavailableError(Reason.STORE_BUSY, message, retry_after=0.5)


def _resolve(jobs: list[Job]) -> None:
    for job in jobs:
        if job.future.done():
            continue
        if job.error is None:
            job.future.set_result(job.result)
        else:
            job.future.set_exception(job.error)
