"""Executors: threads that take waiting jobs in groups and resolve each group with one call.

This is the boundary between the event loop and threads that block on disks. Jobs wait in
partitions; one thread at a time serves a partition, in order of arrival.

A thread may block without a bound, on a lock file or on a database that does not respond. Callers
do not: the event loop fails their jobs after a limit, and when the server stops. A partition that
is blocked (another session holds the lock of its team) is put aside and tried again after a pause;
at most half of the threads try such partitions, so that the others are served meanwhile.

Who owns what. The event loop alone uses `_pending`, `_sweeper`, `_obstructed_since` and
`_given_up`. The lock of `_changed` guards all else that changes; the two places that read without
it (`_linger`, `_run`) say why they may.
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
from typing import Any, TypeVar

from dovetail.server.errors import DovetailError, Reason, UnavailableError

T = TypeVar("T")

# The limits are chosen, not measured. 10,000 jobs are about a second of sends for the writer of a
# SQLite store (docs/decisions/0003-crews.md): a caller behind them should try again later.
JOBS_WAITING_MAX = 10_000

# How long a caller waits: for a store that is silent without a known reason; for a known obstacle;
# for a blocked partition. Each is tested about once a second, so it may last as much longer.
JOB_TIMEOUT_SECONDS = 30.0
OBSTACLE_SECONDS = 5.0
BLOCKED_SECONDS = 10.0
SWEEP_SECONDS = 1.0

# Each try of a blocked partition holds a thread for the engine's lock timeout (300 ms), so pauses
# of the same order leave that thread about half of its time for others.
FIRST_PAUSE_SECONDS = 0.05
PAUSE_SECONDS_MAX = 0.5

# That a busy writer lingers is measured: without it 16 callers lose 9 %, 64 callers gain 3 %
# (docs/performance.md). The numbers are chosen: at most four steps of 0.5 ms, after a group of 8.
BUSY_GROUP_JOBS = 8
LINGER_STEP_SECONDS = 0.0005
LINGER_STEPS = 4

# The partition of health probes. No team has this id; probes are accepted when the queue is full,
# or a server under load would look like one whose store has failed.
PROBES = "\0probes"


@dataclass(eq=False, slots=True)
class Job:
    """A function to run on an executor's thread, and its outcome.

    The thread that serves the partition writes `result` and `error`; the event loop reads them in
    `_resolve`, which that thread schedules afterwards. `future` belongs to the event loop.
    """

    team_id: str
    work: Callable[[Any], Any]
    future: asyncio.Future[Any]
    submit_time: float
    result: Any = None
    error: BaseException | None = None

    @property
    def abandoned(self) -> bool:
        """Whether its caller has left or was refused: if its turn comes then, it must not run."""
        # Threads read this without a lock. A future that is done stays done, so the only wrong
        # result is a late False: the job runs, and `_resolve` drops its outcome.
        return self.future.done()


class PartitionBlockedError(Exception):
    """Nothing of a group was done, because another session holds a lock; to be tried again.

    `refusal` is the error for callers whose time is over by then.
    """

    def __init__(self, refusal: DovetailError) -> None:
        """Keep the error that says why."""
        super().__init__(str(refusal))
        self.refusal = refusal


@dataclass(frozen=True, kw_only=True, slots=True)
class Duties:
    """What the threads of an executor do.

    `run` runs a group of jobs. `begin` and `end` open and close what a thread needs. `obstacle`
    returns what blocks the threads, as far as that is known, or nothing. The event loop calls it,
    so it must not wait.
    """

    run: Callable[[list[Job]], None]
    begin: Callable[[], None]
    end: Callable[[], None]
    obstacle: Callable[[], str]


class GroupExecutor:
    """Threads that run groups of jobs, for the event loop on which it is created."""

    def __init__(self, name: str, threads: int, group_jobs_max: int, duties: Duties) -> None:
        """Start `threads` threads, each of which takes at most `group_jobs_max` jobs at once."""
        self._duties = duties
        self._group_jobs_max = group_jobs_max
        # A partition is in `_partitions` and in `_served` from its first job until its thread finds
        # it empty. Meanwhile it is in exactly one place: in `_ready`, in `_again`, in `_aside`, or
        # with one thread. Therefore no two threads serve one partition, which keeps a team's
        # jobs in order.
        self._partitions: dict[str, deque[Job]] = {}
        self._served: set[str] = set()
        # Round robin: after each group a partition goes to the end, so no team starves another.
        self._ready: deque[str] = deque()
        # Blocked partitions: the pause of each, those that pause now (a heap by due time), those to
        # try again, and those that threads are trying. An entry of `_pauses` stays until a group of
        # its partition has run, even while no job waits: the next job then goes to `_again`.
        self._pauses: dict[str, float] = {}
        self._aside: list[tuple[float, str]] = []
        self._again: deque[str] = deque()
        self._tried: set[str] = set()
        self._tried_max = max(1, threads // 2)
        self._last_size: dict[str, int] = {}
        # Jobs in `_partitions`; those that a thread has taken do not count.
        self._waiting = 0
        self._loop = asyncio.get_running_loop()
        self._pending: set[Job] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._obstructed_since: float | None = None
        self._stopping = False
        self._given_up = False
        self._changed = threading.Condition()
        # Daemons: a thread that blocks in the kernel must not keep a stopped server alive.
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """How many jobs no thread has taken yet. Without the lock: a moment's number."""
        return self._waiting

    async def do(self, partition: str, team_id: str, work: Callable[[Any], T]) -> T:
        """Run the function on a thread, with what `Duties.run` passes to it, and await its result.

        Raises UnavailableError when the queue is full, the server stops, or the job is late. A late
        job may have begun, and may still be committed.
        """
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
        """Accept no jobs after so many seconds; if some are left then, fail them and call `then`.

        For the end of a server, whose callers must not wait for a store that is stuck.
        """
        self._loop.call_later(seconds, self._give_up, then)

    def close(self, deadline: float) -> bool:
        """Finish the jobs that wait, then end the threads. Returns whether all have ended in time.

        Blocks, so not for the event loop. Partitions that pause are not waited for.
        """
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def refuse_rest(self) -> None:
        """Fail the jobs that will not run any more: the threads have ended, or are stuck."""
        text = f"the server is stopping, and {self._what_is_wrong('in time')}"
        # Callbacks of a future run in a later step of the loop: `_pending` does not change here.
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
        """Fail the jobs that have waited too long. One timer for all, as most need none."""
        self._sweeper = None
        now, patience = self._loop.time(), f"for {JOB_TIMEOUT_SECONDS:.0f} s"
        late = now - self._patience(now)
        for job in self._pending:
            if job.submit_time < late and not job.future.done():
                job.future.set_exception(busy(self._what_is_wrong(patience)))
        if self._pending:
            self._sweeper = self._loop.call_later(SWEEP_SECONDS, self._sweep)

    def _patience(self, now: float) -> float:
        """How long a job may wait: less where the obstacle is known, and least once it lasts."""
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
        # A failure here is no loss: the first group opens what is missing, or reports why not.
        with contextlib.suppress(Exception):
            self._duties.begin()
        while (partition := self._next_partition()) is not None:
            self._linger(partition)
            jobs = self._take(partition)
            done = self._run(partition, jobs)
            # Before the partition is released, so results reach the loop in order of arrival. One
            # call for the group: each call wakes the loop by a write to a socket. RuntimeError: the
            # loop is closed, and no caller waits.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(_resolve, done)
            self._yield_partition(partition, len(jobs))
        self._duties.end()

    def _run(self, partition: str, jobs: list[Job]) -> list[Job]:
        """Run a group. Returns the jobs that are finished; the others are back in the queue."""
        # Without the lock: only the thread that serves a partition adds or removes its entry. What
        # another thread may do is clear all of them (`_put_back`), and then `pop` does nothing.
        blocked = partition in self._pauses
        try:
            self._duties.run(jobs)
        except PartitionBlockedError as error:
            return self._put_back(partition, jobs, error.refusal)
        except Exception as error:  # noqa: BLE001 - an executor must not lose a thread
            for job in jobs:
                job.error = job.error or error
        if blocked:
            with self._changed:
                self._pauses.pop(partition, None)
        return jobs

    def _put_back(self, partition: str, jobs: list[Job], refusal: DovetailError) -> list[Job]:
        """Let a blocked partition pause with its jobs. Returns those whose time is over."""
        late = self._loop.time() - BLOCKED_SECONDS
        over = [job for job in jobs if job.submit_time < late or job.abandoned]
        for job in over:
            job.error = refusal
        again = [job for job in jobs if job not in over]
        with self._changed:
            self._partitions[partition].extendleft(reversed(again))
            self._waiting += len(again)
            pause = 2 * self._pauses.get(partition, FIRST_PAUSE_SECONDS / 2)
            # Forgetting the pauses costs one try of each blocked partition by any thread.
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
        """The next partition to serve: a blocked one, if few enough are being tried, or another.

        Call it, `_until_next` and `_remember` with `_changed` held.
        """
        while self._aside and self._aside[0][0] <= time.monotonic():
            self._again.append(heapq.heappop(self._aside)[1])
        if self._again and len(self._tried) < self._tried_max:
            partition = self._again.popleft()
            self._tried.add(partition)
            return partition
        return self._ready.popleft() if self._ready else None

    def _until_next(self) -> float | None:
        """Seconds until the first pause ends; None: wait for a notification."""
        if not self._aside or len(self._tried) >= self._tried_max:
            return None
        return max(0.0, self._aside[0][0] - time.monotonic())

    def _linger(self, partition: str) -> None:
        """Let a group grow for a moment if the last one was large. One caller alone never waits."""
        # Without the lock, which `do` needs to add jobs meanwhile. Only this thread takes from the
        # queue or removes it, so `len` can only be too small: a job may miss this group, and is in
        # the next. A wrong `_last_size` (another thread may clear it) costs one group's lingering.
        expected = self._last_size.get(partition, 0)
        if expected < BUSY_GROUP_JOBS:
            return
        for _ in range(LINGER_STEPS):
            if len(self._partitions[partition]) >= expected:
                return
            time.sleep(LINGER_STEP_SECONDS)

    def _take(self, partition: str) -> list[Job]:
        with self._changed:
            queue = self._partitions[partition]
            jobs = [queue.popleft() for _ in range(min(len(queue), self._group_jobs_max))]
            self._waiting -= len(jobs)
            return jobs

    def _yield_partition(self, partition: str, size: int) -> None:
        with self._changed:
            if partition in self._tried:
                self._tried.discard(partition)
                # For a thread that found `_tried` full and waits without a time limit.
                self._changed.notify()
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
    """The error for a full queue and for a late job. A job that has begun may still be done."""
    return UnavailableError(Reason.STORE_BUSY, message, retry_after=0.5)


def _resolve(jobs: list[Job]) -> None:
    for job in jobs:
        if job.future.done():
            continue
        if job.error is None:
            job.future.set_result(job.result)
        else:
            job.future.set_exception(job.error)
