"""An admin's calls: teams, what they keep, and the credentials of callers.

    async with connect_admin(token_file="admin.token") as admin:
        await admin.create_team("red")
        credential, token = await admin.create_token(team_id="red", agent_id="alice")

A token is returned once, by the call that creates it. Where the servers ask for no credentials,
everybody may find a team and set its rules (`team`, `set_retention`, `set_limits`,
`set_loop_limits`), and nobody may do the rest.
"""
# ruff: noqa: PLR0913 - a keyword for each field of the contract

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, Unpack

import grpc
from google.protobuf.field_mask_pb2 import FieldMask

from dovetail.admin.v1 import admin_pb2 as pb
from dovetail.admin.v1 import admin_pb2_grpc
from dovetail.client.admin_records import (
    FOREVER,
    Credential,
    Limits,
    LimitValues,
    LoopLimits,
    LoopLimitValues,
    Retention,
    RetentionRules,
    Role,
    Team,
    TeamFigures,
)
from dovetail.client.choices import refuse_unknown
from dovetail.client.configuration import Configuration
from dovetail.client.connection import (
    Access,
    Addresses,
    Connection,
    caller_metadata,
    tell_of_repeat,
)
from dovetail.client.errors import DovetailError
from dovetail.client.pages import Pages
from dovetail.client.reconnecting import RETRY_SECONDS_MAX, pauses
from dovetail.client.records import record
from dovetail.client.security import Metadata, Tls
from dovetail.client.values import duration
from dovetail.client.words import WordLike, number

__all__ = [
    "FOREVER",
    "Admin",
    "Credential",
    "LimitValues",
    "Limits",
    "LoopLimitValues",
    "LoopLimits",
    "Retention",
    "RetentionRules",
    "Role",
    "Team",
    "TeamFigures",
    "connect_admin",
]

Response = TypeVar("Response")
Stub: TypeAlias = "admin_pb2_grpc.AdminServiceAsyncStub"

NOTHING_DONE = "SERVER_STOPPING"
"""The reason of a stopping server, which did not begin the call."""

KNOWN_STATES = (grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.TRANSIENT_FAILURE)
"""States of a channel in which it is known whether the server can be reached."""


def connect_admin(
    *,
    messaging: Addresses | None = None,
    tasks: Addresses | None = None,
    timeout: float | None = None,
    patience: float | None = None,
    token: str = "",
    token_file: Path | str | None = None,
    tls: Tls | None = None,
    insecure: bool | None = None,
) -> Admin:
    """Administer the servers at these addresses with an admin's token. Makes no call yet.

    Both services offer the same administration: calls go to messaging, and to tasks while messaging
    cannot be reached. A call waits up to `patience` seconds (default: the whole `timeout`) until
    one of them can be reached, and then takes at most `timeout`. The other arguments are those of
    `dovetail.client.connect`.
    """
    configured = Configuration()
    timeout = float(configured.value("timeout", timeout))
    patience = configured.value("patience", patience)
    access = Access(
        ids=(),
        token=configured.token(token, token_file),
        tls=configured.tls(tls),
        insecure=configured.value("insecure", insecure),
        timeout=timeout,
        patience=0.0,  # Admin._call decides for each call what may be repeated.
    )
    given = {"messaging": messaging, "tasks": tasks}
    servers = [_Server(configured.addresses(*each), access) for each in given.items()]
    return Admin(servers, timeout if patience is None else patience)


