"""Tasks and what belongs to them, as a caller reads them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from dovetail.client.records import record_of
from dovetail.client.words import ReportBasis, TaskState, TaskVerb
from dovetail.tasks.v1 import tasks_pb2 as pb

JsonValue = str | float | bool | list[Any] | dict[str, Any]
"""A value of structured content that is not null."""


@record_of(pb.Lease)
@dataclass(frozen=True, kw_only=True)
class Lease:
    """How long a task stays with its holder without a heartbeat."""

    duration: timedelta
    expire_time: datetime | None
    proto: pb.Lease = field(repr=False, compare=False)


@record_of(pb.TaskProgress)
@dataclass(frozen=True, kw_only=True)
class TaskProgress:
    """How far the work is, in percent, and what is being done."""

    percent: int
    note: str
    proto: pb.TaskProgress = field(repr=False, compare=False)


@record_of(pb.TaskQuestion)
@dataclass(frozen=True, kw_only=True)
class TaskQuestion:
    """What the holder asked, and which agent."""

    agent_id: str
    text: str
    data: Mapping[str, Any] | None
    ask_time: datetime
    proto: pb.TaskQuestion = field(repr=False, compare=False)


@record_of(pb.TaskAnswer)
@dataclass(frozen=True, kw_only=True)
class TaskAnswer:
    """The answer to the last question."""

    text: str
    data: Mapping[str, Any] | None
    proto: pb.TaskAnswer = field(repr=False, compare=False)


@record_of(pb.TaskResult)
@dataclass(frozen=True, kw_only=True)
class TaskResult:
    """What came out of a completed task: `summary` for people, `data` for programs."""

    summary: str
    data: Mapping[str, Any] | None
    proto: pb.TaskResult = field(repr=False, compare=False)


@record_of(pb.TaskFailure)
@dataclass(frozen=True, kw_only=True)
class TaskFailure:
    """Why an attempt failed."""

    message: str
    data: Mapping[str, Any] | None
    retryable: bool
    proto: pb.TaskFailure = field(repr=False, compare=False)


@record_of(pb.Task)
@dataclass(frozen=True, kw_only=True)
class Task:
    """A task as it was when a server returned it. What it does not have is None; texts are "".

    `cancel_reason` is None unless it was cancelled. `proto` is the task as the server sent it.
    """

    task_id: str
    title: str
    description: str
    state: TaskState
    assignee_id: str
    creator_id: str
    priority: int
    labels: Mapping[str, str]
    thread_id: str
    input: Mapping[str, Any] | None
    result: TaskResult | None
    failure: TaskFailure | None
    cancel_reason: str | None
    attempt: int
    create_time: datetime
    update_time: datetime
    assign_time: datetime | None
    start_time: datetime | None
    end_time: datetime | None
    due_time: datetime | None
    etag: str
    progress: TaskProgress | None
    question: TaskQuestion | None
    answer: TaskAnswer | None
    lease: Lease | None
    pooled: bool
    depends_on: tuple[str, ...]
    parent_task_id: str
    waiting_for_count: int
    schedule_time: datetime | None
    max_attempts: int
    failed_attempts: int
    initial_backoff: timedelta | None
    last_failure: TaskFailure | None
    proto: pb.Task = field(repr=False, compare=False)


@record_of(pb.ClaimedTask)
@dataclass(frozen=True, kw_only=True)
class ClaimedTask:
    """A task that was claimed, with the token that proves it."""

    task: Task
    lease_token: str
    proto: pb.ClaimedTask = field(repr=False, compare=False)


@record_of(pb.HeartbeatTaskResponse)
@dataclass(frozen=True, kw_only=True)
class Heartbeat:
    """What a heartbeat returns: how the task is, and how many messages wait for its holder."""

    state: TaskState
    lease_expire_time: datetime | None
    unacknowledged_count: int
    proto: pb.HeartbeatTaskResponse = field(repr=False, compare=False)


@record_of(pb.StateCount)
@dataclass(frozen=True, kw_only=True)
class StateCount:
    """How many tasks are in a state."""

    state: TaskState
    count: int
    proto: pb.StateCount = field(repr=False, compare=False)


@record_of(pb.DurationSummary)
@dataclass(frozen=True, kw_only=True)
class DurationSummary:
    """How long something took. The lengths are None without samples."""

    sample_count: int
    average: timedelta | None
    median: timedelta | None
    p95: timedelta | None
    proto: pb.DurationSummary = field(repr=False, compare=False)


@record_of(pb.AssigneeWorkload)
@dataclass(frozen=True, kw_only=True)
class AssigneeWorkload:
    """What one agent has to do, and has done."""

    assignee_id: str
    total_tasks: int
    open_tasks: int
    in_progress_tasks: int
    completed_tasks: int
    failed_tasks: int
    cancelled_tasks: int
    average_task_time: timedelta | None
    oldest_open_create_time: datetime | None
    unacknowledged_messages: int
    average_acknowledge_time: timedelta | None
    input_required_tasks: int
    proto: pb.AssigneeWorkload = field(repr=False, compare=False)


@record_of(pb.CompletionBucket)
@dataclass(frozen=True, kw_only=True)
class CompletionBucket:
    """How many tasks were completed in the time that begins at `start_time`."""

    start_time: datetime
    completed_tasks: int
    proto: pb.CompletionBucket = field(repr=False, compare=False)


@record_of(pb.ReportBucket)
@dataclass(frozen=True, kw_only=True)
class ReportBucket:
    """How many tasks were created, and how many ended, in the time that begins at `start_time`."""

    start_time: datetime
    created_tasks: int
    completed_tasks: int
    failed_tasks: int
    cancelled_tasks: int
    proto: pb.ReportBucket = field(repr=False, compare=False)


@record_of(pb.Report)
@dataclass(frozen=True, kw_only=True)
class Report:
    """Totals, times and workload over tasks."""

    total_tasks: int
    states: tuple[StateCount, ...]
    completed_tasks: int
    average_task_time: timedelta | None
    task_time: DurationSummary | None
    queue_time: DurationSummary | None
    input_wait_time: DurationSummary | None
    assignees: tuple[AssigneeWorkload, ...]
    completions: tuple[CompletionBucket, ...]
    basis: ReportBasis
    report_time: datetime
    total_assignees: int
    oldest_question_time: datetime | None
    sent_messages: int
    series: tuple[ReportBucket, ...]
    proto: pb.Report = field(repr=False, compare=False)


@record_of(pb.FieldChange)
@dataclass(frozen=True, kw_only=True)
class FieldChange:
    """How one field of a task changed. A value is None if there was none, or if it is large."""

    field: str
    old_value: JsonValue | None
    new_value: JsonValue | None
    proto: pb.FieldChange = dataclasses.field(repr=False, compare=False)


@record_of(pb.TaskEvent)
@dataclass(frozen=True, kw_only=True)
class TaskEvent:
    """One change in the history of a task.

    `from_state` is UNKNOWN for the creation; `message_id` is the message that told of it, or "".
    """

    event_number: int
    task_id: str
    generation: int
    verb: TaskVerb
    actor_id: str
    create_time: datetime
    from_state: TaskState
    to_state: TaskState
    assignee_id: str
    former_assignee_id: str
    reason: str
    attempt: int
    changes: tuple[FieldChange, ...]
    message_id: str
    proto: pb.TaskEvent = field(repr=False, compare=False)
