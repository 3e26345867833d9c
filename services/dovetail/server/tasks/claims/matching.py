"""Giving: what is ready, to claims in order of arrival. What a matcher reads and writes."""

from __future__ import annotations

import asyncio
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

MOST_GIVEN = 200
"""Tasks granted out in one commit at most: other writers wait for it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimRequest:
    """What a caller wants to work on. Durations are in microseconds; `most` 0 is one."""

    max_wait: int
    most: int
    filter: TaskFilter | None
    lease_duration: int
    repeat: IdempotencyKey | None = None


@dataclass(eq=False, kw_only=True)
class WaitingClaim:
    """One who waits for work. `fresh`: nobody has looked yet whether there is some.

    `shared`: a repeat of the same request was answered the same tasks.
    """

    caller: Caller
    request: ClaimRequest
    end: float
    answer: asyncio.Future[list[Task]]
    watch: ExitStack = field(default_factory=ExitStack)
    is_new: bool = True
    shared: bool = False

    @property
    def kind(self) -> str:
        """Claims of one kind want the same of the pool."""
        return repr(self.request.filter)

    @property
    def request_key(self) -> tuple[str, str] | None:
        """The request by which a repeat is known, or None."""
        repeat = self.request.repeat
        return (self.caller.agent_id, repeat.key) if repeat else None

    @property
    def lives(self) -> bool:
        """Whether its caller's credential has not ended while it waited for its turn."""
        try:
            self.caller.check_live()
        except DovetailError:
            return False
        return True

    def resolve(self, tasks: list[Task]) -> bool:
        """Answer; False where nobody waits for the answer any more."""
        if self.answer.done():
            return False
        self.answer.set_result(tasks)
        return True

    def refuse(self, error: DovetailError) -> None:
        """Answer an error, where somebody waits."""
        if not self.answer.done():
            self.answer.set_exception(error)


@dataclass(frozen=True, kw_only=True)
class MatchResult:
    """What came of a look: whether there is something, or what was granted; when to look again."""

    granted: Sequence[tuple[WaitingClaim, list[Task]]] = ()
    repeated: Sequence[tuple[WaitingClaim, list[Task] | DovetailError]] = ()
    """Those whose request was answered before, by a process that heard of it first."""

    deferred: frozenset[WaitingClaim] = frozenset()
    """Those for whom nobody has looked yet: enough was granted out for one commit."""

    look_again: bool = False
    kinds: frozenset[str] = frozenset()
    """The kinds of claims for which a read found something: a unit looks for these alone."""

    next_scheduled: int | None = None


def find_ready(snapshot: Snapshot, claims: Sequence[WaitingClaim], woken: set[str]) -> MatchResult:
    """Whether there is something for any of these claims."""
    now, _team_id = clock.now(), claims[0].caller.team_id
    kinds = frozenset(
        kind
        for kind, (filter, queue_names) in _queues_by_kind(claims, woken).items()
        if queues.any_ready(snapshot, sorted(queue_names), filter, now)
    )
    return MatchResult(
        look_again=bool(kinds),
        kinds=kinds,
        next_scheduled=queues.next_time(snapshot, now),
    )


def assign_ready(
    transaction: Transaction, claims: Sequence[WaitingClaim], woken: set[str]
) -> MatchResult:
    """Give what is ready, in order of arrival. What one kind of claim leaves empty stays so."""
    now = transaction.team.wall_clock
    granted: list[tuple[WaitingClaim, list[Task]]] = []
    repeated: list[tuple[WaitingClaim, list[Task] | DovetailError]] = []
    empty = _empty(transaction, claims, woken, now)
    count, page_full = 0, False
    deferred: list[WaitingClaim] = []
    for claim in claims:
        if count >= MOST_GIVEN:
            deferred.append(claim)
            continue
        if claim.answer.done() or not claim.lives:
            continue
        found: list[Task] = []
        for queue_name in _queues(claim, woken):
            wanted = (claim.request.most or 1) - len(found)
            if wanted and (queue_name, claim.kind) not in empty:
                ready = queues.ready(transaction, queue_name, claim.request.filter, (now, wanted))
                found += ready
                if len(ready) < wanted:
                    empty.add((queue_name, claim.kind))
        fits = take_bytes(((task, tasks.size(task)) for task in found), PAGE_BYTES)
        if len(fits) < len(found):
            page_full = True  # the rest is for those who come after, or ask again
            empty -= {(queue_name, claim.kind) for queue_name in _queues(claim, woken)}
        if not fits:
            continue
        before = _find_granted(transaction, claim)
        if before is not None:
            repeated.append((claim, before))
            page_full = True  # what it would have got is for others
            empty -= {(queue_name, claim.kind) for queue_name in _queues(claim, woken)}
            continue
        granted.append((claim, _begin(transaction, claim, fits)))
        count += len(fits)
    return MatchResult(
        granted=granted,
        repeated=repeated,
        deferred=frozenset(deferred),
        look_again=page_full or count >= MOST_GIVEN,
        next_scheduled=queues.next_time(transaction, now),
    )


def _empty(
    snapshot: Snapshot, claims: Sequence[WaitingClaim], woken: set[str], now: int
) -> set[tuple[str, str]]:
    """The queues that have nothing for a kind, by name and kind; the pool is left out."""
    return {
        (queue_name, kind)
        for kind, (filter, queue_names) in _queues_by_kind(claims, woken).items()
        if not queues.any_ready(snapshot, sorted(queue_names - {POOL}), filter, now)
        for queue_name in queue_names - {POOL}
    }


def _queues_by_kind(
    claims: Sequence[WaitingClaim], woken: set[str]
) -> dict[str, tuple[TaskFilter | None, set[str]]]:
    """The queues in which to look for each kind of claim, and what it wants there."""
    found: dict[str, tuple[TaskFilter | None, set[str]]] = {}
    for claim in claims:
        _, queue_names = found.setdefault(claim.kind, (claim.request.filter, set()))
        queue_names.update(_queues(claim, woken))
    return found


def _queues(claim: WaitingClaim, woken: set[str]) -> list[str]:
    """The queues in which to look for a claim: its own first."""
    mine = claim.caller.agent_id
    return [queue_name for queue_name in (mine, POOL) if claim.is_new or queue_name in woken]


def find_granted(snapshot: Snapshot, caller: Caller, request: ClaimRequest) -> list[Task] | None:
    """What an earlier claim with this `request_id` got and still holds; None if it got nothing.

    Raises InvalidArgumentError for a request that differs.
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
    """Whether the lease that this event began still lasts."""
    return bool(task.lease_token) and task.lease_event == event.number


def _repeats(request: ClaimRequest) -> list[IdempotencyKey | None]:
    """How each task of a claim is known again: the number of the task is the scope of the id.

    A claim has an agent, and so no scope of its own.
    """
    most = request.most or 1
    if request.repeat is None:
        return [None] * most
    return [replace(request.repeat, scope=str(index or "")) for index in range(most)]


def _begin(transaction: Transaction, claim: WaitingClaim, found: Sequence[Task]) -> list[Task]:
    caller, request = claim.caller, claim.request
    now = transaction.team.stamp
    begun: list[Task] = []
    for task, repeat in zip(found, _repeats(request), strict=False):
        act = Action(caller=caller, verb=TaskVerb.CLAIM, options=ChangeOptions(repeat=repeat))
        after = transitions.start(
            task, TaskVerb.CLAIM, caller.agent_id, new_lease(request.lease_duration), now
        )
        begun.append(recording.record_change(transaction, act, task, after).task)
    return begun
