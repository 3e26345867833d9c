"""The store: transactions, groups of units, and the boundary between event loop and threads.

Handlers pass units (functions of a Transaction) to `Store.write`; units that wait together run in
one transaction and are committed once. A unit checks before its first write, takes ids and times
from the transaction, changes nothing outside, and may run twice.

Nothing enforces that last rule. It breaks where a unit appends to a list of its caller, counts, or
sends: after a refusal of another unit of its group it runs again, and does so twice.

Who owns what. `bells`, `_turn`, `_comparing`, `_compare_again` and `_seen` belong to the event
loop. `_write_group`, `_read_group` and what they call run on threads of the executors, `_on_ring`
on the listener's; they reach the loop by `call_soon_threadsafe` alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import count
from typing import TypeVar

import structlog

from dovetail.server.errors import (
    DovetailError,
    InternalError,
    Reason,
    ResourceExhaustedError,
)
from dovetail.server.meter import UNMETERED, Meter
from dovetail.server.store import changed_names
from dovetail.server.store.changed_names import Counters
from dovetail.server.store.engines.base import CLOSE_SECONDS, Sizes, StoreOpenError
from dovetail.server.store.engines.opening import open_engine
from dovetail.server.store.engines.wakeups import Bells
from dovetail.server.store.executor import PROBES, Duties, GroupExecutor, Job, PartitionBlockedError
from dovetail.server.store.rings import WakeKey
from dovetail.server.store.tables import agents
from dovetail.server.store.transaction import (
    GlobalSnapshot,
    Need,
    QueryOverError,
    Snapshot,
    Transaction,
)
from dovetail.server.store.units import (
    Committed,
    RefusedLateError,
    Unit,
    current_permit,
    fetch_needs,
    run_unit,
)

T = TypeVar("T")
_Run = Callable[[list[Job]], None]

# All numbers here are chosen, not measured. A group bounds how long a transaction holds the writer,
# and how many units run again one by one after a failure; readers hold their snapshot as long.
WRITE_GROUP_JOBS_MAX = 128
READ_GROUP_JOBS_MAX = 16

# Threads share one interpreter, so few are enough. What matters is that they are apart: a listing
# or a report never stands before a short read.
READERS = 3
SCANNERS = 2
REPORTERS = 1

# Below the executor's 30 s for a job, so that a query that is too long fails with its own error.
QUERY_SECONDS_MAX = 20.0
SETTLE_SECONDS = 2.0
TIDYING = "\0tidying"
"""The partition of what is done to the store as a whole. No team has this id."""
SETTLE_STEP_SECONDS = 0.02
RETRY_SECONDS = 0.5
ABORT_SECONDS = 0.5

log: structlog.typing.FilteringBoundLogger = structlog.get_logger("dovetail.store")


def _nothing_known() -> str:
    """Return what blocks readers: nothing that differs from a slow disk."""
    return ""


def _probe(_: object) -> None:
    """The work of a probe: none. What is tried is the way to it."""


def _tidy(_: object) -> None:
    """The work of `Store.tidy`, which the engine does."""


class _NothingWrittenError(Exception):
    """No unit of a group wrote: roll back, and with it the row of a team that is new.

    This also saves the group a commit, which would wait for the disk.
    """


class Store:
    """One store as one process uses it, on one event loop. Call `close` at the end."""

    def __init__(self, url: str, meter: Meter = UNMETERED) -> None:
        """Open the store and bring its schema up to date. Raises StoreOpenError."""
        self.meter = meter
        self.bells = Bells(meter.woken)
        self._engine = open_engine(url)
        try:
            self._engine.migrate()
        except StoreOpenError:
            self._engine.close()
            raise
        finally:
            self._engine.close_connection()
        self.address = self._engine.address
        self._turn = count()
        writing = self._duties(self._write_group, self._engine.obstacle)
        reading = self._duties(self._read_group, _nothing_known)
        self._writers = GroupExecutor("writer", self._engine.writers, WRITE_GROUP_JOBS_MAX, writing)
        self._readers = GroupExecutor("reader", READERS, READ_GROUP_JOBS_MAX, reading)
        self._scanners = GroupExecutor("scanner", SCANNERS, 1, reading)
        self._reporters = GroupExecutor("reporter", REPORTERS, 1, reading)
        self._stop = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._comparing: asyncio.Task[None] | None = None
        self._compare_again = False
        self._seen: dict[str, Counters] = {}
        self._listener = threading.Thread(
            target=self._engine.listen,
            args=(self._stop, self._on_ring),
            name="listener",
            daemon=True,
        )
        self._listener.start()

    async def write(
        self, team_id: str, unit: Callable[[Transaction], T], needs: Sequence[Need] = ()
    ) -> T:
        """Run a unit for a team; when this returns, what it wrote is on disk.

        `needs` are the rows that it will ask for, as far as they are known: its group fetches them
        in sets. Leaving one out costs a statement of its own.
        """
        # The permit is taken here: a context variable of the call is not visible on the writer's
        # thread.
        work = Unit(unit, needs, current_permit.get())
        return await self._writers.do(self._engine.partition(team_id), team_id, work)

    async def read(self, team_id: str, query: Callable[[Snapshot], T]) -> T:
        """Run a short query; it sees every write that has returned before this call."""
        # As many partitions as threads: queries that wait share a snapshot, yet no thread is idle.
        # The snapshot begins when the group runs, so after this call; hence the promise above.
        partition = str(next(self._turn) % READERS)
        return await self._readers.do(partition, team_id, query)

    async def scan(self, team_id: str, query: Callable[[Snapshot], T]) -> T:
        """Run a long query, out of the way of short ones."""
        await self._settle()
        partition = str(next(self._turn) % SCANNERS)
        return await self._scanners.do(partition, team_id, query)

    async def report(self, team_id: str, query: Callable[[Snapshot], T]) -> T:
        """Run a query over very many rows, one at a time, out of the way of all others."""
        await self._settle()
        return await self._reporters.do("", team_id, query)

    async def ping(self) -> None:
        """Check that the store can be read, and that it could be written."""
        await self.read("", agents.ping)
        await self._writers.do(PROBES, "", _probe)

    async def tidy(self) -> None:
        """Fold a log of changes in, so that a file which became shorter is shorter on the disk."""
        await self._writers.do(TIDYING, "", _tidy)

    async def sizes(self) -> Sizes:
        """How large the store is."""
        return await self.scan("", self._engine.sizes)

    def waiting_jobs(self) -> dict[str, int]:
        """How many units and queries wait, by the threads for which they do."""
        names = ("writer", "reader", "scanner", "reporter")
        return {name: each.waiting for name, each in zip(names, self._executors, strict=True)}

    def finish_within(self, seconds: float) -> None:
        """After so many seconds fail the calls that still wait, and accept no more.

        For the end of a server: whatever the store waits for, its callers do not.
        """
        for executor in self._executors:
            executor.give_up_after(seconds, self._engine.abort)

    async def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Finish what waits, for at most so many seconds, and close the connections.

        A thread that blocks in the kernel for longer is left behind: it dies with the process.
        """
        if self._comparing:
            self._comparing.cancel()
        await asyncio.to_thread(self._close, time.monotonic() + seconds)
        for executor in self._executors:
            executor.refuse_rest()

    @property
    def _executors(self) -> tuple[GroupExecutor, ...]:
        return self._writers, self._readers, self._scanners, self._reporters

    def _duties(self, run: _Run, obstacle: Callable[[], str]) -> Duties:
        engine = self._engine
        return Duties(run=run, begin=engine.prepare, end=engine.close_connection, obstacle=obstacle)

    def _close(self, deadline: float) -> None:
        self._stop.set()
        self._engine.interrupt()
        if not self._join(deadline):
            self._engine.abort()
            if not self._join(time.monotonic() + ABORT_SECONDS):
                # The engine stays open: its files and sockets are in use by the thread that is
                # left behind, and a descriptor that is closed here could be another file's by then.
                log.warning("the store did not respond, and was left open", store=self.address)
                return
        self._engine.close(ABORT_SECONDS)

    def _join(self, deadline: float) -> bool:
        """Wait until the deadline for all threads to end. Returns whether they have."""
        ended = [executor.close(deadline) for executor in self._executors]
        self._listener.join(max(0.0, deadline - time.monotonic()))
        return all(ended) and not self._listener.is_alive()

    def _write_group(self, jobs: list[Job]) -> None:
        try:
            done = self._commit(jobs)
        except RefusedLateError as late:
            self._after_failure(jobs, late if len(jobs) > 1 else late.refusal, self._write_group)
        except Exception as error:  # whatever it is, callers must get an error
            if self._engine.is_blocked(error):
                raise PartitionBlockedError(self._engine.error_for(error)) from error
            self._after_failure(jobs, error, self._write_group)
        else:
            if done:
                self._after_commit(done)

    def _after_commit(self, done: Committed) -> None:
        # Never before: a watcher that is rung and reads the old state would wait on, and miss the
        # change. A ring too many costs one read.
        if rings := done.group.rings.names:
            self._engine.announce(rings)
            self._in_loop(self.bells.hand_over, rings, done.ended)
        took, committing = done.ended - done.began, done.ended - done.committing
        self.meter.committed(done.units, done.waited, took, committing)
        for what, number in done.group.happenings.items():
            self.meter.happened(what, number)

    def _commit(self, jobs: list[Job]) -> Committed | None:
        """Run and commit a group. Returns it, or None if nothing was written."""
        if all(job.abandoned for job in jobs):
            return None
        if jobs[0].work is _probe:  # Probes have a partition of their own.
            with self._engine.probe():
                return None
        if jobs[0].work is _tidy:  # So have these.
            self._engine.tidy()
            return None
        done: Committed | None = None
        began, waited = time.monotonic(), self._loop.time() - jobs[0].submit_time
        with contextlib.suppress(_NothingWrittenError), self._engine.write() as transaction:
            units = [job for job in jobs if not job.abandoned]
            fetch_needs(transaction, units)
            for job in units:
                if not job.abandoned:
                    run_unit(transaction, job)
            if not transaction.writes:
                raise _NothingWrittenError
            committing = time.monotonic()
            transaction.flush()
            if self._engine.commits_apart:
                committing = time.monotonic()
            # The commit follows, at the end of the block; if it fails, nothing is returned.
            done = Committed(transaction, len(units), waited, began, committing, 0.0)
        return done and done._replace(ended=time.monotonic())

    def _after_failure(self, jobs: list[Job], error: Exception, run: _Run) -> None:
        """Fail the jobs of a group that was rolled back, or find the one at fault by itself."""
        answer = self._engine.error_for(error)
        # Only where the database is not to blame is anything run twice. A connection that is lost
        # during COMMIT leaves open whether the group was committed: that is an outage
        # (UnavailableError), all callers are told, and each may repeat with its request_id.
        if len(jobs) > 1 and isinstance(answer, InternalError):
            for job in jobs:
                try:
                    run([job])
                except PartitionBlockedError as blocked:
                    # Others of the group may be committed by now, so this one cannot go back to
                    # its queue: the order there would not be that of arrival any more.
                    job.error = blocked.refusal
            return
        for job in jobs:
            job.error = answer

    def _read_group(self, jobs: list[Job]) -> None:
        if all(job.abandoned for job in jobs):
            return
        try:
            with self._engine.read() as snapshot:
                for job in jobs:
                    if not job.abandoned:
                        self._run_query(snapshot, job, alone=len(jobs) == 1)
        except Exception as error:  # noqa: BLE001 - whatever it is, callers must get an error
            self._after_failure(jobs, error, self._read_group)

    def _run_query(self, snapshot: GlobalSnapshot, job: Job, alone: bool) -> None:
        """Run a query, and cancel it at its limit or when its caller has left.

        Where a cancelled query ends the transaction (PostgreSQL), only one that is alone in its
        group can be cancelled. Scans and reports always are; short reads are left to the database's
        own statement timeout.
        """
        end = time.monotonic() + QUERY_SECONDS_MAX

        def is_over() -> bool:
            return job.abandoned or time.monotonic() > end

        team = snapshot.of(job.team_id)
        team.is_over = is_over
        bounded = alone or self._engine.survives_cancelled_query
        try:
            with self._engine.cancelling(is_over) if bounded else contextlib.nullcontext():
                job.result = job.work(team)
        except DovetailError as error:
            job.error = error
        except Exception as error:
            if not isinstance(error, QueryOverError) and not self._engine.was_cancelled(error):
                raise
            job.error = ResourceExhaustedError(
                Reason.QUERY_TOO_LONG,
                f"the query was broken off after {QUERY_SECONDS_MAX:.0f} s: narrow the filter, or"
                " ask for less at once",
            )

    async def _settle(self) -> None:
        """Wait a moment while the write-ahead log is large, so that it can be folded in.

        A long query keeps the log pages of its snapshot; while there is always one of them, the log
        only grows. The wait is bounded: a large log is the lesser evil.
        """
        end = self._loop.time() + SETTLE_SECONDS
        while self._engine.is_log_large() and self._loop.time() < end:  # noqa: ASYNC110
            await asyncio.sleep(SETTLE_STEP_SECONDS)

    def _in_loop(self, do: Callable[[T, float], None], what: T, cause_time: float) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, and no watcher is left
            self._loop.call_soon_threadsafe(do, what, cause_time)

    def _on_ring(self, inboxes: Iterable[WakeKey] | None) -> None:
        if inboxes is not None:
            self._in_loop(self.bells.ring, inboxes, time.monotonic())
            return
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._compare)

    def _compare(self) -> None:
        """Look for what changed: one look at a time, and one more if asked meanwhile."""
        # A look may have read before the change for which this one is asked; hence one more. The
        # task tests the flag and ends in one step of the loop, so no request falls in between.
        self._compare_again = True
        if self._comparing is None or self._comparing.done():
            self._comparing = self._loop.create_task(self._ring_changed())

    async def _ring_changed(self) -> None:
        while self._compare_again and (watched := self.bells.watched()):
            self._compare_again = False
            look = partial(changed_names.since, seen=self._seen, watched=watched)
            try:
                found = await self.read("", look)
            except DovetailError:
                self._compare_again = True
                await asyncio.sleep(RETRY_SECONDS)
            else:
                # Teams that are not watched are forgotten; of a team that comes back all changed.
                self._seen = found.counters
                # What is watched only since the look began was not among its names, though the
                # counters move on: it may have read before a change that the look saw.
                self.bells.ring(found.names.union(set(self.bells.watched()).difference(watched)))
