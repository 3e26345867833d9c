"""The keeper: what befalls tasks without a caller's doing. Lost leases, and due times that passed.

No clocks are compared. A keeper counts, on its own monotonic clock, for how long it has itself seen
a lease without a heartbeat; when that is the lease's whole length it ends it, on condition that
token and count are still what it saw. Every task server has a keeper; whichever is first ends a
lease, and the others then find nothing to end. A keeper that could not look for a while, because
the store was away or its process stood still, begins to count anew: holders could not have reached
it either.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Sequence

import structlog

from dovetail.server.callers import Caller
from dovetail.server.errors import DovetailError
from dovetail.server.store import leases, tasks
from dovetail.server.store.database import Store
from dovetail.server.store.leases import Hold
from dovetail.server.store.records import Task, TaskState
from dovetail.server.store.transaction import MICROS, Transaction
from dovetail.server.tasks import moves, record
from dovetail.server.tasks.drafts import Options, Outcome
from dovetail.server.tasks.record import Act
from dovetail.server.tasks.states import Verb

PERIOD_SECONDS = 0.5
LONGEST_GAP_SECONDS = 3.0
MOST_AT_ONCE = 200

log = structlog.get_logger("dovetail.keeper")


class Keeper:
    """Ends the leases of holders that are gone, and tells of tasks that are overdue."""

    def __init__(self, store: Store) -> None:
        """Watch over the tasks of `store`."""
        self._store = store
        self._since: dict[Hold, float] = {}
        self._looked = 0.0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Watch until `close`."""
        self._task = asyncio.create_task(self._run())

    def close(self) -> None:
        """Watch no more."""
        if self._task:
            self._task.cancel()

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(DovetailError):  # health checks tell of it
                await self._end_leases()
                await self._tell_overdue()
            await asyncio.sleep(PERIOD_SECONDS)

    async def _end_leases(self) -> None:
        """End what has stood without a heartbeat for its whole length, as seen from here."""
        held = await self._store.scan("", leases.held)
        now = time.monotonic()
        if now - self._looked > LONGEST_GAP_SECONDS:
            self._since = {}
        self._looked = now
        self._since = {hold: self._since.get(hold, now) for hold in held}
        late: dict[str, list[Hold]] = defaultdict(list)
        for hold, since in self._since.items():
            if now - since >= hold.length / MICROS:
                late[hold.team_id].append(hold)
        for team_id, holds in late.items():
            await self._lose(team_id, holds[:MOST_AT_ONCE])

    async def _lose(self, team_id: str, holds: Sequence[Hold]) -> None:
        def unit(transaction: Transaction) -> int:
            return sum(_lose(transaction, hold) for hold in holds)

        count = await self._store.write(team_id, unit)
        if count:
            log.info("leases lost", team_id=team_id, count=count)

    async def _tell_overdue(self) -> None:
        now = time.time_ns() // 1_000
        late = await self._store.scan("", lambda s: leases.late(s, now, MOST_AT_ONCE))
        teams: dict[str, list[str]] = defaultdict(list)
        for team_id, task_id in late:
            teams[team_id].append(task_id)
        for team_id, task_ids in teams.items():
            await self._tell(team_id, task_ids)

    async def _tell(self, team_id: str, task_ids: Sequence[str]) -> None:
        def unit(transaction: Transaction) -> None:
            for task_id in task_ids:
                _tell(transaction, team_id, task_id)

        await self._store.write(team_id, unit)


def _lose(transaction: Transaction, hold: Hold) -> bool:
    """End a lease that is still as it was seen; answers whether it was."""
    task = tasks.find(transaction, hold.team_id, hold.task_id)
    if task is None or not _as_seen(task, hold):
        return False
    now = transaction.team(hold.team_id).now
    outcome = Outcome(text=moves.LEASE_LOST, retryable=True)
    after = moves.failed(task, Verb.LOSE_LEASE, outcome, now)
    record.write(transaction, _act(hold.team_id, Verb.LOSE_LEASE), task, after)
    return True


def _as_seen(task: Task, hold: Hold) -> bool:
    same = (task.lease_token, task.lease_count) == (hold.token, hold.count)
    return same and task.state is TaskState.IN_PROGRESS


def _tell(transaction: Transaction, team_id: str, task_id: str) -> None:
    """Tell of a task that is overdue, unless somebody has or it has ended."""
    task = tasks.find(transaction, team_id, task_id)
    now = transaction.team(team_id).now
    if task is None or task.has_ended or task.overdue_told or task.delete_time is not None:
        return
    if task.due_time is not None and task.due_time <= now:
        after = moves.overdue(task)
        record.write(transaction, _act(team_id, Verb.BECOME_OVERDUE), task, after)


def _act(team_id: str, verb: Verb) -> Act:
    return Act(caller=Caller(team_id=team_id, agent_id=""), verb=verb, options=Options())
