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
from dovetail.server.preconditions import check_repeat
from dovetail.server.store.idempotency import IdempotencyKey
from dovetail.server.store.pages import fitting
from dovetail.server.store.tables import events, queues, tasks
from dovetail.server.store.tables.events import TaskEvent, TaskVerb
from dovetail.server.store.tables.queues import POOL
from dovetail.server.store.tables.tasks import Task, TaskFilter
from dovetail.server.store.transaction import Snapshot, Transaction
from dovetail.server.tasks import recording, transitions
from dovetail.server.tasks.loading import new_lease
from dovetail.server.tasks.recording import Act
from dovetail.server.tasks.requests import Options

MOST_GIVEN = 200
"""Tasks given out in one commit at most: other writers wait for it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What a caller wants to work on. Durations are in microseconds; `most` 0 is one."""

    max_wait: int
    most: int
    filter: TaskFilter | None
    lease_duration: int
    repeat: IdempotencyKey | None = None


@dataclass(eq=False, kw_only=True)
class Claim:
    """One who waits for work. `fresh`: nobody has looked yet whether there is some.

    `shared`: a repeat of the same request was answered the same tasks.
    """

    caller: Caller
    wish: Wish
    end: float
    answer: asyncio.Future[list[Task]]
    watch: ExitStack = field(default_factory=ExitStack)
    fresh: bool = True
    shared: bool = False

    @property
    def kind(self) -> str:
        """Claims of one kind want the same of the pool."""
        return repr(self.wish.filter)

    @property
    def request(self) -> tuple[str, str] | None:
        """The request by which a repeat is known, or None."""
        repeat = self.wish.repeat
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
class Found:
    """What came of a look: whether there is something, or what was given; when to look again."""

    given: Sequence[tuple[Claim, list[Task]]] = ()
    repeated: Sequence[tuple[Claim, list[Task] | DovetailError]] = ()
    """Those whose request was answered before, by a process that heard of it first."""

    passed: frozenset[Claim] = frozenset()
    """Those for whom nobody has looked yet: enough was given out for one commit."""

    anything: bool = False
    kinds: frozenset[str] = frozenset()
    """The kinds of claims for which a read found something: a unit looks for these alone."""

    next_time: int | None = None


def anything(snapshot: Snapshot, claims: Sequence[Claim], rung: set[str]) -> Found:
    """Whether there is something for any of these claims."""
    now, team_id = clock.now(), claims[0].caller.team_id
    kinds = frozenset(
        kind
        for kind, (filter, places) in _places_by_kind(claims, rung).items()
        if queues.any_ready(snapshot, team_id, sorted(places), filter, now)
    )
    return Found(
        anything=bool(kinds),
        kinds=kinds,
        next_time=queues.next_time(snapshot, team_id, now),
    )


def give(transaction: Transaction, claims: Sequence[Claim], rung: set[str]) -> Found:
    """Give what is ready, in order of arrival. What one kind of claim leaves empty stays so."""
    team_id = claims[0].caller.team_id
    now = transaction.team(team_id).clock
    given: list[tuple[Claim, list[Task]]] = []
    repeated: list[tuple[Claim, list[Task] | DovetailError]] = []
    empty = _empty(transaction, claims, rung, now)
    count, cut = 0, False
    passed: list[Claim] = []
    for claim in claims:
        if count >= MOST_GIVEN:
            passed.append(claim)
            continue
        if claim.answer.done() or not claim.lives:
            continue
        found: list[Task] = []
        for place in _places(claim, rung):
            wanted = (claim.wish.most or 1) - len(found)
            if wanted and (place, claim.kind) not in empty:
                ready = queues.ready(transaction, team_id, place, claim.wish.filter, (now, wanted))
                found += ready
                if len(ready) < wanted:
                    empty.add((place, claim.kind))
        fits = fitting(((task, tasks.size(task)) for task in found), PAGE_BYTES)
        if len(fits) < len(found):
            cut = True  # the rest is for those who come after, or ask again
            empty -= {(place, claim.kind) for place in _places(claim, rung)}
        if not fits:
            continue
        before = _given_before(transaction, claim)
        if before is not None:
            repeated.append((claim, before))
            cut = True  # what it would have got is for others
            empty -= {(place, claim.kind) for place in _places(claim, rung)}
            continue
        given.append((claim, _begin(transaction, claim, fits)))
        count += len(fits)
    return Found(
        given=given,
        repeated=repeated,
        passed=frozenset(passed),
        anything=cut or count >= MOST_GIVEN,
        next_time=queues.next_time(transaction, team_id, now),
    )


