"""The lease monitor: changes of tasks that no caller makes.

Leases that expire, questions whose deadline passes, tasks that become overdue, and follow-ups of
changes with very many dependents.

The expiry of a lease is decided here, and nowhere else. No clocks of two machines are compared: a
monitor measures, on its own monotonic clock, for how long it has itself seen a lease without a
heartbeat. When that is the lease's whole duration it expires the lease, on condition that token and
count of heartbeats are still what it saw (`_expire_lease`, in the transaction that writes). A
heartbeat that was committed before is therefore never overruled, and one that comes later finds
its token gone (`transitions.clear_lease`).

Every task server has a monitor. The first to write wins; the others find the lease changed and
write nothing. A monitor that could not look for a while, because the store was away or its process
was stopped, measures all leases anew: their holders could not have reached it either.

All state belongs to the event loop; units run on the store's thread and see only their arguments.
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
from dovetail.server.store.tables import follow_ups, leases, questions, tasks
from dovetail.server.store.tables.events import TaskVerb
from dovetail.server.store.tables.leases import HeldLease
from dovetail.server.store.tables.tasks import Task, TaskState
from dovetail.server.store.transaction import MICROS, GlobalSnapshot, Transaction
from dovetail.server.tasks import loading, recording, transitions
from dovetail.server.tasks.defaults import give_default
from dovetail.server.tasks.recording import Action
from dovetail.server.tasks.requests import ChangeOptions, Outcome

PERIOD_SECONDS = 0.5
"""Between two looks. The shortest lease that a server grants by default lasts much longer."""

PAUSE_SECONDS_MAX = 3.0
"""Between two looks where each takes long: a lease may expire so much too late."""

PAUSE_RATIO = 25
"""The pause is at least so many times as long as the look: looks take 4 % of a core at most."""

GAP_SECONDS_MAX = 3.0
"""Looks further apart than this tell nothing about any lease in between."""

UNITS_MAX = 500
"""Units of a monitor that wait or run at once; what is beyond waits for a later look."""

FOLLOW_UPS_MAX = 4
"""Follow-ups that a monitor works on at once."""

log: structlog.typing.FilteringBoundLogger = structlog.get_logger("dovetail.leases")


class LeaseMonitor:
    """Expires leases of holders that are gone, gives default answers, and notes what is overdue."""

    def __init__(self, store: Store) -> None:
        """Watch the tasks of `store`."""
        self._store = store
        # Since when each lease has been seen unchanged. A heartbeat changes the key (its count).
        self._since: dict[HeldLease, float] = {}
        self._looked = 0.0
        self._pause = PERIOD_SECONDS
        self._task: asyncio.Task[None] | None = None
        # Units that wait or run, by team and task: a team whose writes must wait (its partition is
        # blocked, say) delays neither the looks nor other teams.
        self._writing: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._following: dict[tuple[str, int], asyncio.Task[None]] = {}

    def start(self) -> None:
        """Watch until `close`."""
        self._task = asyncio.create_task(self._run())

    def close(self) -> None:
        """Stop watching. A unit that runs still ends; nobody waits for it."""
        for task in (self._task, *self._writing.values(), *self._following.values()):
            if task:
                task.cancel()

    async def _run(self) -> None:
        while True:
            try:
                await self._expire_leases()
                await self._give_defaults()
                await self._mark_overdue()
                await self._start_follow_ups()
            except DovetailError:
                pass  # the store is away: health checks say so
            except Exception:
                log.exception("leases cannot be checked")
            await asyncio.sleep(self._pause)

    async def _expire_leases(self) -> None:
        """Expire the leases that were seen without a heartbeat for their whole duration.

        This is one of the short reads, which no report delays: where it takes long, heartbeats
        could not be written either, and the gap makes the leases be measured anew.
        """
        began = time.monotonic()
        held = await self._store.read("", leases.held)
        now = time.monotonic()
        gap = now - self._looked - self._pause
        # Very many leases are looked at less often. A lease may then expire later, but never too
        # early: what counts is the time between two looks that found it unchanged.
        self._pause = min(max(PERIOD_SECONDS, (now - began) * PAUSE_RATIO), PAUSE_SECONDS_MAX)
        self._looked = now
        self._since = {
            hold: now if gap > _longest_gap(hold) else self._since.get(hold, now) for hold in held
        }
        for hold, since in self._since.items():
            if now - since >= hold.duration / MICROS:
                self._write(
                    "lease lost", (hold.team_id, hold.task_id), partial(_expire_lease, hold=hold)
                )

    async def _give_defaults(self) -> None:
        due = partial(questions.due, now=clock.now(), most=UNITS_MAX)
        for team_id, task_id in await self._store.read("", due):
            unit = partial(give_default, task_id=task_id)
            self._write("default answer", (team_id, task_id), unit)

    async def _mark_overdue(self) -> None:
        now = clock.now()
        for team_id, task_id in await self._store.read("", partial(_overdue, now=now)):
            unit = partial(_record_overdue, task_id=task_id)
            self._write("overdue", (team_id, task_id), unit)

    async def _start_follow_ups(self) -> None:
        """Continue the follow-ups that are open, each in steps of its own."""
        for found in await self._store.read("", lambda s: follow_ups.first(s, FOLLOW_UPS_MAX)):
            key = found.team_id, found.event_number
            if key not in self._following:
                self._following[key] = asyncio.create_task(self._follow(*key))

    async def _follow(self, team_id: str, event_number: int) -> None:
        """Run a follow-up to its end. Each step is a commit, so other writers come between."""
        try:
            step = partial(recording.continue_follow_up, event_number=event_number)
            more = True
            while more:
                more = await self._store.write(team_id, step)
        except DovetailError as error:
            log.warning(
                "a follow-up could not be written", team_id=team_id, reason=error.reason.value
            )
        finally:
            del self._following[team_id, event_number]

    def _write(self, event: str, key: tuple[str, str], unit: Callable[[Transaction], bool]) -> None:
        """Start a unit, unless one for this task is under way; the store makes groups of them."""
        if key not in self._writing and len(self._writing) < UNITS_MAX:
            self._writing[key] = asyncio.create_task(self._run_unit(event, key, unit))

    async def _run_unit(
        self, event: str, key: tuple[str, str], unit: Callable[[Transaction], bool]
    ) -> None:
        team_id, task_id = key
        try:
            needs = loading.needs(_action(team_id, TaskVerb.EXPIRE_LEASE), task_id)
            if await self._store.write(team_id, unit, needs):
                log.info(event, team_id=team_id, task_id=task_id)
        except DovetailError as error:
            log.warning(
                "a lease, a default answer or an overdue task could not be written",
                team_id=team_id,
                reason=error.reason.value,
            )
        finally:
            del self._writing[key]


def _longest_gap(hold: HeldLease) -> float:
    """The longest gap between two looks, in seconds, over which a lease still counts as seen.

    A third of its duration, in which its holder would send a heartbeat: with more, a standstill of
    the server alone could expire a short lease.
    """
    third = hold.duration / MICROS / 3
    return min(max(PERIOD_SECONDS, third), GAP_SECONDS_MAX)


def _overdue(snapshot: GlobalSnapshot, now: int) -> list[tuple[str, str]]:
    return leases.overdue(snapshot, now, UNITS_MAX)


def _expire_lease(transaction: Transaction, hold: HeldLease) -> bool:
    """Expire a lease that is still as it was seen. Returns whether it was."""
    task = tasks.find(transaction, hold.task_id)
    if task is None or not _is_as_seen(task, hold):
        return False
    now = transaction.team.stamp
    outcome = Outcome(text=transitions.LEASE_LOST_TEXT, retryable=True)
    after = transitions.fail_attempt(task, TaskVerb.EXPIRE_LEASE, outcome, now)
    recording.record_change(transaction, _action(hold.team_id, TaskVerb.EXPIRE_LEASE), task, after)
    return True


def _is_as_seen(task: Task, hold: HeldLease) -> bool:
    same = (task.lease_token, task.lease_count) == (hold.token, hold.count)
    return same and task.state is TaskState.IN_PROGRESS


def _record_overdue(transaction: Transaction, task_id: str) -> bool:
    """Record that a task is overdue, once. Returns whether this call did."""
    task = tasks.find(transaction, task_id)
    now = transaction.team.wall_clock
    if task is None or task.has_ended or task.overdue_told or task.delete_time is not None:
        return False
    if task.due_time is None or task.due_time > now:
        return False
    action = _action(transaction.team_id, TaskVerb.BECOME_OVERDUE)
    recording.record_change(transaction, action, task, transitions.mark_overdue(task))
    return True


def _action(team_id: str, verb: TaskVerb) -> Action:
    return Action(caller=Caller(team_id=team_id, agent_id=""), verb=verb, options=ChangeOptions())
