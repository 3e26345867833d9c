"""Groups on the wire: requests to values, values to responses. For the servicer only."""

from __future__ import annotations

from dovetail.messaging.v1 import messaging_pb2 as pb
from dovetail.server.edge.convert import timestamp
from dovetail.server.edge.validation import Checks
from dovetail.server.messaging.groups import GroupDraft, GroupMembers
from dovetail.server.messaging.reading import DISPLAY_NAME_CHARACTERS_MAX
from dovetail.server.store.tables.groups import MEMBERS_MAX


def read_group(check: Checks, group: pb.Group) -> GroupDraft:
    """A group as it is to be."""
    labels = dict(group.labels)
    check.id("group.group_id", group.group_id)
    check.text("group.display_name", group.display_name, DISPLAY_NAME_CHARACTERS_MAX)
    check.labels("group.labels", labels)
    check.ids("group.agent_ids", group.agent_ids, MEMBERS_MAX)
    return GroupDraft(
        group_id=group.group_id,
        display_name=group.display_name,
        labels=labels,
        agent_ids=list(group.agent_ids),
    )


def group_proto(found: GroupMembers) -> pb.Group:
    """A group, with its members where they were asked for."""
    group = found.group
    return pb.Group(
        group_id=group.group_id,
        display_name=group.display_name,
        labels=group.labels,
        agent_ids=found.agent_ids or (),
        agent_count=group.agent_count,
        creator_id=group.creator_id,
        create_time=timestamp(group.create_time),
        update_time=timestamp(group.update_time),
        etag=group.etag,
    )