def _empty(
    snapshot: Snapshot, claims: Sequence[Claim], rung: set[str], now: int
) -> set[tuple[str, str]]:
    """By place and kind, where nothing is, the pool left out: mostly found out for all at once."""
    team_id = claims[0].caller.team_id
    return {
        (place, kind)
        for kind, (filter, places) in _places_by_kind(claims, rung).items()
        if not queues.any_ready(snapshot, team_id, sorted(places - {POOL}), filter, now)
        for place in places - {POOL}
    }


def _places_by_kind(
    claims: Sequence[Claim], rung: set[str]
) -> dict[str, tuple[TaskFilter | None, set[str]]]:
    """The queues in which to look for each kind of claim, and what it wants there."""
    found: dict[str, tuple[TaskFilter | None, set[str]]] = {}
    for claim in claims:
        _, places = found.setdefault(claim.kind, (claim.wish.filter, set()))
        places.update(_places(claim, rung))
    return found


def _places(claim: Claim, rung: set[str]) -> list[str]:
    """The queues in which to look for a claim: its own first."""
    mine = claim.caller.agent_id
    return [place for place in (mine, POOL) if claim.fresh or place in rung]


def given_before(snapshot: Snapshot, caller: Caller, wish: Wish) -> list[Task] | None:
    """What an earlier claim with this `request_id` got and still holds; None if it got nothing.

    Raises InvalidArgumentError for a request that differs.
    """
    if wish.repeat is None:
        return None
    keys = [each.key for each in _repeats(wish) if each]
    earlier = events.find_repeats(snapshot, caller.team_id, caller.agent_id, keys)
    if not earlier:
        return None
    for event in earlier:
        if event.repeat:
            check_repeat(wish.repeat, event.repeat.request_hash)
    found = [tasks.find(snapshot, caller.team_id, event.task_id) for event in earlier]
    held = zip(found, earlier, strict=True)
    return [task for task, event in held if task and _holds(task, event)]


def _given_before(snapshot: Snapshot, claim: Claim) -> list[Task] | DovetailError | None:
    try:
        return given_before(snapshot, claim.caller, claim.wish)
    except DovetailError as error:
        return error


def _holds(task: Task, event: TaskEvent) -> bool:
    """Whether the lease that this event began still lasts."""
    return bool(task.lease_token) and task.lease_event == event.number


def _repeats(wish: Wish) -> list[IdempotencyKey | None]:
    """How each task of a claim is known again: the number of the task is the scope of the id.

    A claim has an agent, and so no scope of its own.
    """
    most = wish.most or 1
    if wish.repeat is None:
        return [None] * most
    return [replace(wish.repeat, scope=str(index or "")) for index in range(most)]


def _begin(transaction: Transaction, claim: Claim, found: Sequence[Task]) -> list[Task]:
    caller, wish = claim.caller, claim.wish
    now = transaction.team(caller.team_id).now
    begun: list[Task] = []
    for task, repeat in zip(found, _repeats(wish), strict=False):
        act = Act(caller=caller, verb=TaskVerb.CLAIM, options=Options(repeat=repeat))
        after = transitions.started(
            task, TaskVerb.CLAIM, caller.agent_id, new_lease(wish.lease_duration), now
        )
        begun.append(recording.write(transaction, act, task, after).task)
    return begun
