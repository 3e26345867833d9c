"""Claims: ready tasks are given to those who wait for work, one team at a time.

All claims that a process has for a team go through one matcher, in order of arrival. It sleeps
until a bell rings, a claim comes, or a scheduled task is due; then one read decides whether there
is anything to give, and one unit gives it. What that costs follows from what rang and from what is
given out, not from how many wait. Other processes do the same at the same time; the order of writes
in the store gives each task to one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextvars import Context

import structlog

from dovetail.server import clock
from dovetail.server.access.caller import Caller
from dovetail.server.errors import DovetailError, InternalError, Reason
from dovetail.server.store.engines.wakeups import Bell
from dovetail.server.store.store import Store
from dovetail.server.store.tables import queues
from dovetail.server.store.tables.queues import POOL
from dovetail.server.store.tables.tasks import Task
from dovetail.server.store.transaction import MICROS, Snapshot
from dovetail.server.tasks.claims.matching import (
    ClaimRequest,
    MatchResult,
    WaitingClaim,
    assign_ready,
    find_granted,
    find_ready,
)
from dovetail.server.tasks.requests import ChangeOptions

log: structlog.typing.FilteringBoundLogger = structlog.get_logger("dovetail.claims")

MOST_TASKS = 100
LONGEST_WAIT = 50 * MICROS
LONGEST_SLEEP = 60.0
KINDS_MAX = 50
"""Different filters that one look goes through."""


Release = Callable[[Caller, str, ChangeOptions], Awaitable[object]]
"""Releases a task that a caller holds."""


class Claims:
    """Gives ready tasks to those who ask for them."""

    def __init__(self, store: Store, release: Release) -> None:
        """Assign tasks of `store`; `release` takes back what its caller did not wait for."""
        self._store = store
        self._release = release
        self._matchers: dict[str, _Matcher] = {}

    def close(self) -> None:
        """Answer at once all that wait."""
        for matcher in self._matchers.values():
            matcher.close()

    async def claim(self, caller: Caller, request: ClaimRequest) -> list[Task]:
        """Tasks that are now the caller's and in progress; none when nothing came in time."""
        caller.require_agent("claiming")
        before = await self._find_granted(caller, request)
        if before is not None:
            return before
        matcher = self._matchers.get(caller.team_id)
        if matcher is None or matcher.ended:
            matcher = self._matchers[caller.team_id] = _Matcher(
                self._store, caller.team_id, self._release
            )
            matcher.on_end(self._let_go)
        claim = matcher.add(caller, request)
        try:
            found = await claim.answer
        except asyncio.CancelledError:
            answer = claim.answer
            if answer.done() and not answer.cancelled() and answer.exception() is None:
                matcher.release_orphans(claim, answer.result())
            raise
        finally:
            matcher.leave(claim)
        # While this one waited, another server may have answered the same request.
        return found or await self._find_granted(caller, request) or []

    async def _find_granted(self, caller: Caller, request: ClaimRequest) -> list[Task] | None:
        """What this request was answered before, or None."""
        if request.repeat is None:
            return None
        return await self._store.read(caller.team_id, lambda s: find_granted(s, caller, request))

    def _let_go(self, matcher: _Matcher) -> None:
        """Forget a matcher that has ended: anybody may name as many teams as they like."""
        if self._matchers.get(matcher.team_id) is matcher:
            del self._matchers[matcher.team_id]


class _QueueBell(Bell):
    """Tells a matcher which queue rang."""

    def __init__(self, matcher: _Matcher, assignee_id: str) -> None:
        super().__init__()
        self._matcher = matcher
        self._assignee_id = assignee_id

    def ring(self) -> None:
        self._matcher.look_at([self._assignee_id])


