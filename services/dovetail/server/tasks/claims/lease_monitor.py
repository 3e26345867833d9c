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
import time
from collections.abc import Callable
from functools import partial

import structlog

from dovetail.server import clock
from dovetail.server.access.caller import Caller
from dovetail.server.errors import DovetailError
from dovetail.server.store.store import Store
from dovetail.server.store.tables import follow_ups, leases, tasks
from dovetail.server.store.tables.events import TaskVerb
from dovetail.server.store.tables.leases import HeldLease
from dovetail.server.store.tables.tasks import Task, TaskState
from dovetail.server.store.transaction import MICROS, GlobalSnapshot, Transaction
from dovetail.server.tasks import recording, transitions
from dovetail.server.tasks.recording import Action
from dovetail.server.tasks.requests import ChangeOptions, Outcome

PERIOD_SECONDS = 0.5
LONGEST_GAP_SECONDS = 3.0
LONGEST_PAUSE_SECONDS = 3.0
PAUSES = 25
"""How many times as long as a look took the keeper pauses: it takes some 4 % of a core at most."""
MOST_AT_ONCE = 500
FOLLOW_UPS_MAX = 4

log: structlog.typing.FilteringBoundLogger = structlog.get_logger("dovetail.keeper")


class LeaseMonitor:
    """Ends the leases of holders that are gone, and tells of tasks that are overdue."""

    def __init__(self, store: Store) -> None:
        """Watch over the tasks of `store`."""
        self._store = store
        self._since: dict[HeldLease, float] = {}
        self._looked = 0.0
        self._pause = PERIOD_SECONDS
        self._task: asyncio.Task[None] | None = None
        # What is being written, by task: a team that must wait holds up neither looks nor others.
        self._writing: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._following: dict[tuple[str, int], asyncio.Task[None]] = {}

    def start(self) -> None:
        """Watch until `close`."""
        self._task = asyncio.create_task(self._run())

    def close(self) -> None:
        """Watch no more."""
        for task in (self._task, *self._writing.values(), *self._following.values()):
            if task:
                task.cancel()

    async def _run(self) -> None:
        while True:
            try:
                await self._end_leases()
                await self._tell_overdue()
                await self._start_follow_ups()
            except DovetailError:
                pass  # health checks tell of it
            except Exception:
                log.exception("the keeper could not look")
            await asyncio.sleep(self._pause)

    async def _end_leases(self) -> None:
        """End what has stood without a heartbeat for its whole length, as seen from here.

        The look is one of the short reads, where no report is in its way: one that takes long
        there means that heartbeats cannot be written either.
        """
        began = time.monotonic()
        held = await self._store.read("", leases.held)
        now = time.monotonic()
        gap = now - self._looked - self._pause
        # A look at very many leases is made less often: a lease may then end so much later, but
        # never earlier, since what counts is the time between looks that found it unchanged.
        self._pause = min(max(PERIOD_SECONDS, (now - began) * PAUSES), LONGEST_PAUSE_SECONDS)
        self._looked = now
        self._since = {
            hold: now if gap > _longest_gap(hold) else self._since.get(hold, now) for hold in held
        }
        for hold, since in self._since.items():
            if now - since >= hold.duration / MICROS:
                self._write(
                    "lease lost", (hold.team_id, hold.task_id), partial(_expire_lease, hold=hold)
                )

    async def _tell_overdue(self) -> None:
        now = clock.now()
        for team_id, task_id in await self._store.read("", partial(_overdue, now=now)):
            tell = partial(_notify_overdue, task_id=task_id)
            self._write("overdue", (team_id, task_id), tell)

    async def _start_follow_ups(self) -> None:
        """Go on with what is still to be told, each follow-up in steps of its own."""
        for found in await self._store.read("", lambda s: follow_ups.first(s, FOLLOW_UPS_MAX)):
            key = found.team_id, found.event_number
            if key not in self._following:
                self._following[key] = asyncio.create_task(self._follow(*key))

    async def _follow(self, team_id: str, event_number: int) -> None:
        """Step by step to the end. Each step is a commit, and other writers come between."""
        try:
            step = partial(recording.continue_follow_up, event_number=event_number)
            more = True
            while more:
                more = await self._store.write(team_id, step)
        except DovetailError as error:
            log.warning("the keeper could not write", team_id=team_id, reason=error.reason.value)
        finally:
            del self._following[team_id, event_number]

    def _write(self, event: str, key: tuple[str, str], unit: Callable[[Transaction], bool]) -> None:
        """Have a unit run, unless one for this task is under way; groups of them are one commit."""
        if key not in self._writing and len(self._writing) < MOST_AT_ONCE:
            self._writing[key] = asyncio.create_task(self._written(event, key, unit))

    async def _written(
        self, event: str, key: tuple[str, str], unit: Callable[[Transaction], bool]
    ) -> None:
        team_id, task_id = key
        try:
            if await self._store.write(team_id, unit):
                log.info(event, team_id=team_id, task_id=task_id)
        except DovetailError as error:
            log.warning("the keeper could not write", team_id=team_id, reason=error.reason.value)
        finally:
            del self._writing[key]


def _longest_gap(hold: HeldLease) -> float:
    """After how many seconds without a look a lease is counted anew.

    A third of its length, in which its holder would send a heartbeat; a short lease would else end
    by a standstill alone.
    """
    third = hold.duration / MICROS / 3
    return min(max(PERIOD_SECONDS, third), LONGEST_GAP_SECONDS)


def _overdue(snapshot: GlobalSnapshot, now: int) -> list[tuple[str, str]]:
    return leases.overdue(snapshot, now, MOST_AT_ONCE)


def _expire_lease(transaction: Transaction, hold: HeldLease) -> bool:
    """End a lease that is still as it was seen; answers whether it was."""
    task = tasks.find(transaction, hold.task_id)
    if task is None or not _as_seen(task, hold):
        return False
    now = transaction.team.stamp
    outcome = Outcome(text=transitions.LEASE_LOST, retryable=True)
    after = transitions.fail_attempt(task, TaskVerb.EXPIRE_LEASE, outcome, now)
    recording.record_change(transaction, _act(hold.team_id, TaskVerb.EXPIRE_LEASE), task, after)
    return True


def _as_seen(task: Task, hold: HeldLease) -> bool:
    same = (task.lease_token, task.lease_count) == (hold.token, hold.count)
    return same and task.state is TaskState.IN_PROGRESS


def _notify_overdue(transaction: Transaction, task_id: str) -> bool:
    """Tell of a task that is overdue, unless somebody has or it has ended; answers whether."""
    task = tasks.find(transaction, task_id)
    now = transaction.team.wall_clock
    if task is None or task.has_ended or task.overdue_told or task.delete_time is not None:
        return False
    if task.due_time is None or task.due_time > now:
        return False
    act = _act(transaction.team_id, TaskVerb.BECOME_OVERDUE)
    recording.record_change(transaction, act, task, transitions.mark_overdue(task))
    return True


def _act(team_id: str, verb: TaskVerb) -> Action:
    return Action(caller=Caller(team_id=team_id, agent_id=""), verb=verb, options=ChangeOptions())
