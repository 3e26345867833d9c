"""What a matcher reads and writes: which tasks are ready, and which claim is granted which.

Functions of a snapshot or a transaction. They run on the store's threads, while the event loop may
answer the same claims. They change nothing of a claim, and read what never changes, `state` (which
the loop changes only between looks), `answer.done()` and `check_live()` (which at worst are out of
date). A unit may run twice (see `store.py`).
"""

from __future__ import annotations

import asyncio
import enum
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from dovetail.server import clock
from dovetail.server.access.caller import Caller
from dovetail.server.edge.paging import PAGE_BYTES
from dovetail.server.errors import DovetailError
from dovetail.server.preconditions import check_same_request
from dovetail.server.store.idempotency import IdempotencyKey
from dovetail.server.store.pages import take_bytes
from dovetail.server.store.tables import agents, events, queues, tasks
from dovetail.server.store.tables.events import TaskEvent, TaskVerb
from dovetail.server.store.tables.queues import POOL
from dovetail.server.store.tables.tasks import Task, TaskFilter
from dovetail.server.store.transaction import Need, Snapshot, Transaction
from dovetail.server.tasks import recording, transitions
from dovetail.server.tasks.loading import new_lease
from dovetail.server.tasks.recording import Action
from dovetail.server.tasks.requests import ChangeOptions

GRANTS_MAX = 200
"""Tasks granted in one commit at most: other writers wait for it."""

READ_MAX = 50
"""Tasks that one query reads for claims of one kind: a task may be large."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimRequest:
    """What a caller wants to work on. Durations are in microseconds; `most` 0 is one."""

    max_wait: int
    most: int
    filter: TaskFilter | None
    lease_duration: int
    repeat: IdempotencyKey | None = None


class ClaimState(enum.Enum):
    """How far a claim is. What follows from it stands in `matcher.py`."""

    NEW = enum.auto()
    """All queues it may take from need a look."""

    WAITING = enum.auto()
    """A look found them empty for it; those that rang since need a look."""


@dataclass(eq=False, kw_only=True)
class WaitingClaim:
    """A claim from its arrival to its answer. The matcher on the event loop owns it."""

    caller: Caller
    request: ClaimRequest

    end: float
    """When `max_wait` is over, by the clock of the event loop."""

    answer: asyncio.Future[list[Task]]
    watch: ExitStack = field(default_factory=ExitStack)
    """Holds the bell of the agent's own queue; closed when the claim leaves."""

    state: ClaimState = ClaimState.NEW
    shared: bool = False
    """A repeat of the same request was answered the same tasks."""

    @property
    def kind(self) -> str:
        """Claims of one kind (the same filter) take the same tasks from the pool."""
        return repr(self.request.filter)

    @property
    def request_key(self) -> tuple[str, str] | None:
        """What a repeat has in common with it: agent and `request_id`; None without the latter."""
        repeat = self.request.repeat
        return (self.caller.agent_id, repeat.key) if repeat else None

    @property
    def is_answered(self) -> bool:
        """Whether it has its answer, or its caller left."""
        return self.answer.done()

    @property
    def is_live(self) -> bool:
        """Whether its caller's credential has not ended while it waited."""
        try:
            self.caller.check_live()
        except DovetailError:
            return False
        return True

    def resolve(self, tasks: list[Task]) -> bool:
        """Answer with tasks. Returns False if the caller left, or has its answer."""
        if self.answer.done():
            return False
        self.answer.set_result(tasks)
        return True

    def refuse(self, error: DovetailError) -> None:
        """Answer with an error, unless the caller left or has its answer."""
        if not self.answer.done():
            self.answer.set_exception(error)


@dataclass(frozen=True, kw_only=True)
class MatchResult:
    """The result of a look: of a read, whether a unit is worth it; of a unit, what it granted."""

    granted: Sequence[tuple[WaitingClaim, list[Task]]] = ()
    repeated: Sequence[tuple[WaitingClaim, list[Task] | DovetailError]] = ()
    """Claims whose request was granted before, by another process: its tasks, or an error."""

    deferred: frozenset[WaitingClaim] = frozenset()
    """Claims that the unit did not look for: a commit was full, or they were not live."""

    look_again: bool = False
    """There was something for these claims that was not granted."""

    kinds: frozenset[str] = frozenset()
    """Of a read: the kinds of claims for which it found something; a unit looks for these alone."""

    next_scheduled: int | None = None
    """When the team's next scheduled task becomes ready: microseconds since 1970, or None."""


