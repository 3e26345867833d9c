"""Claims: ready tasks are granted to agents that wait for work, one matcher for each team.

All claims that a process has for a team go through its matcher, in order of arrival. Other
processes match at the same time; the order of writes in the store grants each task to one.
"""

from __future__ import annotations

import asyncio

from dovetail.server.access.caller import Caller
from dovetail.server.presence import Presence
from dovetail.server.store.store import Store
from dovetail.server.store.tables.tasks import Task
from dovetail.server.tasks.claims.matcher import Matcher, Release
from dovetail.server.tasks.claims.matching import ClaimRequest, find_granted


class Claims:
    """Grants ready tasks to the agents that claim them."""

    def __init__(self, store: Store, release: Release, presence: Presence) -> None:
        """Grant tasks of `store`; `release` takes back those whose caller left meanwhile."""
        self._store = store
        self._presence = presence
        self._release = release
        self._matchers: dict[str, Matcher] = {}

    def close(self) -> None:
        """Answer all waiting claims at once, without tasks."""
        for matcher in self._matchers.values():
            matcher.close()

    async def claim(self, caller: Caller, request: ClaimRequest) -> list[Task]:
        """Return tasks that are now the caller's and in progress; none if none came in time."""
        caller.require_agent("claiming")
        before = await self._find_granted(caller, request)
        if before is not None:
            return before
        matcher = self._matcher(caller.team_id)
        claim = matcher.add(caller, request)
        try:
            with self._presence.waiting(caller) as stay:
                stay.on_end = claim.refuse
                found = await claim.answer
        except asyncio.CancelledError:
            # The caller left. If its answer was made in the same turn of the loop, nobody reads it:
            # the tasks go back at once, not only when their leases end.
            answer = claim.answer
            if answer.done() and not answer.cancelled() and answer.exception() is None:
                matcher.release_orphans(claim, answer.result())
            raise
        finally:
            matcher.leave(claim)
        # While this one waited, another server may have answered the same request.
        return found or await self._find_granted(caller, request) or []

    async def _find_granted(self, caller: Caller, request: ClaimRequest) -> list[Task] | None:
        """What this request was granted before, or None."""
        if request.repeat is None:
            return None
        return await self._store.read(caller.team_id, lambda s: find_granted(s, caller, request))

    def _matcher(self, team_id: str) -> Matcher:
        matcher = self._matchers.get(team_id)
        if matcher is None or matcher.has_ended:
            matcher = self._matchers[team_id] = Matcher(self._store, team_id, self._release)
            matcher.on_end(self._forget)
        return matcher

    def _forget(self, matcher: Matcher) -> None:
        """Drop a matcher that has ended: anybody may name as many teams as they like."""
        if self._matchers.get(matcher.team_id) is matcher:
            del self._matchers[matcher.team_id]
