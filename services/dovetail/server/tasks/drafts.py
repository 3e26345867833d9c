"""What callers ask for of a task, and the checks of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum

from dovetail.server.checks import Checks, shown
from dovetail.server.store.records import Repeat, Task, TaskFilter, TaskState

TITLE_CHARACTERS = 512
TEXT_BYTES = 64 * 1024
CONTENT_BYTES = 256 * 1024
REASON_CHARACTERS = 4_096
ETAG_CHARACTERS = 64
UPDATABLE = ("title", "description", "priority", "labels", "due_time")


class Notify(IntEnum):
    """Who is told of a change."""

    ALL = 1
    NONE = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """A task to be made. An empty `task_id` has the server make one."""

    task_id: str
    title: str
    description: str
    assignee_id: str
    priority: int
    labels: Mapping[str, str]
    input_json: str | None
    due_time: int | None
    thread_id: str

    def check(self, check: Checks) -> None:
        """Record what is wrong."""
        check.optional_id("task_id", self.task_id)
        check.text("title", self.title, TITLE_CHARACTERS, least=1)
        check.content("description", self.description, CONTENT_BYTES)
        check.optional_id("assignee_id", self.assignee_id)
        check.labels("labels", self.labels)
        check.content("input", self.input_json or "", CONTENT_BYTES)
        check.optional_id("thread_id", self.thread_id)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a task ended: `text` for people, `data_json` for programs."""

    text: str
    data_json: str | None = None

    def check(self, check: Checks, text_field: str, data_field: str) -> None:
        """Record what is wrong."""
        check.content(text_field, self.text, TEXT_BYTES)
        check.content(data_field, self.data_json or "", CONTENT_BYTES)


@dataclass(frozen=True, kw_only=True, slots=True)
class Update:
    """New values for the fields that `paths` names; the others do not count."""

    paths: tuple[str, ...]
    title: str
    description: str
    priority: int
    labels: Mapping[str, str]
    due_time: int | None

    def check(self, check: Checks) -> None:
        """Record what is wrong."""
        if not self.paths:
            check.refuse("update_mask", f"must name one or more of {', '.join(UPDATABLE)}")
        for path in self.paths:
            if path not in UPDATABLE:
                known = ", ".join(UPDATABLE)
                check.refuse("update_mask", f"{shown(path)} cannot be updated, only {known}")
        if "title" in self.paths:
            check.text("task.title", self.title, TITLE_CHARACTERS, least=1)
        if "description" in self.paths:
            check.content("task.description", self.description, CONTENT_BYTES)
        if "labels" in self.paths:
            check.labels("task.labels", self.labels)

    def apply(self, task: Task) -> Task:
        """The task with its new values."""
        return replace(task, **{path: getattr(self, path) for path in self.paths})


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What every change of a task takes."""

    etag: str = ""
    notify: int = Notify.ALL
    repeat: Repeat | None = None
    force: bool = False
    reason: str = ""

    def check(self, check: Checks) -> None:
        """Record what is wrong."""
        check.text("etag", self.etag, ETAG_CHARACTERS)
        check.enum("notify", self.notify, Notify)
        check.text("reason", self.reason, REASON_CHARACTERS)
        check.optional_id("request_id", self.repeat.request_id if self.repeat else "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """Which tasks to list."""

    filter: TaskFilter
    order: int


def check_filter(check: Checks, filter: TaskFilter) -> None:
    """Record what is wrong with a filter."""
    check.enums("filter.states", filter.states, TaskState)
    check.ids("filter.assignee_ids", filter.assignee_ids)
    check.ids("filter.creator_ids", filter.creator_ids)
    check.labels("filter.labels", filter.labels)
    check.span("filter.create_time", filter.create_time_from, filter.create_time_until)
    check.span("filter.end_time", filter.end_time_from, filter.end_time_until)
