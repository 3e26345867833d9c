"""An admin's side: the teams, and the credentials of those who may call.

    async with connect_admin(token_file="admin.token") as admin:
        await admin.create_team("red")
        credential, token = await admin.create_token(team_id="red", agent_id="alice")

A token is told once, by the call that makes it.
"""
# ruff: noqa: PLR0913 - a keyword for each field of the contract

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import grpc

from dovetail.admin.v1 import admin_pb2 as pb
from dovetail.admin.v1 import admin_pb2_grpc
from dovetail.client.configuration import Configuration
from dovetail.client.connection import Access, Addresses, Connection, pauses
from dovetail.client.errors import DovetailError
from dovetail.client.security import Tls
from dovetail.client.values import duration

Response = TypeVar("Response")
Stub: TypeAlias = "admin_pb2_grpc.AdminServiceAsyncStub"

NOTHING_DONE = "SERVER_STOPPING"
"""The reason of a server that stops: it says that it did not begin."""

KNOWN = (grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.TRANSIENT_FAILURE)
"""States of a channel that say whether its server can be reached."""


@asynccontextmanager
async def connect_admin(
    *,
    messaging: Addresses | None = None,
    tasks: Addresses | None = None,
    timeout: float | None = None,  # noqa: ASYNC109 - each call's, not this function's
    patience: float | None = None,
    token: str = "",
    token_file: Path | str | None = None,
    tls: Tls | None = None,
    insecure: bool | None = None,
) -> AsyncGenerator[Admin]:
    """Administer the servers of these addresses, by the token of an admin. Nothing is called yet.

    Both servers administer the same: calls go to messaging, and to tasks while messaging cannot be
    reached. A call waits for `patience` seconds (default: the whole `timeout`) until one of them
    can be, and then takes at most `timeout`. The rest is as for `dovetail.client.connect`.
    """
    configured = Configuration()
    timeout = float(configured.value("timeout", timeout))
    access = Access(
        ids=(),
        token=configured.token(token, token_file),
        tls=configured.tls(tls),
        insecure=configured.value("insecure", insecure),
        timeout=timeout,
        patience=0.0,  # what may be repeated is decided here, call by call
    )
    given = {"messaging": messaging, "tasks": tasks}
    servers = [_Server(configured.value(*each), access) for each in given.items()]
    try:
        yield Admin(servers, timeout if patience is None else patience)
    finally:
        for server in servers:
            await server.connection.close()


class Admin:
    """Makes teams, and makes and ends credentials. Every call raises DovetailError.

    Two calls are never made again by themselves once their outcome is unknown: `create_token` and
    `rotate`. Then look for a credential that nobody has the token of, and revoke it.
    """

    def __init__(self, servers: Sequence[_Server], patience: float) -> None:
        """Use `connect_admin`."""
        self._servers = servers
        self._patience = patience

    async def create_team(self, team_id: str) -> pb.Team:
        """Make a team; one that exists stays as it is."""
        request = pb.CreateTeamRequest(team_id=team_id)
        return (await self._call(lambda stub: stub.CreateTeam, request, _always)).team

    async def teams(self, *, page_size: int = 0) -> AsyncIterator[pb.Team]:
        """All teams in order of id, page after page."""
        request = pb.ListTeamsRequest(page_size=page_size)
        while True:
            page = await self._call(lambda stub: stub.ListTeams, request, _always)
            for team in page.teams:
                yield team
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    async def create_token(
        self,
        *,
        role: pb.Role.ValueType = pb.ROLE_AGENT,
        team_id: str = "",
        agent_id: str = "",
        description: str = "",
        lifetime: timedelta | None = None,
    ) -> tuple[pb.Credential, str]:
        """Make a credential: it, and its token, which nobody is told again.

        Without `lifetime` it lives until it is revoked. An admin's has no team and no agent.
        """
        request = pb.CreateCredentialRequest(
            team_id=team_id,
            agent_id=agent_id,
            role=role,
            description=description,
            lifetime=duration(lifetime),
        )
        made = await self._call(lambda stub: stub.CreateCredential, request, _undone)
        return made.credential, made.token

    async def credentials(
        self,
        *,
        team_id: str = "",
        agent_id: str = "",
        role: pb.Role.ValueType = pb.ROLE_UNSPECIFIED,
        include_ended: bool = False,
        page_size: int = 0,
    ) -> AsyncIterator[pb.Credential]:
        """The credentials, or those chosen, in order of creation, page after page."""
        request = pb.ListCredentialsRequest(
            team_id=team_id,
            agent_id=agent_id,
            role=role,
            include_ended=include_ended,
            page_size=page_size,
        )
        while True:
            page = await self._call(lambda stub: stub.ListCredentials, request, _always)
            for credential in page.credentials:
                yield credential
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    async def rotate(
        self,
        credential_id: str,
        *,
        grace: timedelta | None = None,
        lifetime: timedelta | None = None,
    ) -> tuple[pb.Credential, str]:
        """Make another credential in the place of one: it, and its token.

        The old one lives on for `grace` (default: not at all), the new one for `lifetime` (default:
        as long as the old one was given).
        """
        request = pb.RotateCredentialRequest(
            credential_id=credential_id, grace=duration(grace), lifetime=duration(lifetime)
        )
        made = await self._call(lambda stub: stub.RotateCredential, request, _undone)
        return made.credential, made.token

    async def revoke(self, credential_id: str) -> pb.Credential:
        """End a credential, its open streams and its waiting calls, on every server within 5 s."""
        request = pb.RevokeCredentialRequest(credential_id=credential_id)
        return (await self._call(lambda stub: stub.RevokeCredential, request, _always)).credential

    async def _call(
        self,
        method: Callable[[Stub], Callable[..., Awaitable[Response]]],
        request: Any,
        repeatable: Callable[[DovetailError], bool],
    ) -> Response:
        """Make a call at a server that can be reached, and again after a `repeatable` error."""
        clock = asyncio.get_running_loop().time
        give_up = clock() + self._patience
        for pause in pauses():
            server = await self._reached(give_up)
            try:
                return await server.connection.call(method(server.stub), request)
            except DovetailError as error:
                pause = max(pause, error.retry_after or 0.0)
                if not (error.is_passing and repeatable(error)) or clock() + pause > give_up:
                    raise
            await asyncio.sleep(pause)
        raise AssertionError("pauses never end")

    async def _reached(self, give_up: float) -> _Server:
        """The first server that can be reached; if none can be in time, the one to fail at."""
        clock = asyncio.get_running_loop().time
        for pause in pauses():
            for server in self._servers:
                if await server.reached():
                    return server
            if clock() + pause > give_up:
                break
            await asyncio.sleep(pause)
        return self._servers[0]


class _Server:
    """One of the servers, as an admin calls it."""

    def __init__(self, addresses: Addresses, access: Access) -> None:
        self.connection = Connection(addresses, access)
        self.stub = admin_pb2_grpc.AdminServiceStub(self.connection.channel)

    async def reached(self) -> bool:
        """Whether it can be reached. No call is made, so that none has an unknown outcome."""
        channel = self.connection.channel
        while (state := channel.get_state(try_to_connect=True)) not in KNOWN:
            await channel.wait_for_state_change(state)
        return state is grpc.ChannelConnectivity.READY


def _always(_: DovetailError) -> bool:
    """For calls that repeat harmlessly."""
    return True


def _undone(error: DovetailError) -> bool:
    """For calls that make something new each time: only where nothing was done for certain."""
    return error.reason == NOTHING_DONE
