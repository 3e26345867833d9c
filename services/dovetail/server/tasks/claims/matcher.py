"""The matcher of a team: matches the claims that wait in this process with ready tasks.

A claim goes through three states (`ClaimState`; ANSWERED is the future's own `done()`):

    NEW ──a look──▶ WAITING ──granted, refused, or `max_wait` over──▶ ANSWERED
     ▲                 │                                                 ▲
     └─ put off: a bound was reached first      (NEW, too, may be granted or refused)

NEW: a look must include all queues it may take from (its agent's own, and the pool). WAITING: a
look found all of them empty for it, so only those that rang since need one. That is what keeps the
cost of a look proportional to what changed, not to how many wait.

Why no ready task is overlooked. Premise: whatever makes a task ready rings its queue, after the
commit (`recording.py`; dependents beyond a unit's bound are rung by the follow-up that records
them), but for the passing of time. Invariant, whenever `_match_once` does not run: for each WAITING
claim and each queue Q it may take from, Q held nothing for it in a snapshot that was taken after
Q's last ring, or Q is in `_rung`, or a task of Q has become due since `_next_scheduled`.

1.  A claim becomes WAITING only in `_match_once`, after a read or a unit that looked at all its
    queues (NEW) or at those that rang (WAITING: for the others the invariant held before).
2.  `_match_once` takes `_rung` and clears it before the read begins. A change is committed before
    it rings (`wakeups.py`), so it is in that snapshot, or its ring comes later and is in the new
    `_rung`.
3.  A look that ends early says so. A unit that stops at a bound returns `look_again`, after which
    all queues of its claims count as rung, and names the claims it did not reach (`deferred`: NEW
    again). Claims of kinds beyond KINDS_MAX become NEW again before the look begins. Both set
    `_awake`.
4.  A task that is scheduled rings nothing when its time comes. `_next_scheduled` is never later
    than the first scheduled time that no look at *all* queues has passed: looks only move it to
    an earlier time, and `_ring_scheduled` alone moves it on, after it rang every queue in which a
    task became due since. A look for other queues at that very moment must not move it on: it
    finds the task due, but does not look for it.
5.  Everything that adds to `_rung` or makes a claim NEW sets `_awake`, which is cleared before
    `_rung` is taken: `_sleep` returns at once if anything came meanwhile.

A ring that is lost on its way from another process costs latency only: the store looks for changed
queues by itself (`changed_names.py`).

Only the event loop changes this state. Threads of the store read claims and `rung` during a look.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextvars import Context
from functools import partial

import structlog

from dovetail.server import clock
from dovetail.server.access.caller import Caller
from dovetail.server.errors import DovetailError, InternalError, Reason
from dovetail.server.store.engines.wakeups import Bell
from dovetail.server.store.rings import Delivery
from dovetail.server.store.store import Store
from dovetail.server.store.tables import queues
from dovetail.server.store.tables.queues import POOL
from dovetail.server.store.tables.tasks import Task
from dovetail.server.store.transaction import MICROS, Snapshot
from dovetail.server.tasks.claims.matching import (
    ClaimRequest,
    ClaimState,
    MatchResult,
    WaitingClaim,
    assign_ready,
    find_ready,
    needs,
)
from dovetail.server.tasks.requests import ChangeOptions

log: structlog.typing.FilteringBoundLogger = structlog.get_logger("dovetail.claims")

SLEEP_SECONDS_MAX = 60.0
"""A matcher looks at its clock at least this often: timers do not follow a clock that was set."""

KINDS_MAX = 50
"""Different filters in one look. Each costs a query, so their number bounds how long it takes."""

Release = Callable[[Caller, str, ChangeOptions], Awaitable[object]]
"""Releases a task that a caller holds."""


class _QueueBell(Bell):
    """Tells a matcher which queue rang."""

    def __init__(self, matcher: Matcher, assignee_id: str) -> None:
        super().__init__()
        self._matcher = matcher
        self._assignee_id = assignee_id

    def ring(self, handed: Sequence[Delivery] | None = None) -> None:
        del handed  # Only inboxes have deliveries.
        self._matcher.ring([self._assignee_id])


class Matcher:
    """The claims of one team that wait in this process. Ends when none is left."""

    def __init__(self, store: Store, team_id: str, release: Release) -> None:
        """Start at once; the owner adds the first claim before the loop's next turn."""
        self._release_task = release
        self._store = store
        self._team_id = team_id
        # In order of arrival; a dict, since claims leave from the middle.
        self._waiting: dict[WaitingClaim, None] = {}
        # The same claims by agent and `request_id`, where they have one: repeats share an answer.
        self._requests: dict[tuple[str, str], list[WaitingClaim]] = {}
        # Queues (by assignee) that rang since the last look began.
        self._rung: set[str] = set()
        self._awake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        # Microseconds since 1970; None: no task of the team is scheduled for later.
        self._next_scheduled: int | None = None
        # The last unit stopped at a bound: the next look goes straight to a unit, since the read
        # before it would find something. If that is wrong, a unit is run that writes nothing.
        self._more_ready = False
        # Kinds (in order) that the last look had no room for; they go first in the next one.
        self._put_off: dict[str, None] = {}
        self._releasing: set[asyncio.Task[None]] = set()
        # It works for all that wait, not for the call that came first: in no call's context.
        self._task = self._loop.create_task(self._run(), context=Context())

    @property
    def has_ended(self) -> bool:
        """Whether it ended, since no claim was left."""
        return self._task.done()

    @property
    def team_id(self) -> str:
        """The team whose claims it matches."""
        return self._team_id

    def on_end(self, callback: Callable[[Matcher], None]) -> None:
        """Call `callback` once this matcher has ended."""
        self._task.add_done_callback(lambda _: callback(self))

    def add(self, caller: Caller, request: ClaimRequest) -> WaitingClaim:
        """Add a claim, and watch its agent's own queue for it."""
        end = self._loop.time() + request.max_wait / MICROS
        claim = WaitingClaim(
            caller=caller, request=request, end=end, answer=self._loop.create_future()
        )
        bell = _QueueBell(self, caller.agent_id)
        bells, name = self._store.bells, queues.name(caller.agent_id)
        claim.watch.enter_context(bells.watch(self._team_id, [name], bell))
        self._waiting[claim] = None
        if claim.request_key:
            self._requests.setdefault(claim.request_key, []).append(claim)
        self._awake.set()
        return claim

    def leave(self, claim: WaitingClaim) -> None:
        """Remove a claim, whether it was answered or its caller left."""
        claim.watch.close()
        if claim.request_key:
            same = self._requests[claim.request_key]
            same.remove(claim)
            if not same:
                del self._requests[claim.request_key]
        self._waiting.pop(claim, None)
        self._awake.set()

    def ring(self, assignee_ids: Iterable[str]) -> None:
        """Note that there may be something new in these queues."""
        self._rung.update(assignee_ids)
        self._awake.set()

    def release_orphans(self, claim: WaitingClaim, tasks: list[Task]) -> None:
        """Release what was granted to a caller that left, unless a repeat got the same answer."""
        if tasks and not claim.shared:
            releasing = self._release(claim.caller, tasks)
            releasing = self._loop.create_task(releasing, context=Context())
            self._releasing.add(releasing)  # the loop itself keeps no strong reference to a task
            releasing.add_done_callback(self._releasing.discard)

    def close(self) -> None:
        """Answer all waiting claims, without tasks."""
        for claim in self._waiting:
            claim.resolve([])
        self._awake.set()

    async def _run(self) -> None:
        """Look whenever there may be something, for as long as a claim waits."""
        with self._store.bells.watch(self._team_id, [queues.name(POOL)], _QueueBell(self, POOL)):
            while self._waiting:
                self._awake.clear()
                try:
                    await self._match_once()
                    self._expire()
                    if self._waiting:
                        await self._sleep()
                except Exception as error:
                    log.exception("claims cannot be matched", team_id=self._team_id)
                    self._refuse_all(error)
                    self._expire()

    def _refuse_all(self, error: Exception) -> None:
        refusal = InternalError(Reason.INTERNAL, "an internal error")
        refusal.__cause__ = error
        for claim in self._waiting:
            claim.refuse(refusal)

    async def _match_once(self) -> None:
        """Look at what rang and at what new claims may take; grant what is there."""
        rung, self._rung = self._rung, set()
        claims = self._take_turn([claim for claim in self._waiting if _concerns(rung, claim)])
        if not claims or not (claims := self._drop_ended(claims)):
            return
        try:
            found = await self._match(claims, rung)
        except DovetailError as error:
            for claim in claims:
                claim.refuse(error)
            return
        for claim in claims:
            claim.state = ClaimState.NEW if claim in found.deferred else ClaimState.WAITING
        if found.deferred:
            self._awake.set()
        self._deliver(found)
        # A claim whose credential ended while the unit waited for its turn was granted nothing.
        self._drop_ended([claim for claim in claims if claim in self._waiting])
        self._next_scheduled = _earlier(self._next_scheduled, found.next_scheduled)

    def _deliver(self, found: MatchResult) -> None:
        """Answer the claims that were granted tasks, now or before."""
        for claim, granted in found.granted:
            self._waiting.pop(claim, None)
            self._share(claim, granted)
            if not claim.resolve(granted):
                self.release_orphans(claim, granted)
        for claim, before in found.repeated:
            self._waiting.pop(claim, None)
            if isinstance(before, DovetailError):
                claim.refuse(before)
            else:
                claim.resolve(before)

    def _share(self, claim: WaitingClaim, granted: list[Task]) -> None:
        """Answer the same to repeats of this request that wait as well."""
        for twin in self._requests.get(claim.request_key, []) if claim.request_key else []:
            same = twin.request.repeat == claim.request.repeat
            if twin is not claim and same and twin.resolve(granted):
                claim.shared = twin.shared = True

    def _take_turn(self, claims: list[WaitingClaim]) -> list[WaitingClaim]:
        """Return the claims of at most KINDS_MAX kinds, those first that were put off before.

        Claims of one kind stay together, in order of arrival. Those put off become NEW: what rang
        for them is forgotten with this look.
        """
        kinds = dict.fromkeys(claim.kind for claim in claims)
        waited = [kind for kind in self._put_off if kind in kinds]
        in_order = [*waited, *(kind for kind in kinds if kind not in self._put_off)]
        self._put_off = dict.fromkeys(in_order[KINDS_MAX:])
        for claim in claims:
            if claim.kind in self._put_off:
                claim.state = ClaimState.NEW
        if self._put_off:
            self._awake.set()
        return [claim for claim in claims if claim.kind not in self._put_off]

    async def _match(self, claims: Sequence[WaitingClaim], rung: set[str]) -> MatchResult:
        """Read whether there is something, and if so, run a unit that grants it.

        Units are expensive (one writer, a commit), and most looks find nothing.
        """
        filtered = any(claim.request.filter for claim in claims)
        if filtered or not self._more_ready:
            # A filter may have to go through very many tasks: away from the short reads, and from
            # the one writer, which looks only for the kinds that the read found.
            look = self._store.scan if filtered else self._store.read
            found = await look(self._team_id, lambda s: find_ready(s, claims, rung))
            if not found.look_again:
                return found
            claims = [claim for claim in claims if claim.kind in found.kinds]
        unit = partial(assign_ready, claims=claims, rung=rung)
        found = await self._store.write(self._team_id, unit, needs(claims))
        self._more_ready = found.look_again
        if found.look_again:
            self.ring([POOL, *(claim.caller.agent_id for claim in claims)])
        return found

    def _drop_ended(self, claims: Sequence[WaitingClaim]) -> list[WaitingClaim]:
        """Refuse the claims whose credential has ended, and return the others."""
        living: list[WaitingClaim] = []
        for claim in claims:
            try:
                claim.caller.check_live()
                living.append(claim)
            except DovetailError as error:
                claim.refuse(error)
        return living

    def _expire(self) -> None:
        """Answer the claims whose `max_wait` is over, and remove all that are answered.

        Not a NEW one: even `max_wait` 0 is worth a look.
        """
        now = self._loop.time()
        for claim in list(self._waiting):
            if claim.end <= now and claim.state is ClaimState.WAITING:
                claim.resolve([])
            if claim.is_answered:
                del self._waiting[claim]

    async def _sleep(self) -> None:
        """Wait for a ring, a new claim, the end of a `max_wait`, or a task that becomes due."""
        end = min(claim.end for claim in self._waiting)
        pause = min(end - self._loop.time(), SLEEP_SECONDS_MAX)
        scheduled = self._next_scheduled
        if scheduled is not None:
            pause = min(pause, (scheduled - clock.now()) / MICROS)
        try:
            async with asyncio.timeout(max(0, pause)):
                await self._awake.wait()
        except TimeoutError:
            pass
        if scheduled is not None and scheduled <= clock.now():
            await self._ring_scheduled(scheduled)

    async def _ring_scheduled(self, since: int) -> None:
        """Ring the queues of the tasks that became due, and find out when the next will be."""

        def query(snapshot: Snapshot) -> tuple[list[str], int | None]:
            now = clock.now()
            due = queues.due(snapshot, since, now)
            return due, queues.next_time(snapshot, now)

        try:
            due, self._next_scheduled = await self._store.read(self._team_id, query)
        except DovetailError:
            # Any of them may be due. The look that follows refuses the claims if this lasts.
            due = [POOL, *(claim.caller.agent_id for claim in self._waiting)]
        self.ring(due)

    async def _release(self, caller: Caller, tasks: list[Task]) -> None:
        for task in tasks:
            options = ChangeOptions(lease_token=task.lease_token, reason="the claimer had left")
            try:
                await self._release_task(caller, task.task_id, options)
            except DovetailError:
                return  # The leases will expire.


def _earlier(one: int | None, other: int | None) -> int | None:
    return min((time for time in (one, other) if time is not None), default=None)


def _concerns(rung: set[str], claim: WaitingClaim) -> bool:
    """Whether a look may find something for this claim."""
    return claim.state is ClaimState.NEW or POOL in rung or claim.caller.agent_id in rung
