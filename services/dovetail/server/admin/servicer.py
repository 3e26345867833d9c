"""AdminService on the wire: protobuf in, protobuf out, no rules."""

from __future__ import annotations

from grpc.aio import ServicerContext

from dovetail.admin.v1 import admin_pb2 as pb
from dovetail.admin.v1 import admin_pb2_grpc as pb_grpc
from dovetail.server.access.caller import current_caller
from dovetail.server.admin.credentials import (
    CredentialQuery,
    Credentials,
    NewCredential,
    check_rotation,
)
from dovetail.server.admin.proto import team_proto
from dovetail.server.admin.reading import read_team_update
from dovetail.server.admin.teams import Teams
from dovetail.server.edge.convert import (
    optional_timestamp,
    read_duration,
    read_paging,
    timestamp,
)
from dovetail.server.edge.validation import Checks
from dovetail.server.store.tables.credentials import Credential

Context = ServicerContext[object, object]


class AdminServicer(pb_grpc.AdminServiceServicer):
    """Translates between the contract and the rules of administration."""

    def __init__(self, teams: Teams, credentials: Credentials) -> None:
        """Serve these rules."""
        self._teams = teams
        self._credentials = credentials

    async def CreateTeam(
        self, request: pb.CreateTeamRequest, context: Context
    ) -> pb.CreateTeamResponse:
        """Create a team."""
        team, created = await self._teams.create(current_caller.get(), request.team_id)
        return pb.CreateTeamResponse(team=team_proto(team), created=created)

    async def GetTeam(self, request: pb.GetTeamRequest, context: Context) -> pb.GetTeamResponse:
        """Return a team with its figures."""
        team = await self._teams.get(current_caller.get(), request.team_id)
        return pb.GetTeamResponse(team=team_proto(team))

    async def UpdateTeam(
        self, request: pb.UpdateTeamRequest, context: Context
    ) -> pb.UpdateTeamResponse:
        """Set what a team keeps."""
        with Checks() as check:
            update = read_team_update(check, request)
        team = await self._teams.update(current_caller.get(), update)
        return pb.UpdateTeamResponse(team=team_proto(team))

    async def ListTeams(
        self, request: pb.ListTeamsRequest, context: Context
    ) -> pb.ListTeamsResponse:
        """Return a page of teams."""
        page, token = await self._teams.page(read_paging("", request))
        return pb.ListTeamsResponse(teams=map(team_proto, page), next_page_token=token)

    async def CreateCredential(
        self, request: pb.CreateCredentialRequest, context: Context
    ) -> pb.CreateCredentialResponse:
        """Create a credential."""
        with Checks() as check:
            new = NewCredential(
                team_id=request.team_id,
                agent_id=request.agent_id,
                role=request.role,
                description=request.description,
                lifetime=read_duration(check, "lifetime", request, "lifetime"),
            )
            new.check(check)
        credential, token = await self._credentials.create(current_caller.get(), new)
        return pb.CreateCredentialResponse(credential=_credential(credential), token=token)

    async def ListCredentials(
        self, request: pb.ListCredentialsRequest, context: Context
    ) -> pb.ListCredentialsResponse:
        """Return a page of credentials."""
        query = CredentialQuery(
            team_id=request.team_id,
            agent_id=request.agent_id,
            role=request.role,
            include_ended=request.include_ended,
        )
        page, token = await self._credentials.page(query, read_paging("", request))
        return pb.ListCredentialsResponse(credentials=map(_credential, page), next_page_token=token)

    async def RotateCredential(
        self, request: pb.RotateCredentialRequest, context: Context
    ) -> pb.RotateCredentialResponse:
        """Replace a credential by a new one."""
        with Checks() as check:
            grace = read_duration(check, "grace", request, "grace") or 0
            lifetime = read_duration(check, "lifetime", request, "lifetime")
            check_rotation(check, request.credential_id, grace, lifetime)
        credential, token = await self._credentials.rotate(
            current_caller.get(), request.credential_id, grace, lifetime
        )
        return pb.RotateCredentialResponse(credential=_credential(credential), token=token)

    async def RevokeCredential(
        self, request: pb.RevokeCredentialRequest, context: Context
    ) -> pb.RevokeCredentialResponse:
        """End a credential."""
        credential = await self._credentials.revoke(current_caller.get(), request.credential_id)
        return pb.RevokeCredentialResponse(credential=_credential(credential))


def _credential(credential: Credential) -> pb.Credential:
    return pb.Credential(
        credential_id=credential.credential_id,
        team_id=credential.team_id,
        agent_id=credential.agent_id,
        role=pb.Role.ValueType(credential.role),
        description=credential.description,
        create_time=timestamp(credential.create_time),
        expire_time=optional_timestamp(credential.expire_time),
        revoke_time=optional_timestamp(credential.revoke_time),
        creator_credential_id=credential.creator_id,
        revoker_credential_id=credential.revoker_id,
        rotated_credential_id=credential.rotated_id,
    )
