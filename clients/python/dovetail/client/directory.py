"""An agent's calls to the directory: agents, and groups of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, TypeAlias, TypedDict, Unpack

from google.protobuf.field_mask_pb2 import FieldMask

from dovetail.client.connection import Connection
from dovetail.client.message_records import AgentRecord, AgentRemoval, GroupRecord
from dovetail.client.pages import Pages
from dovetail.client.records import record
from dovetail.client.words import AgentKind, WordLike, number
from dovetail.messaging.v1 import messaging_pb2 as pb
from dovetail.messaging.v1 import messaging_pb2_grpc

Stub: TypeAlias = "messaging_pb2_grpc.MessagingServiceAsyncStub"


class AgentChanges(TypedDict, total=False):
    """What `Agent.update_agent` can set: a name for people, labels, what it is."""

    display_name: str
    labels: Mapping[str, str]
    kind: WordLike


class Directory:
    """The part of an agent that calls the directory."""

    def __init__(self, connection: Connection) -> None:
        """Call by a connection."""
        self._connection = connection
        self._call = connection.call

    @cached_property
    def _stub(self) -> Stub:
        """The stub, which opens the channel: the first call needs it."""
        return messaging_pb2_grpc.MessagingServiceStub(self._connection.channel)

    async def register(
        self,
        agent_id: str = "",
        *,
        display_name: str = "",
        labels: Mapping[str, str] | None = None,
        kind: WordLike = 0,
    ) -> AgentRecord:
        """Register an agent, by default this one; an existing agent is not changed.

        What has only read is not known to others. Any write registers this agent too.
        """
        request = pb.RegisterAgentRequest(
            agent_id=agent_id,
            display_name=display_name,
            labels=labels,
            kind=number(AgentKind, kind),
        )
        return record(AgentRecord, (await self._call(self._stub.RegisterAgent, request)).agent)

    async def agent(self, agent_id: str = "") -> AgentRecord:
        """Return one agent, by default this one."""
        request = pb.GetAgentRequest(agent_id=agent_id)
        return record(AgentRecord, (await self._call(self._stub.GetAgent, request)).agent)

    def agents(
        self,
        *,
        labels: Mapping[str, str] | None = None,
        include_removed: bool = False,
        page_size: int = 0,
        page_token: str = "",
    ) -> Pages[AgentRecord]:
        """Iterate over all agents of the team in order of id, reading page after page."""
        request = pb.ListAgentsRequest(
            labels=labels,
            include_removed=include_removed,
            page_size=page_size,
            page_token=page_token,
        )
        return Pages(
            lambda: self._call(self._stub.ListAgents, request), request, "agents", AgentRecord
        )

    async def update_agent(
        self, agent_id: str = "", *, etag: str = "", **changes: Unpack[AgentChanges]
    ) -> AgentRecord:
        """Change what is said of an agent, by default of this one: only what is named."""
        values: dict[str, Any] = {**changes}
        if "kind" in values:
            values["kind"] = number(AgentKind, values["kind"])
        request = pb.UpdateAgentRequest(
            agent=pb.Agent(agent_id=agent_id, **values),
            update_mask=FieldMask(paths=changes),
            etag=etag,
        )
        return record(AgentRecord, (await self._call(self._stub.UpdateAgent, request)).agent)

    async def remove_agent(self, agent_id: str, *, etag: str = "") -> AgentRemoval:
        """Remove an agent that has no open task; its next write registers it again.

        Its inbox stays, and goes on then. The senders of what it has not read are told.
        """
        request = pb.RemoveAgentRequest(agent_id=agent_id, etag=etag)
        return record(AgentRemoval, await self._call(self._stub.RemoveAgent, request))

    async def put_group(
        self,
        group_id: str,
        members: Iterable[str] = (),
        *,
        display_name: str = "",
        labels: Mapping[str, str] | None = None,
        etag: str = "",
    ) -> GroupRecord:
        """Make a group of these agents, or replace all of one that there is."""
        group = pb.Group(
            group_id=group_id, agent_ids=members, display_name=display_name, labels=labels
        )
        request = pb.PutGroupRequest(group=group, etag=etag)
        return record(GroupRecord, (await self._call(self._stub.PutGroup, request)).group)

    async def group(self, group_id: str) -> GroupRecord:
        """Return one group with its members."""
        request = pb.GetGroupRequest(group_id=group_id)
        return record(GroupRecord, (await self._call(self._stub.GetGroup, request)).group)

    def groups(
        self,
        member: str = "",
        *,
        labels: Mapping[str, str] | None = None,
        page_size: int = 0,
        page_token: str = "",
    ) -> Pages[GroupRecord]:
        """Iterate over the team's groups, or those of a member, without their `agent_ids`."""
        request = pb.ListGroupsRequest(
            agent_id=member, labels=labels, page_size=page_size, page_token=page_token
        )
        return Pages(
            lambda: self._call(self._stub.ListGroups, request), request, "groups", GroupRecord
        )

    async def delete_group(self, group_id: str, *, etag: str = "") -> bool:
        """Delete a group. Returns whether there was one."""
        request = pb.DeleteGroupRequest(group_id=group_id, etag=etag)
        return (await self._call(self._stub.DeleteGroup, request)).deleted
