"""What a change made of a task."""

from __future__ import annotations

from typing import Any

from dovetail.tasks.v1 import tasks_pb2 as pb


def changed_fields(before: pb.Task, after: pb.Task) -> set[str]:
    """The names of the fields in which two tasks differ, set or unset."""
    names = (field.name for field in pb.Task.DESCRIPTOR.fields)
    return {name for name in names if _field(before, name) != _field(after, name)}


def _field(task: pb.Task, name: str) -> Any:
    field: Any = pb.Task.DESCRIPTOR.fields_by_name[name]
    present = not field.has_presence or task.HasField(field.name)
    return getattr(task, name) if present else None
