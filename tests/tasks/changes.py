"""What a change made of a task."""

from __future__ import annotations

from google.protobuf.json_format import MessageToDict

from dovetail.tasks.v1 import tasks_pb2 as pb


def changed_fields(before: pb.Task, after: pb.Task) -> set[str]:
    """The names of the fields in which two tasks differ, set or unset."""
    one, other = (MessageToDict(task, preserving_proto_field_name=True) for task in (before, after))
    return {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)}