def find_ready(snapshot: Snapshot, claims: Sequence[WaitingClaim], rung: set[str]) -> MatchResult:
    """Find the kinds of claims for which there is a ready task."""
    now = clock.now()
    kinds = frozenset(
        kind
        for kind, (filter, queue_names) in _queues_by_kind(claims, rung).items()
        if queues.any_ready(snapshot, sorted(queue_names), filter, now)
    )
    return MatchResult(
        look_again=bool(kinds),
        kinds=kinds,
        next_scheduled=queues.next_time(snapshot, now),
    )


def needs(claims: Sequence[WaitingClaim]) -> list[Need]:
    """What `assign_ready` needs of the first claims, beside the tasks.

    Few are granted something at once, though very many may wait.
    """
    first = claims[:READ_MAX]
    callers = agents.need({claim.caller.agent_id for claim in first})
    repeats = [
        need
        for claim in first
        for need in events.need(claim.caller.agent_id, _repeats(claim.request)[0])
    ]
    return callers + repeats


def assign_ready(
    transaction: Transaction, claims: Sequence[WaitingClaim], rung: set[str]
) -> MatchResult:
    """Grant ready tasks to claims in order of arrival.

    A queue is read once for all claims of a kind, as far as they want tasks of it: the cost follows
    from what is granted, not from how many wait.
    """
    now = transaction.team.wall_clock
    granted: list[tuple[WaitingClaim, list[Task]]] = []
    repeated: list[tuple[WaitingClaim, list[Task] | DovetailError]] = []
    deferred: list[WaitingClaim] = []
    ready = _ReadyTasks(transaction, claims, rung, now)
    count, is_more = 0, False
    for claim in claims:
        if count >= GRANTS_MAX:
            deferred.append(claim)
            continue
        if claim.is_answered:
            continue
        if not claim.is_live:
            deferred.append(claim)  # the matcher refuses it, or, if it is live again, looks again
            continue
        found = ready.first(claim)
        fits = take_bytes(((task, tasks.size(task)) for task in found), PAGE_BYTES)
        if not fits:
            continue
        before = _refusal(transaction, claim) or _find_granted(transaction, claim)
        if before is not None:
            repeated.append((claim, before))
            fits = []
        else:
            granted.append((claim, _start(transaction, claim, fits)))
            ready.take(fits)
            count += len(fits)
        # What this claim left is for those who come after it.
        is_more = is_more or len(fits) < len(found)
    return MatchResult(
        granted=granted,
        repeated=repeated,
        deferred=frozenset(deferred),
        look_again=is_more or count >= GRANTS_MAX,
        next_scheduled=queues.next_time(transaction, now),
    )


class _ReadyTasks:
    """The ready tasks of the queues, read in lists for all claims of one kind.

    Nothing becomes ready within a unit, so what is not granted stays as it was read. A task may be
    in the lists of several kinds: once it was taken it counts in none.
    """

    def __init__(
        self, snapshot: Snapshot, claims: Sequence[WaitingClaim], rung: set[str], now: int
    ) -> None:
        self._snapshot = snapshot
        self._rung = rung
        self._now = now
        self._taken: set[str] = set()
        # By queue and kind: what was read, and whether that is all there is.
        self._lists = dict.fromkeys(_empty(snapshot, claims, rung, now), _ReadyList([], True))
        self._wanted: Counter[tuple[str, str]] = Counter()
        for claim in claims:
            for queue_name in _queues(claim, rung):
                self._wanted[queue_name, claim.kind] += claim.request.most or 1

    def first(self, claim: WaitingClaim) -> list[Task]:
        """The first tasks for a claim, its agent's own first, as many as it wants."""
        found: list[Task] = []
        most = claim.request.most or 1
        for queue_name in _queues(claim, self._rung):
            if len(found) < most:
                found += self._first(queue_name, claim, most - len(found))
        return found

    def take(self, granted: Sequence[Task]) -> None:
        """These are granted."""
        self._taken.update(task.task_id for task in granted)

    def _first(self, queue_name: str, claim: WaitingClaim, most: int) -> list[Task]:
        queue = queue_name, claim.kind
        known = self._lists.get(queue, _ReadyList([], False))
        left = self._left(known)
        if len(left) < most and not known.is_all:
            # Those that were granted are not ready any more, so they are not read again.
            limit = max(most, min(self._wanted[queue], READ_MAX))
            ready = queues.ready(
                self._snapshot, queue_name, claim.request.filter, (self._now, limit)
            )
            known = _ReadyList(ready, len(ready) < limit)
            left = self._left(known)
        self._lists[queue] = known._replace(tasks=left)
        return left[:most]

    def _left(self, known: _ReadyList) -> list[Task]:
        return [task for task in known.tasks if task.task_id not in self._taken]