class _Matcher:
    """Those who wait for work in one team."""

    def __init__(self, store: Store, team_id: str, release: Release) -> None:
        self._release_task = release
        self._store = store
        self._team_id = team_id
        self._waiting: dict[WaitingClaim, None] = {}
        self._requests: dict[tuple[str, str], list[WaitingClaim]] = {}
        self._woken: set[str] = set()
        self._awake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._looked = 0
        self._next_scheduled: int | None = None
        self._more_ready = False
        self._put_off: dict[str, None] = {}
        self._releasing: set[asyncio.Task[None]] = set()
        # For all that wait, not for the call that came first: in no call's context.
        self._task = self._loop.create_task(self._run(), context=Context())

    @property
    def ended(self) -> bool:
        """Whether it has gone, since nobody waited."""
        return self._task.done()

    @property
    def team_id(self) -> str:
        """Whose claims it matches."""
        return self._team_id

    def on_end(self, tell: Callable[[_Matcher], None]) -> None:
        """Have `tell` called once this matcher has ended."""
        self._task.add_done_callback(lambda _: tell(self))

    def add(self, caller: Caller, request: ClaimRequest) -> WaitingClaim:
        """Have somebody wait."""
        end = self._loop.time() + request.max_wait / MICROS
        claim = WaitingClaim(
            caller=caller, request=request, end=end, answer=self._loop.create_future()
        )
        bell = _QueueBell(self, caller.agent_id)
        bells, name = self._store.bells, queues.name(caller.agent_id)
        claim.watch.enter_context(bells.watch(self._team_id, name, bell))
        self._waiting[claim] = None
        if claim.request_key:
            self._requests.setdefault(claim.request_key, []).append(claim)
        self._awake.set()
        return claim

    def leave(self, claim: WaitingClaim) -> None:
        """Have somebody wait no more."""
        claim.watch.close()
        if claim.request_key:
            same = self._requests[claim.request_key]
            same.remove(claim)
            if not same:
                del self._requests[claim.request_key]
        self._waiting.pop(claim, None)
        self._awake.set()

    def look_at(self, assignee_ids: Iterable[str]) -> None:
        """There may be something new in these queues."""
        self._woken.update(assignee_ids)
        self._awake.set()

    def release_orphans(self, claim: WaitingClaim, tasks: list[Task]) -> None:
        """Release what was given to one who had left, unless a repeat of it was answered too."""
        if tasks and not claim.shared:
            releasing = self._release(claim.caller, tasks)
            releasing = self._loop.create_task(releasing, context=Context())
            self._releasing.add(releasing)
            releasing.add_done_callback(self._releasing.discard)

    def close(self) -> None:
        """Answer all that wait."""
        for claim in self._waiting:
            claim.resolve([])
        self._awake.set()

    async def _run(self) -> None:
        """Look whenever there may be something, for as long as somebody waits."""
        with self._store.bells.watch(self._team_id, queues.name(POOL), _QueueBell(self, POOL)):
            while self._waiting:
                self._awake.clear()
                try:
                    await self._match_once()
                except Exception as error:
                    log.exception("claims cannot be matched", team_id=self._team_id)
                    self._refuse_all(error)
                self._expire()
                if self._waiting:
                    await self._sleep()

    def _refuse_all(self, error: Exception) -> None:
        refusal = InternalError(Reason.INTERNAL, "an internal error")
        refusal.__cause__ = error
        for claim in self._waiting:
            claim.refuse(refusal)

    async def _match_once(self) -> None:
        """Look where it rang and for who is new; give what is there."""
        woken, self._woken = self._woken, set()
        claims = self._in_turn(
            [
                claim
                for claim in self._waiting
                if claim.is_new or POOL in woken or claim.caller.agent_id in woken
            ]
        )
        if not claims or not (claims := self._drop_ended(claims)):
            return
        try:
            found = await self._match(claims, woken)
        except DovetailError as error:
            for claim in claims:
                claim.refuse(error)
            return
        for claim in claims:
            claim.is_new = claim in found.deferred
        for claim, given in found.granted:
            self._waiting.pop(claim, None)
            self._share(claim, given)
            if not claim.resolve(given):
                self.release_orphans(claim, given)
        for claim, before in found.repeated:
            self._waiting.pop(claim, None)
            if isinstance(before, DovetailError):
                claim.refuse(before)
            else:
                claim.resolve(before)
        # Whose credential ended while the unit waited for its turn got nothing, and is told why.
        self._drop_ended([claim for claim in claims if claim in self._waiting])
        self._next_scheduled = found.next_scheduled

    def _share(self, claim: WaitingClaim, given: list[Task]) -> None:
        """Answer the same to repeats of this request that wait as well."""
        for twin in self._requests.get(claim.request_key, []) if claim.request_key else []:
            same = twin.request.repeat == claim.request.repeat
            if twin is not claim and same and twin.resolve(given):
                claim.shared = twin.shared = True

    def _in_turn(self, claims: list[WaitingClaim]) -> list[WaitingClaim]:
        """Those whose turn it is: of very many kinds some, those first that were put off before.

        Each kind costs a query, so their number bounds what one look takes. Claims of one kind stay
        together, in order of arrival; those put off are looked at next, as if they were new.
        """
        kinds = dict.fromkeys(claim.kind for claim in claims)
        waited = [kind for kind in self._put_off if kind in kinds]
        in_order = [*waited, *(kind for kind in kinds if kind not in self._put_off)]
        self._put_off = dict.fromkeys(in_order[KINDS_MAX:])
        for claim in claims:
            if claim.kind in self._put_off:
                claim.is_new = True
        if self._put_off:
            self._awake.set()
        return [claim for claim in claims if claim.kind not in self._put_off]

    async def _match(self, claims: Sequence[WaitingClaim], woken: set[str]) -> MatchResult:
        """A read decides whether a unit is run; while there is plenty, it need not."""
        filtered = any(claim.request.filter for claim in claims)
        if filtered or not self._more_ready:
            # A filter may have to go through very many tasks: out of the way of what is short, and
            # out of the one writer, which looks only for what is there.
            look = self._store.scan if filtered else self._store.read
            found = await look(self._team_id, lambda s: find_ready(s, claims, woken))
            if not found.look_again:
                return found
            claims = [claim for claim in claims if claim.kind in found.kinds]
        found = await self._store.write(self._team_id, lambda t: assign_ready(t, claims, woken))
        self._more_ready = found.look_again
        if found.look_again:
            self.look_at([POOL, *(claim.caller.agent_id for claim in claims)])
        return found

    def _drop_ended(self, claims: Sequence[WaitingClaim]) -> list[WaitingClaim]:
        """Those whose credential has not ended; the others are told."""
        living: list[WaitingClaim] = []
        for claim in claims:
            try:
                claim.caller.check_live()
                living.append(claim)
            except DovetailError as error:
                claim.refuse(error)
        return living

    def _expire(self) -> None:
        """Answer those who have waited for as long as they wished; forget who left."""
        now = self._loop.time()
        for claim in list(self._waiting):
            if claim.end <= now and not claim.is_new:
                claim.resolve([])
            if claim.answer.done():
                del self._waiting[claim]

    async def _sleep(self) -> None:
        """Until something rings, somebody comes or has waited enough, or a task is due."""
        until = min(claim.end for claim in self._waiting)
        pause = min(until - self._loop.time(), LONGEST_SLEEP)
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
        """Look at the queues of what has become due, and learn when the next will be."""

        def query(snapshot: Snapshot) -> tuple[list[str], int | None]:
            now = clock.now()
            due = queues.due(snapshot, since, now)
            return due, queues.next_time(snapshot, now)

        try:
            due, self._next_scheduled = await self._store.read(self._team_id, query)
        except DovetailError:
            due = [POOL, *(claim.caller.agent_id for claim in self._waiting)]
        self.look_at(due)

    async def _release(self, caller: Caller, tasks: list[Task]) -> None:
        for task in tasks:
            options = ChangeOptions(lease_token=task.lease_token, reason="the claimer had left")
            try:
                await self._release_task(caller, task.task_id, options)
            except DovetailError:
                return  # The lease will be lost.
