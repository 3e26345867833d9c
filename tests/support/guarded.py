"""Both services in this process, asking for credentials, and tokens for whom a test needs."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dovetail.admin.v1 import admin_pb2 as pb
from support.callers import Caller
from support.pair import Metadata, Pair, running_pair

ROLES = {
    "agent": pb.ROLE_AGENT,
    "operator": pb.ROLE_OPERATOR,
    "observer": pb.ROLE_OBSERVER,
    "admin": pb.ROLE_ADMIN,
}


def bearer(token: str) -> Metadata:
    """The metadata of a caller with a token."""
    return (("authorization", f"Bearer {token}"),)


@dataclass(kw_only=True)
class Guarded:
    """A pair that asks for credentials. `admin` is the first admin's metadata."""

    pair: Pair
    admin: Metadata

    async def team(self, team_id: str) -> None:
        """Make a team."""
        await self.pair.admin.CreateTeam(pb.CreateTeamRequest(team_id=team_id), metadata=self.admin)

    async def made(
        self, role: str, team_id: str = "", agent_id: str = "", **fields: Any
    ) -> pb.CreateCredentialResponse:
        """A new credential and its token."""
        request = pb.CreateCredentialRequest(
            team_id=team_id, agent_id=agent_id, role=ROLES[role], **fields
        )
        return await self.pair.admin.CreateCredential(request, metadata=self.admin)

    async def token(self, role: str, team_id: str = "", agent_id: str = "") -> Metadata:
        """The metadata of a new credential."""
        return bearer((await self.made(role, team_id, agent_id)).token)

    async def agent(self, agent_id: str, team_id: str = "red") -> Metadata:
        """The metadata of an agent."""
        return await self.token("agent", team_id, agent_id)

    async def caller(self, agent_id: str, team_id: str = "red") -> Caller:
        """An agent with a credential; without an id, an operator."""
        role = "agent" if agent_id else "operator"
        return Caller(self.pair, agent_id, team_id, await self.token(role, team_id, agent_id))


@asynccontextmanager
async def guarded_pair(store_url: str, folder: Path, **settings: Any) -> AsyncGenerator[Guarded]:
    """Run both services with credentials, and the team "red"."""
    file = folder / "admin.token"
    async with running_pair(store_url, credentials=True, admin_token_file=file, **settings) as pair:
        guarded = Guarded(pair=pair, admin=bearer(file.read_text().strip()))
        await guarded.team("red")
        yield guarded
