"""Which tasks a listing, a claim, a search or a report is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

from dovetail.server.store.filters import EVER, TimeRange
from dovetail.server.store.tables.task_states import TaskState


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskFilter:
    """Which tasks: each condition that is set must hold."""

    states: Sequence[TaskState] = ()
    assignee_ids: Sequence[str] = ()
    unassigned: bool = False
    creator_ids: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    create_time: TimeRange = EVER
    end_time: TimeRange = EVER
    update_time: TimeRange = EVER
    thread_id: str = ""
    parent_task_id: str = ""
    linked_task_id: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether no condition is set."""
        values = (getattr(self, each.name) for each in fields(self))
        return not any(value for value in values if value != EVER)