class _ReadyList(NamedTuple):
    tasks: list[Task]
    is_all: bool


def _empty(
    snapshot: Snapshot, claims: Sequence[WaitingClaim], rung: set[str], now: int
) -> set[tuple[str, str]]:
    """The agents' own queues that have nothing for a kind, by name and kind.

    One query for all agents of a kind. Not the pool: who claims first reads it anyway.
    """
    return {
        (queue_name, kind)
        for kind, (filter, queue_names) in _queues_by_kind(claims, rung).items()
        if not queues.any_ready(snapshot, sorted(queue_names - {POOL}), filter, now)
        for queue_name in queue_names - {POOL}
    }


def _queues_by_kind(
    claims: Sequence[WaitingClaim], rung: set[str]
) -> dict[str, tuple[TaskFilter | None, set[str]]]:
    """For each kind of claim: its filter, and the queues in which to look for it."""
    found: dict[str, tuple[TaskFilter | None, set[str]]] = {}
    for claim in claims:
        _, queue_names = found.setdefault(claim.kind, (claim.request.filter, set()))
        queue_names.update(_queues(claim, rung))
    return found


def _queues(claim: WaitingClaim, rung: set[str]) -> list[str]:
    """The queues in which to look for a claim, its agent's own first."""
    own = claim.caller.agent_id
    is_new = claim.state is ClaimState.NEW
    return [queue_name for queue_name in (own, POOL) if is_new or queue_name in rung]


def find_granted(snapshot: Snapshot, caller: Caller, request: ClaimRequest) -> list[Task] | None:
    """Return the tasks of an earlier claim with this `request_id` that its caller still holds.

    None if there was no such claim, or it was granted nothing. Raises InvalidArgumentError if that
    claim asked for something else.
    """
    if request.repeat is None:
        return None
    # The first task that was granted has the first key: without it there are no others.
    first, *others = (each for each in _repeats(request) if each)
    begin = events.find_repeat(snapshot, caller.agent_id, first)
    if begin is None:
        return None
    keys = [each.key for each in others]
    earlier = [begin, *events.find_repeats(snapshot, caller.agent_id, keys)]
    for event in earlier:
        if event.repeat:
            check_same_request(request.repeat, event.repeat.request_hash)
    found = [tasks.find(snapshot, event.task_id) for event in earlier]
    held = zip(found, earlier, strict=True)
    return [task for task, event in held if task and _holds(task, event)]


def _refusal(snapshot: Snapshot, claim: WaitingClaim) -> DovetailError | None:
    """Why nothing is granted: a worker of an agent that was removed must not bring it back."""
    agent_id = claim.caller.agent_id
    if not agents.is_removed(snapshot, agent_id):
        return None
    return agents.unknown_error(snapshot, [agent_id])


def _find_granted(snapshot: Snapshot, claim: WaitingClaim) -> list[Task] | DovetailError | None:
    try:
        return find_granted(snapshot, claim.caller, claim.request)
    except DovetailError as error:
        return error


def _holds(task: Task, event: TaskEvent) -> bool:
    """Whether the lease that this event granted still lasts."""
    return bool(task.lease_token) and task.lease_event == event.number


def _repeats(request: ClaimRequest) -> list[IdempotencyKey | None]:
    """The idempotency key of each task of a claim: its index in the claim is the key's scope."""
    most = request.most or 1
    if request.repeat is None:
        return [None] * most
    return [replace(request.repeat, scope=str(index or "")) for index in range(most)]


def _start(transaction: Transaction, claim: WaitingClaim, found: Sequence[Task]) -> list[Task]:
    caller, request = claim.caller, claim.request
    now = transaction.team.stamp
    started: list[Task] = []
    for task, repeat in zip(found, _repeats(request), strict=False):
        act = Action(caller=caller, verb=TaskVerb.CLAIM, options=ChangeOptions(repeat=repeat))
        after = transitions.start(
            task, TaskVerb.CLAIM, caller.agent_id, new_lease(request.lease_duration), now
        )
        started.append(recording.record_change(transaction, act, task, after).task)
    return started
