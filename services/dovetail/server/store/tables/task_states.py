"""The states of tasks."""

from __future__ import annotations

from enum import IntEnum


class TaskState(IntEnum):
    """The states of a task."""

    PENDING = 1
    IN_PROGRESS = 2
    INPUT_REQUIRED = 3
    COMPLETED = 4
    FAILED = 5
    CANCELLED = 6


OPEN_STATES = (TaskState.PENDING, TaskState.IN_PROGRESS, TaskState.INPUT_REQUIRED)
HELD_STATES = (TaskState.IN_PROGRESS, TaskState.INPUT_REQUIRED)
"""In these an attempt lasts."""
