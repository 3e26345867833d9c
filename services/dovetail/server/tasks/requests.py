"""Requests about tasks as values, with the checks of their fields; made at the edge."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from dovetail.server.edge.paging import Order
from dovetail.server.edge.validation import Checks, shown
from dovetail.server.store.idempotency import IdempotencyKey
from dovetail.server.store.tables.attachments import Attachment
from dovetail.server.store.tables.task_pages import TaskOrder
from dovetail.server.store.tables.tasks import Task, TaskFilter, TaskLink
from dovetail.server.store.tables.usage import Usage
from dovetail.server.store.transaction import MICROS

TITLE_CHARACTERS_MAX = 512
TEXT_BYTES_MAX = 64 * 1024
CONTENT_BYTES_MAX = 256 * 1024
REASON_CHARACTERS_MAX = 4_096
ETAG_CHARACTERS_MAX = 64
TOKEN_CHARACTERS_MAX = 64
UPDATABLE = (
    *("title", "description", "priority", "labels", "due_time"),
    *("schedule_time", "max_attempts", "initial_backoff", "depends_on"),
    *("parent_task_id", "links", "max_tokens", "max_cost"),
)
NOTE_CHARACTERS_MAX = 4_096
DEPENDENCIES_MAX = 100
LINKS_MAX = 32
"""Chosen: with the longest ids 24 KiB, which every list of tasks carries for each."""
LINK_KIND = re.compile("[A-Za-z0-9_.-]{1,64}")
ATTEMPTS_MAX = 1_000
ATTEMPTS_DEFAULT = 5
BACKOFF_MICROS_DEFAULT = MICROS
BACKOFF_MICROS_MAX = 24 * 3600 * MICROS
LEASE_MICROS_DEFAULT = 60 * MICROS
LEASE_MICROS_MAX = 3600 * MICROS
ACKNOWLEDGED_MAX = 1_000
SEQUENCE_MAX = 2**63 - 1
USAGE_MAX = 10**15
"""Of each number in a report of usage, and of a budget of tokens: exact in JSON, too."""


class Notify(IntEnum):
    """Whether a change writes notices."""

    ALL = 1
    NONE = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class NewTask:
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
    depends_on: tuple[str, ...] = ()
    parent_task_id: str = ""
    schedule_time: int | None = None
    max_attempts: int = 0
    initial_backoff: int | None = None
    links: tuple[TaskLink, ...] = ()
    max_tokens: int = 0
    max_cost: str = ""
    attachments: tuple[Attachment, ...] = ()

    def check(self, check: Checks, prefix: str = "") -> None:
        """Record what is wrong; the fields are named after `prefix`."""
        check.optional_id(f"{prefix}task_id", self.task_id)
        check.text(f"{prefix}title", self.title, TITLE_CHARACTERS_MAX, least=1)
        check.text_bytes(f"{prefix}description", self.description, CONTENT_BYTES_MAX)
        check.optional_id(f"{prefix}assignee_id", self.assignee_id)
        check.labels(f"{prefix}labels", self.labels)
        check.text_bytes(f"{prefix}input", self.input_json or "", CONTENT_BYTES_MAX)
        check.optional_id(f"{prefix}thread_id", self.thread_id)
        check.optional_id(f"{prefix}parent_task_id", self.parent_task_id)
        check_dependencies(check, f"{prefix}depends_on", self.depends_on)
        check.number(f"{prefix}max_attempts", self.max_attempts, 0, ATTEMPTS_MAX)
        check_backoff(check, f"{prefix}initial_backoff", self.initial_backoff or 0)
        check_links(check, f"{prefix}links", self.links, self.task_id)
        check.number(f"{prefix}max_tokens", self.max_tokens, 0, USAGE_MAX)


def check_dependencies(check: Checks, field: str, task_ids: Sequence[str]) -> None:
    """Record what is wrong with ids of dependencies."""
    check.ids(field, task_ids, DEPENDENCIES_MAX)
    if len(set(task_ids)) < len(task_ids):
        check.refuse(field, "must name each task once")


def check_links(check: Checks, field: str, links: Sequence[TaskLink], task_id: str) -> None:
    """Record what is wrong with the links of the task with this id."""
    if not check.at_most(field, links, LINKS_MAX):
        return
    for index, link in enumerate(links):
        check.id(f"{field}[{index}].task_id", link.task_id)
        if link.task_id == task_id:
            check.refuse(f"{field}[{index}].task_id", "must be another task than its own")
        if not LINK_KIND.fullmatch(link.kind):
            rule = "must be 1 to 64 letters (a to z), digits, `_`, `-` and `.`"
            check.refuse(f"{field}[{index}].kind", f"{rule}, is {shown(link.kind)}")
    if len(set(links)) < len(links):
        check.refuse(field, "must name each task once a kind")


def check_backoff(check: Checks, field: str, backoff: int) -> None:
    """Record what is wrong with a backoff, in microseconds."""
    if not 0 <= backoff <= BACKOFF_MICROS_MAX:
        check.refuse(field, f"must be 0 to 1 day, is {backoff / MICROS:g} s")


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """A lease to grant: its token, and its duration in microseconds."""

    token: str
    duration: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far work is."""

    percent: int
    note: str

    def check(self, check: Checks) -> None:
        """Record what is wrong."""
        check.number("progress.percent", self.percent, 0, 100)
        check.text("progress.note", self.note, NOTE_CHARACTERS_MAX)


