"""What a change did to the fields of a task, for its event: names, old and new values.

A state, an assignee and an attempt are columns of an event; questions, answers and outcomes are in
the messages that tell of them. What is left is listed here.
"""

from __future__ import annotations

import json
from typing import Any

from dovetail.server.store.tables.tasks import Task

VALUE_CHARACTERS_MAX = 1_024
"""A larger value is not kept: the history of a task must not grow by its description."""

FieldChange = tuple[str, Any, Any]
"""A field, its old and its new value as JSON. None: it was unset, or its value is too large."""


_FIELDS = {
    "title": "title",
    "description": "description",
    "priority": "priority",
    "labels": "labels",
    "due_time": "due_time",
    "schedule_time": "schedule_time",
    "max_attempts": "max_attempts",
    "initial_backoff": "initial_backoff",
    "depends_on": "depends_on",
    "parent_task_id": "parent_task_id",
    "links": "links",
    "progress_percent": "progress.percent",
    "progress_note": "progress.note",
}
"""The fields of the contract that are listed, by attribute of Task."""

LINKS = "links"
TIMES = frozenset({"due_time", "schedule_time"})
DURATIONS = frozenset({"initial_backoff"})
"""Fields whose values are stored in microseconds."""


def field_changes(before: Task, after: Task) -> str | None:
    """The fields that differ, as the JSON text of an event; None if none does."""
    found: list[FieldChange] = []
    for attribute, name in _FIELDS.items():
        old, new = getattr(before, attribute), getattr(after, attribute)
        if old != new:
            if name == LINKS:
                old, new = ([each._asdict() for each in links] for links in (old, new))
            found.append((name, _kept(old), _kept(new)))
    return json.dumps(found, ensure_ascii=False) if found else None


def read_changes(text: str | None) -> list[FieldChange]:
    """The changes of an event."""
    return [(name, old, new) for name, old, new in json.loads(text)] if text else []


def _kept(value: Any) -> Any:
    is_small = len(json.dumps(value, ensure_ascii=False)) <= VALUE_CHARACTERS_MAX
    return value if is_small else None
