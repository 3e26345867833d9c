"""Teams: how they are created and listed."""

from __future__ import annotations

from dovetail.server.access.audit import Audit
from dovetail.server.access.caller import Caller
from dovetail.server.edge.paging import Paging
from dovetail.server.edge.validation import Checks
from dovetail.server.store.store import Store
from dovetail.server.store.tables import credentials
from dovetail.server.store.tables.credentials import NO_TEAM, Team
from dovetail.server.store.transaction import Transaction


class Teams:
    """Creates teams and lists them."""

    def __init__(self, store: Store, audit: Audit) -> None:
        """Keep teams in `store`, and record new ones in `audit`."""
        self._store = store
        self._audit = audit

    async def create(self, caller: Caller, team_id: str) -> tuple[Team, bool]:
        """Create a team. Returns it, and whether this call created it."""
        with Checks() as check:
            check.id("team_id", team_id)

        def unit(transaction: Transaction) -> tuple[Team, bool]:
            team = credentials.find_team(transaction, team_id)
            return (team, False) if team else (credentials.add_team(transaction, team_id), True)

        team, created = await self._store.write(NO_TEAM, unit)
        if created:
            self._audit.record("team created", team_id=team_id, by=caller.credential_id)
        return team, created

    async def page(self, paging: Paging) -> tuple[list[Team], str]:
        """Return a page of teams in order of id, and the token of the next page."""
        with Checks() as check:
            after = paging.after_id(check)
        page, more = await self._store.read(
            NO_TEAM, lambda s: credentials.teams(s, after, paging.most)
        )
        return page, paging.next_token(page[-1].team_id if more else None)
