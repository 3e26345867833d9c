"""Which tasks and messages a call is about, as keywords, and as filters of the contract."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, TypedDict

from dovetail.client.values import timestamp
from dovetail.client.words import (
    Importance,
    MessageKind,
    TaskState,
    TaskVerb,
    WordLike,
    number,
    numbers,
)
from dovetail.messaging.v1 import messaging_pb2 as talk
from dovetail.tasks.v1 import tasks_pb2 as pb
from dovetail.types.v1 import types_pb2

Ids = str | Iterable[str]
"""One id, or several."""


class TaskChoice(TypedDict, total=False):
    """Which tasks: those that match all of these. A list of words or ids matches any of them.

    Times have a zone; `…_since` is inclusive and `…_before` exclusive. `filter` is a filter of the
    generated code, to which the others are added.
    """

    states: WordLike | Iterable[WordLike]
    assignee: Ids
    unassigned: bool
    creator: Ids
    labels: Mapping[str, str]
    parent_task_id: str
    created_since: datetime
    created_before: datetime
    ended_since: datetime
    ended_before: datetime
    filter: pb.TaskFilter | None


class EventChoice(TypedDict, total=False):
    """Which events of the history: those that match all of these, as in TaskChoice."""

    task_id: str
    actor: Ids
    verbs: WordLike | Iterable[WordLike]
    created_since: datetime
    created_before: datetime


class MessageChoice(TypedDict, total=False):
    """Which messages: those that match all of these, as in TaskChoice."""

    sender: Ids
    thread_id: str
    task_id: str
    kinds: WordLike | Iterable[WordLike]
    minimum_importance: WordLike
    labels: Mapping[str, str]
    created_since: datetime
    created_before: datetime
    filter: talk.MessageFilter | None


def task_filter(choice: TaskChoice) -> pb.TaskFilter | None:
    """The filter of a choice; None if it chooses all."""
    chosen = pb.TaskFilter(
        states=numbers(TaskState, choice.get("states", ())),
        assignee_ids=_ids(choice.get("assignee", ())),
        unassigned=choice.get("unassigned", False),
        creator_ids=_ids(choice.get("creator", ())),
        labels=choice.get("labels"),
        create_time=_range(choice, "created"),
        end_time=_range(choice, "ended"),
        parent_task_id=choice.get("parent_task_id", ""),
    )
    if given := choice.get("filter"):
        chosen.MergeFrom(given)
    return chosen if chosen.ByteSize() else None


def event_filter(choice: EventChoice) -> pb.TaskEventFilter | None:
    """The filter of a choice; None if it chooses all."""
    chosen = pb.TaskEventFilter(
        task_id=choice.get("task_id", ""),
        actor_ids=_ids(choice.get("actor", ())),
        verbs=numbers(TaskVerb, choice.get("verbs", ())),
        create_time=_range(choice, "created"),
    )
    return chosen if chosen.ByteSize() else None


def message_filter(choice: MessageChoice) -> talk.MessageFilter | None:
    """The filter of a choice; None if it chooses all."""
    chosen = talk.MessageFilter(
        sender_ids=_ids(choice.get("sender", ())),
        thread_id=choice.get("thread_id", ""),
        task_id=choice.get("task_id", ""),
        kinds=numbers(MessageKind, choice.get("kinds", ())),
        minimum_importance=number(Importance, choice.get("minimum_importance", 0)),
        labels=choice.get("labels"),
        create_time=_range(choice, "created"),
    )
    if given := choice.get("filter"):
        chosen.MergeFrom(given)
    return chosen if chosen.ByteSize() else None


def _ids(given: Ids) -> list[str]:
    return [given] if isinstance(given, str) else list(given)


def _range(choice: Any, name: str) -> types_pb2.TimeRange | None:
    start, end = choice.get(f"{name}_since"), choice.get(f"{name}_before")
    if start is None and end is None:
        return None
    return types_pb2.TimeRange(start_time=timestamp(start), end_time=timestamp(end))
