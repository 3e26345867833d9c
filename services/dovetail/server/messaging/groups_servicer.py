"""Groups of MessagingService on the wire: a part of `servicer.py`, with the same duties."""

from __future__ import annotations

from grpc.aio import ServicerContext

from dovetail.messaging.v1 import messaging_pb2 as pb
from dovetail.messaging.v1 import messaging_pb2_grpc as pb_grpc
from dovetail.server.access.caller import current_caller
from dovetail.server.edge.convert import read_paging
from dovetail.server.edge.validation import Checks
from dovetail.server.messaging.groups import Groups, list_request
from dovetail.server.messaging.groups_wire import group_proto, read_group

Context = ServicerContext[object, object]


class GroupsServicer(pb_grpc.MessagingServiceServicer):
    """Translates between the contract and the rules of groups."""

    def __init__(self, groups: Groups) -> None:
        """Serve these rules."""
        self._groups = groups

    async def PutGroup(self, request: pb.PutGroupRequest, context: Context) -> pb.PutGroupResponse:
        """Make a group, or replace it."""
        with Checks() as check:
            draft = read_group(check, request.group)
        group, created = await self._groups.put(current_caller.get(), draft, request.etag)
        return pb.PutGroupResponse(group=group_proto(group), created=created)

    async def GetGroup(self, request: pb.GetGroupRequest, context: Context) -> pb.GetGroupResponse:
        """Return one group with its members."""
        with Checks() as check:
            check.id("group_id", request.group_id)
        group = await self._groups.get(current_caller.get(), request.group_id)
        return pb.GetGroupResponse(group=group_proto(group))

    async def ListGroups(
        self, request: pb.ListGroupsRequest, context: Context
    ) -> pb.ListGroupsResponse:
        """Return a page of groups."""
        caller = current_caller.get()
        paging, labels = read_paging(caller.team_id, request), dict(request.labels)
        with Checks() as check:
            check.optional_id("agent_id", request.agent_id)
            check.labels("labels", labels)
            after = paging.after_id(check)
        asked = list_request(request.agent_id, labels, after, paging)
        page, token = await self._groups.page(caller, asked, paging)
        return pb.ListGroupsResponse(groups=map(group_proto, page), next_page_token=token)

    async def DeleteGroup(
        self, request: pb.DeleteGroupRequest, context: Context
    ) -> pb.DeleteGroupResponse:
        """Remove a group."""
        with Checks() as check:
            check.id("group_id", request.group_id)
        deleted = await self._groups.delete(current_caller.get(), request.group_id, request.etag)
        return pb.DeleteGroupResponse(deleted=deleted)
