"""What hangs on a message and on a task: all that must go before it may go.

A table with rows for messages or tasks belongs here, and nowhere else. Each statement takes the
keys of what is removed and must find its rows by an index: it runs where all other writers wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from dovetail.server.store.keyed import clearing, removing
from dovetail.server.store.schema import (
    DeliveryRow,
    MessageAttachmentRow,
    MessageRow,
    TaskAttachmentRow,
    TaskAttemptRow,
    TaskDependencyRow,
    TaskEventRow,
    TaskLinkRow,
    TaskRow,
)
from dovetail.server.store.statements import Change, Key, RowStatement


class Removed(NamedTuple):
    """A task that is removed: the two ways in which other rows name it."""

    task_id: str
    number: int


OF_MESSAGE: tuple[RowStatement, ...] = (
    # The event of a notice goes on without it.
    clearing(TaskEventRow.message_number, TaskEventRow.team_id, TaskEventRow.message_number),
    removing(DeliveryRow.team_id, DeliveryRow.message_number),
    removing(MessageAttachmentRow.team_id, MessageAttachmentRow.message_number),
    removing(MessageRow.team_id, MessageRow.number),
)
"""By the team and the number of the message, in this order.

What was handed out (`handouts`) is in spans of an inbox, and goes in `messages.py`; words are in an
index of their own (`tables/search.py`). A deadline (`message_deadlines`) ends by itself, at its
time, and so does the hour of a thread.
"""

OF_TASK: tuple[RowStatement, ...] = (
    removing(TaskDependencyRow.team_id, TaskDependencyRow.task_id),
    removing(TaskDependencyRow.team_id, TaskDependencyRow.depends_on_id),
    removing(TaskLinkRow.team_id, TaskLinkRow.linked_task_id),
    removing(TaskEventRow.team_id, TaskEventRow.task_id),
    removing(TaskAttemptRow.team_id, TaskAttemptRow.task_id),
    removing(TaskAttachmentRow.team_id, TaskAttachmentRow.task_id),
)
"""By the team and the id of the task.

A task with an open row in `task_follow_ups` is not removed, so none goes with it.
"""

OF_TASK_NUMBER: tuple[RowStatement, ...] = (removing(TaskLinkRow.team_id, TaskLinkRow.number),)
"""By the team and the number of the task."""

_TASK = removing(TaskRow.team_id, TaskRow.task_id)

OF_ATTEMPT: tuple[RowStatement, ...] = (
    # What is the task's result stays with the task.
    removing(
        TaskAttachmentRow.team_id,
        TaskAttachmentRow.task_id,
        TaskAttachmentRow.start_event,
        unless="""SELECT 1 FROM "tasks" AS k WHERE k."team_id" = t."team_id"
            AND k."task_id" = t."task_id" AND k."start_event" = t."start_event"
            AND k."outcome_attachments" <> ''""",
    ),
    removing(TaskAttemptRow.team_id, TaskAttemptRow.task_id, TaskAttemptRow.start_event),
)
"""By the team, the id of the task, and the event that began the attempt."""


def message_changes(keys: Sequence[Key]) -> list[Change]:
    """What removes the messages of these keys, and all that hangs on them."""
    return [(statement, keys) for statement in OF_MESSAGE]


def attempt_changes(keys: Sequence[Key]) -> list[Change]:
    """What removes the attempts of these keys, and all that hangs on them."""
    return [(statement, keys) for statement in OF_ATTEMPT]


def task_changes(team_id: str, removed: Sequence[Removed]) -> list[Change]:
    """What removes these tasks, and all that hangs on them."""
    ids = [(team_id, each.task_id) for each in removed]
    numbers = [(team_id, each.number) for each in removed]
    return [
        *((statement, numbers) for statement in OF_TASK_NUMBER),
        *((statement, ids) for statement in (*OF_TASK, _TASK)),
    ]
