"""Which tasks and messages a call is about, as keywords, and as filters of the contract."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, TypedDict, TypeVar

from dovetail.client.values import timestamp
from dovetail.client.words import (
    Importance,
    MessageKind,
    TaskState,
    TaskVerb,
    Word,
    WordLike,
    number,
    numbers,
)
from dovetail.messaging.v1 import messaging_pb2 as talk
from dovetail.tasks.v1 import tasks_pb2 as pb
from dovetail.types.v1 import types_pb2

T = TypeVar("T")

Ids = str | Iterable[str]
"""One id, or several."""


class TaskChoice(TypedDict, total=False):
    """Which tasks: those that match all of these. A list of words or ids matches any of them.

    It must not be empty: leave out what is to choose all. `unassigned` with `assignee` matches
    either.

    Times have a zone; `…_since` is inclusive and `…_before` exclusive. `filter` is a filter of the
    generated code, to which the others are added.
    """

    states: WordLike | Iterable[WordLike] | None
    assignee: Ids | None
    unassigned: bool
    creator: Ids | None
    labels: Mapping[str, str]
    parent_task_id: str
    linked_task_id: str
    thread_id: str
    created_since: datetime
    created_before: datetime
    updated_since: datetime
    updated_before: datetime
    ended_since: datetime
    ended_before: datetime
    filter: pb.TaskFilter | None


class EventChoice(TypedDict, total=False):
    """Which events of the history: those that match all of these, as in TaskChoice."""

    task_id: str
    actor: Ids | None
    verbs: WordLike | Iterable[WordLike] | None
    created_since: datetime
    created_before: datetime


class MessageChoice(TypedDict, total=False):
    """Which messages: those that match all of these, as in TaskChoice."""

    sender: Ids | None
    thread_id: str
    task_id: str
    kinds: WordLike | Iterable[WordLike] | None
    minimum_importance: WordLike
    labels: Mapping[str, str]
    created_since: datetime
    created_before: datetime
    filter: talk.MessageFilter | None


def task_filter(choice: TaskChoice) -> pb.TaskFilter | None:
    """The filter of a choice; None if it chooses all."""
    refuse_unknown(TaskChoice, choice)
    chosen = pb.TaskFilter(
        states=_words(choice, "states", TaskState),
        assignee_ids=_ids(choice, "assignee"),
        unassigned=choice.get("unassigned", False),
        creator_ids=_ids(choice, "creator"),
        labels=choice.get("labels"),
        create_time=_range(choice, "created"),
        end_time=_range(choice, "ended"),
        update_time=_range(choice, "updated"),
        thread_id=choice.get("thread_id", ""),
        linked_task_id=choice.get("linked_task_id", ""),
        parent_task_id=choice.get("parent_task_id", ""),
    )
    if given := choice.get("filter"):
        chosen.MergeFrom(given)
    return chosen if chosen.ByteSize() else None


def event_filter(choice: EventChoice) -> pb.TaskEventFilter | None:
    """The filter of a choice; None if it chooses all."""
    refuse_unknown(EventChoice, choice)
    chosen = pb.TaskEventFilter(
        task_id=choice.get("task_id", ""),
        actor_ids=_ids(choice, "actor"),
        verbs=_words(choice, "verbs", TaskVerb),
        create_time=_range(choice, "created"),
    )
    return chosen if chosen.ByteSize() else None


def message_filter(choice: MessageChoice) -> talk.MessageFilter | None:
    """The filter of a choice; None if it chooses all."""
    refuse_unknown(MessageChoice, choice)
    chosen = talk.MessageFilter(
        sender_ids=_ids(choice, "sender"),
        thread_id=choice.get("thread_id", ""),
        task_id=choice.get("task_id", ""),
        kinds=_words(choice, "kinds", MessageKind),
        minimum_importance=number(Importance, choice.get("minimum_importance", 0)),
        labels=choice.get("labels"),
        create_time=_range(choice, "created"),
    )
    if given := choice.get("filter"):
        chosen.MergeFrom(given)
    return chosen if chosen.ByteSize() else None


def refuse_unknown(options: Any, given: Iterable[str]) -> None:
    """Raise TypeError for a keyword that a TypedDict does not have: at run time it takes any."""
    known: list[str] = [*options.__annotations__]
    for name in given:
        if name not in known:
            from difflib import get_close_matches  # For this alone.

            near = get_close_matches(name, known, 1, 0.5)
            hint = f": did you mean {near[0]!r}?" if near else f". There are: {', '.join(known)}"
            raise TypeError(f"{name!r} is not one of {options.__name__}{hint}")


def _ids(choice: Any, name: str) -> list[str]:
    given: Ids | None = choice.get(name)
    return [] if given is None else _some(name, [given] if isinstance(given, str) else [*given])


def _words(choice: Any, name: str, kind: type[Word]) -> list[Any]:
    given: WordLike | Iterable[WordLike] | None = choice.get(name)
    return [] if given is None else _some(name, numbers(kind, given))


def _some(name: str, chosen: list[T]) -> list[T]:
    """A list that is not empty: to the servers an empty one would mean all."""
    if not chosen:
        raise ValueError(f"{name} is empty: it would choose nothing. To choose all, leave it out")
    return chosen


def _range(choice: Any, name: str) -> types_pb2.TimeRange | None:
    start, end = choice.get(f"{name}_since"), choice.get(f"{name}_before")
    if start is None and end is None:
        return None
    return types_pb2.TimeRange(start_time=timestamp(start), end_time=timestamp(end))