class Admin:
    """Creates teams, says what they keep, and creates and revokes credentials.

    Every call may raise DovetailError.

    `create_token` and `rotate` are never repeated automatically once their outcome is unknown. Then
    look for a new credential whose token was never received, and revoke it.
    """

    def __init__(self, servers: Sequence[_Server], patience: float) -> None:
        """Use `connect_admin`."""
        self._servers = servers
        self._patience = patience

    async def __aenter__(self) -> Admin:
        """Return itself; the end of the block closes it."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.close()

    async def close(self) -> None:
        """Close the connections; calls under way are cancelled."""
        for server in self._servers:
            await server.connection.close()

    async def create_team(self, team_id: str) -> Team:
        """Create a team; an existing team is not changed."""
        request = pb.CreateTeamRequest(team_id=team_id)
        made = await self._call(lambda stub: stub.CreateTeam, request, _always_repeatable)
        return record(Team, made.team)

    def teams(self, *, page_size: int = 0, page_token: str = "") -> Pages[Team]:
        """Iterate over all teams in order of id, reading page after page."""
        request = pb.ListTeamsRequest(page_size=page_size, page_token=page_token)
        return Pages(
            lambda: self._call(lambda stub: stub.ListTeams, request, _always_repeatable),
            request,
            "teams",
            Team,
        )

    async def team(self, team_id: str = "") -> Team:
        """One team, with its rules and figures. Default: the team of the token, or "default"."""
        request = pb.GetTeamRequest(team_id=team_id)
        found = await self._call(
            lambda stub: _in_team(stub.GetTeam, team_id), request, _always_repeatable
        )
        return record(Team, found.team)

    async def set_retention(self, team_id: str = "", **rules: Unpack[RetentionRules]) -> Team:
        """Set what a team keeps; rules that are not named stay as they are.

        Within a minute the servers begin to remove what is no longer kept, for good.
        """
        refuse_unknown(RetentionRules, rules)
        values = {
            name: duration(value) if isinstance(value, timedelta) else value
            for name, value in rules.items()
        }
        team = pb.Team(team_id=team_id, retention=pb.Retention(**values))  # type: ignore[arg-type]
        return await self._update(team, "retention", rules)

    async def set_limits(self, team_id: str = "", **limits: Unpack[LimitValues]) -> Team:
        """Set how much a team may keep; limits that are not named stay as they are."""
        refuse_unknown(LimitValues, limits)
        team = pb.Team(team_id=team_id, limits=pb.Limits(**limits))
        return await self._update(team, "limits", limits)

    async def set_loop_limits(self, team_id: str = "", **limits: Unpack[LoopLimitValues]) -> Team:
        """Set what ends exchanges of agents that only answer each other; the others stay."""
        refuse_unknown(LoopLimitValues, limits)
        away = limits.get("away_max")
        given: dict[str, Any] = {name: limits.get(name) for name in limits if name != "away_max"}
        values = pb.LoopLimits(**given, away_max=None if away is None else duration(away))
        return await self._update(
            pb.Team(team_id=team_id, loop_limits=values), "loop_limits", limits
        )

    async def _update(self, team: pb.Team, group: str, names: Iterable[str]) -> Team:
        mask = FieldMask(paths=[f"{group}.{name}" for name in names])
        request = pb.UpdateTeamRequest(team=team, update_mask=mask)
        updated = await self._call(
            lambda stub: _in_team(stub.UpdateTeam, team.team_id), request, _always_repeatable
        )
        return record(Team, updated.team)

    async def create_token(
        self,
        *,
        role: WordLike = Role.AGENT,
        team_id: str = "",
        agent_id: str = "",
        description: str = "",
        lifetime: timedelta | None = None,
    ) -> tuple[Credential, str]:
        """Create a credential; return it and its token, which is not returned again.

        Without `lifetime` it is valid until revoked. An admin's credential has no team or agent.
        """
        request = pb.CreateCredentialRequest(
            team_id=team_id,
            agent_id=agent_id,
            role=number(Role, role),
            description=description,
            lifetime=duration(lifetime),
        )
        created = await self._call(lambda stub: stub.CreateCredential, request, _nothing_done)
        return record(Credential, created.credential), created.token

    def credentials(
        self,
        *,
        team_id: str = "",
        agent_id: str = "",
        role: WordLike = 0,
        include_ended: bool = False,
        page_size: int = 0,
        page_token: str = "",
    ) -> Pages[Credential]:
        """Iterate over credentials, all or matching ones, in order of creation, page after page."""
        request = pb.ListCredentialsRequest(
            team_id=team_id,
            agent_id=agent_id,
            role=number(Role, role),
            include_ended=include_ended,
            page_size=page_size,
            page_token=page_token,
        )
        return Pages(
            lambda: self._call(lambda stub: stub.ListCredentials, request, _always_repeatable),
            request,
            "credentials",
            Credential,
        )

    async def rotate(
        self,
        credential_id: str,
        *,
        grace: timedelta | None = None,
        lifetime: timedelta | None = None,
    ) -> tuple[Credential, str]:
        """Replace a credential by a new one; return the new one and its token.

        The old credential stays valid for `grace` (default: not at all), the new one for `lifetime`
        (default: the lifetime of the old one).
        """
        request = pb.RotateCredentialRequest(
            credential_id=credential_id, grace=duration(grace), lifetime=duration(lifetime)
        )
        created = await self._call(lambda stub: stub.RotateCredential, request, _nothing_done)
        return record(Credential, created.credential), created.token

    async def revoke(self, credential_id: str) -> Credential:
        """Revoke a credential, and end its streams and waiting calls on every server within 5 s."""
        request = pb.RevokeCredentialRequest(credential_id=credential_id)
        ended = await self._call(lambda stub: stub.RevokeCredential, request, _always_repeatable)
        return record(Credential, ended.credential)

    async def _call(
        self,
        method: Callable[[Stub], Callable[..., Awaitable[Response]]],
        request: Any,
        repeatable: Callable[[DovetailError], bool],
    ) -> Response:
        """Call a server that can be reached, and repeat the call after a `repeatable` error."""
        clock = asyncio.get_running_loop().time
        give_up = clock() + self._patience
        for pause in pauses(RETRY_SECONDS_MAX):
            server = await self._reachable_server(give_up)
            try:
                return await server.connection.call(method(server.stub), request)
            except DovetailError as error:
                pause = max(pause, error.retry_after or 0.0)
                if not (error.is_passing and repeatable(error)) or clock() + pause > give_up:
                    raise
            await asyncio.sleep(pause)
        raise AssertionError("pauses never end")

    async def _reachable_server(self, give_up: float) -> _Server:
        """The first server that can be reached; if none can in time, one whose call will fail."""
        clock = asyncio.get_running_loop().time
        while True:
            for server in self._servers:
                if await server.is_reachable():
                    return server
            if clock() >= give_up:
                return self._servers[0]
            tell_of_repeat(self._servers[0].connection.address, give_up - clock())
            any_connected = [server.connection.watch.connected() for server in self._servers]
            await asyncio.wait(
                any_connected, timeout=give_up - clock(), return_when=asyncio.FIRST_COMPLETED
            )


class _Server:
    """A connection to one of the servers, and the admin stub over it."""

    def __init__(self, addresses: Addresses, access: Access) -> None:
        self.connection = Connection(addresses, access)

    @cached_property
    def stub(self) -> Stub:
        """The stub, which opens the channel: the first call needs it."""
        return admin_pb2_grpc.AdminServiceStub(self.connection.channel)

    async def is_reachable(self) -> bool:
        """Whether it can be reached. Makes no call, so that no call has an unknown outcome."""
        self.connection.refuse_unusable()
        channel = self.connection.channel
        while (state := channel.get_state(try_to_connect=True)) not in KNOWN_STATES:
            await channel.wait_for_state_change(state)
        return state is grpc.ChannelConnectivity.READY


def _in_team(
    method: Callable[..., Awaitable[Response]], team_id: str
) -> Callable[..., Awaitable[Response]]:
    """A method that names the team as the caller's, where no token says whose the caller is."""

    def call(request: Any, timeout: float, metadata: Metadata) -> Awaitable[Response]:
        ids = () if metadata else caller_metadata(team_id, "")
        return method(request, timeout=timeout, metadata=(*metadata, *ids))

    return call


def _always_repeatable(_: DovetailError) -> bool:
    """For calls that are safe to repeat."""
    return True


def _nothing_done(error: DovetailError) -> bool:
    """For calls that create something each time: repeat only if certainly nothing was done."""
    return error.reason == NOTHING_DONE