@dataclass(frozen=True, kw_only=True, slots=True)
class Heartbeat:
    """What a heartbeat brings: the token of the lease, and what is new of progress and usage."""

    token: str
    progress: Progress | None
    usage: Usage | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a task ended: `text` for people, `data_json` for programs.

    A `retryable` failure may go better another time.
    """

    text: str
    data_json: str | None = None
    retryable: bool = False
    usage: Usage | None = None
    attachments: tuple[Attachment, ...] = ()

    def check(self, check: Checks, text_field: str, data_field: str) -> None:
        """Record what is wrong."""
        check.text_bytes(text_field, self.text, TEXT_BYTES_MAX)
        check.text_bytes(data_field, self.data_json or "", CONTENT_BYTES_MAX)


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskUpdate:
    """New values for the fields of a task that `paths` names; the others are ignored."""

    task_id: str
    paths: tuple[str, ...]
    title: str
    description: str
    priority: int
    labels: Mapping[str, str]
    due_time: int | None
    schedule_time: int | None = None
    max_attempts: int = 0
    initial_backoff: int = 0
    depends_on: tuple[str, ...] = ()
    parent_task_id: str = ""
    links: tuple[TaskLink, ...] = ()
    max_tokens: int = 0
    max_cost: str = ""

    def check(self, check: Checks) -> None:
        """Record what is wrong."""
        self._check_mask(check)
        self._check_relations(check)
        if "title" in self.paths:
            check.text("task.title", self.title, TITLE_CHARACTERS_MAX, least=1)
        if "description" in self.paths:
            check.text_bytes("task.description", self.description, CONTENT_BYTES_MAX)
        if "labels" in self.paths:
            check.labels("task.labels", self.labels)
        for path, least, most in (("max_attempts", 1, ATTEMPTS_MAX), ("max_tokens", 0, USAGE_MAX)):
            if path in self.paths:
                check.number(f"task.{path}", getattr(self, path), least, most)
        if "initial_backoff" in self.paths:
            check_backoff(check, "task.initial_backoff", self.initial_backoff)

    def _check_mask(self, check: Checks) -> None:
        if not self.paths:
            check.refuse("update_mask", f"must name one or more of {', '.join(UPDATABLE)}")
        for path in self.paths:
            if path not in UPDATABLE:
                known = ", ".join(UPDATABLE)
                check.refuse("update_mask", f"{shown(path)} cannot be updated, only {known}")

    def _check_relations(self, check: Checks) -> None:
        if "depends_on" in self.paths:
            check_dependencies(check, "task.depends_on", self.depends_on)
        if "parent_task_id" in self.paths:
            check.optional_id("task.parent_task_id", self.parent_task_id)
        if "links" in self.paths:
            check_links(check, "task.links", self.links, self.task_id)

    def apply(self, task: Task) -> Task:
        """The task with its new values."""
        changed = replace(task, **{path: getattr(self, path) for path in self.paths})
        if changed.due_time != task.due_time:
            changed = replace(changed, overdue_told=False)
        if (changed.max_tokens, changed.max_cost) != (task.max_tokens, task.max_cost):
            changed = replace(changed, budget_told=False)
        return changed


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeOptions:
    """What every change of a task takes. `acknowledge` are sequences in the caller's inbox."""

    etag: str = ""
    notify: Notify = Notify.ALL
    repeat: IdempotencyKey | None = None
    force: bool = False
    cascade: bool = False
    reason: str = ""
    lease_token: str = ""
    acknowledge: Sequence[int] = ()

    def check(self, check: Checks, prefix: str = "") -> None:
        """Record what is wrong; the fields are named after `prefix`."""
        check.text(f"{prefix}lease_token", self.lease_token, TOKEN_CHARACTERS_MAX)
        field = f"{prefix}acknowledge_sequences"
        if check.at_most(field, self.acknowledge, ACKNOWLEDGED_MAX):
            for index, sequence in enumerate(self.acknowledge):
                check.number(f"{field}[{index}]", sequence, 1, SEQUENCE_MAX)
        check.text(f"{prefix}etag", self.etag, ETAG_CHARACTERS_MAX)
        check.text(f"{prefix}reason", self.reason, REASON_CHARACTERS_MAX)
        request_id = self.repeat.request_id if self.repeat else ""
        check.optional_id(f"{prefix}request_id", request_id)


@dataclass(frozen=True, kw_only=True, slots=True)
class Completion:
    """One of several tasks to complete."""

    task_id: str
    outcome: Outcome
    options: ChangeOptions


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskQuery:
    """Which tasks to list, in which order, and after which key the page begins."""

    filter: TaskFilter
    order: Order
    by: TaskOrder
    after: int | tuple[int, int] | None


def check_filter(check: Checks, filter: TaskFilter) -> None:
    """Record what is wrong with a filter; its enums and times were checked when they were read."""
    check.ids("filter.assignee_ids", filter.assignee_ids)
    check.ids("filter.creator_ids", filter.creator_ids)
    check.labels("filter.labels", filter.labels)
    check.optional_id("filter.thread_id", filter.thread_id)
    check.optional_id("filter.parent_task_id", filter.parent_task_id)
    check.optional_id("filter.linked_task_id", filter.linked_task_id)


def check_lease(check: Checks, duration: int, shortest: int) -> None:
    """Record what is wrong with the duration of a lease, in microseconds."""
    if not shortest <= duration <= LEASE_MICROS_MAX:
        check.refuse(
            "lease_duration",
            f"must be {shortest / MICROS:g} s to 1 h, is {duration / MICROS:g} s",
        )
