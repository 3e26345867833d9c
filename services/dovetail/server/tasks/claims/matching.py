"""What a matcher reads and writes: which tasks are ready, and which claim is granted which.

Functions of a snapshot or a transaction. They run on the store's threads, while the event loop may
answer the same claims. They change nothing of a claim, and read what never changes, `state` (which
the loop changes only between looks), `answer.done()` and `check_live()` (which at worst are out of
date). A unit may run twice (see `store.py`).
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from dovetail.server import clock
from dovetail.server.access.caller import Caller
from dovetail.server.edge.paging import PAGE_BYTES
from dovetail.server.errors import DovetailError
from dovetail.server.preconditions import check_same_request
from dovetail.server.store.idempotency import IdempotencyKey
from dovetail.server.store.pages import take_bytes
from dovetail.server.store.tables import events, queues, tasks
from dovetail.server.store.tables.events import TaskEvent, TaskVerb
from dovetail.server.store.tables.queues import POOL
from dovetail.server.store.tables.tasks import Task, TaskFilter
from dovetail.server.store.transaction import Snapshot, Transaction
from dovetail.server.tasks import recording, transitions
from dovetail.server.tasks.loading import new_lease
from dovetail.server.tasks.recording import Action
from dovetail.server.tasks.requests import ChangeOptions

GRANTS_MAX = 200
"""Tasks granted in one commit at most: other writers wait for it."""


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


def assign_ready(
    transaction: Transaction, claims: Sequence[WaitingClaim], rung: set[str]
) -> MatchResult:
    """Grant ready tasks to claims in order of arrival.

    A queue that is empty for one kind of claim is empty for all later ones of that kind (nothing is
    added within a unit), so it is read once: the cost follows from what is granted, not from how
    many wait.
    """
    now = transaction.team.wall_clock
    granted: list[tuple[WaitingClaim, list[Task]]] = []
    repeated: list[tuple[WaitingClaim, list[Task] | DovetailError]] = []
    deferred: list[WaitingClaim] = []
    empty = _empty(transaction, claims, rung, now)
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
        found = _take_ready(transaction, claim, rung, empty, now)
        fits = take_bytes(((task, tasks.size(task)) for task in found), PAGE_BYTES)
        if not fits:
            continue
        before = _find_granted(transaction, claim)
        if before is not None:
            repeated.append((claim, before))
            fits = []
        else:
            granted.append((claim, _start(transaction, claim, fits)))
            count += len(fits)
        if len(fits) < len(found):
            # What this claim left is for those who come after it.
            is_more = True
            empty -= {(queue_name, claim.kind) for queue_name in _queues(claim, rung)}
    return MatchResult(
        granted=granted,
        repeated=repeated,
        deferred=frozenset(deferred),
        look_again=is_more or count >= GRANTS_MAX,
        next_scheduled=queues.next_time(transaction, now),
    )


def _take_ready(
    snapshot: Snapshot,
    claim: WaitingClaim,
    rung: set[str],
    empty: set[tuple[str, str]],
    now: int,
) -> list[Task]:
    """Return the first ready tasks for a claim, and add to `empty` the queues that it used up."""
    found: list[Task] = []
    for queue_name in _queues(claim, rung):
        wanted = (claim.request.most or 1) - len(found)
        if wanted and (queue_name, claim.kind) not in empty:
            ready = queues.ready(snapshot, queue_name, claim.request.filter, (now, wanted))
            found += ready
            if len(ready) < wanted:
                empty.add((queue_name, claim.kind))
    return found


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
    keys = [each.key for each in _repeats(request) if each]
    earlier = events.find_repeats(snapshot, caller.agent_id, keys)
    if not earlier:
        return None
    for event in earlier:
        if event.repeat:
            check_same_request(request.repeat, event.repeat.request_hash)
    found = [tasks.find(snapshot, event.task_id) for event in earlier]
    held = zip(found, earlier, strict=True)
    return [task for task, event in held if task and _holds(task, event)]


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
