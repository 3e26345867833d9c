"""Tasks and what belongs to them, as a caller reads them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from dovetail.client.attachments import Attachment
from dovetail.client.input_options import InputOption
from dovetail.client.records import Record
from dovetail.client.words import AttemptEnd, ReportBasis, TaskState, TaskVerb
from dovetail.tasks.v1 import tasks_pb2 as pb

JsonValue = str | float | bool | list[Any] | dict[str, Any]
"""A value of structured content that is not null."""


class Lease(Record, of=pb.Lease):
    """How long a task stays with its holder without a heartbeat."""

    duration: timedelta
    expire_time: datetime | None
    proto: pb.Lease


class TaskProgress(Record, of=pb.TaskProgress):
    """How far the work is, in percent, and what is being done."""

    percent: int
    note: str
    proto: pb.TaskProgress


class TaskQuestion(Record, of=pb.TaskQuestion):
    """What the holder asked, and which agent.

    If there is no answer until `deadline_time` it is `default_answer`; None: it waits without end.
    """

    agent_id: str
    text: str
    data: Mapping[str, Any] | None
    ask_time: datetime
    options: tuple[InputOption, ...]
    deadline_time: datetime | None
    default_answer: str
    proto: pb.TaskQuestion


class TaskAnswer(Record, of=pb.TaskAnswer):
    """The answer to the last question: the name of an `option`, other words, or both.

    `is_default`: nobody has answered in time, and it is the question's default.
    """

    text: str
    data: Mapping[str, Any] | None
    option: str
    is_default: bool
    proto: pb.TaskAnswer


class TaskResult(Record, of=pb.TaskResult):
    """What came out of a completed task: `summary` for people, `data` for programs, and files.

    `attachments` come without their bytes, which `Tasks.attachment` returns.
    """

    summary: str
    data: Mapping[str, Any] | None
    attachments: tuple[Attachment, ...]
    proto: pb.TaskResult


class TaskFailure(Record, of=pb.TaskFailure):
    """Why an attempt failed."""

    message: str
    data: Mapping[str, Any] | None
    retryable: bool
    proto: pb.TaskFailure


class TaskLink(Record, of=pb.TaskLink):
    """That a task has to do with another, and how, such as "relates_to"."""

    kind: str
    task_id: str
    proto: pb.TaskLink


class Cost(Record, of=pb.Cost):
    """An amount of money: exact decimal text, and the code of its currency."""

    amount: str
    currency: str
    proto: pb.Cost


class Usage(Record, of=pb.Usage):
    """What one attempt used, as its holder reported it."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cost: Cost | None
    model: str
    counters: Mapping[str, int]
    proto: pb.Usage


class UsageTotal(Record, of=pb.UsageTotal):
    """What attempts used in all; a cost for each currency."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int
    costs: tuple[Cost, ...]
    proto: pb.UsageTotal


class Task(Record, of=pb.Task):
    """A task as it was when a server returned it. What it does not have is None; texts are "".

    `cancel_reason` is None unless it was cancelled. `input_attachments` come without their bytes,
    which `Tasks.attachment` returns. `proto` is the task as the server sent it.
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
    links: tuple[TaskLink, ...]
    schedule_time: datetime | None
    max_attempts: int
    failed_attempts: int
    initial_backoff: timedelta | None
    last_failure: TaskFailure | None
    usage: UsageTotal | None
    tree_usage: UsageTotal | None
    max_tokens: int
    max_cost: Cost | None
    budget_spent: bool
    input_attachments: tuple[Attachment, ...]
    proto: pb.Task


class ClaimedTask(Record, of=pb.ClaimedTask):
    """A task that was claimed, with the token that proves it."""

    task: Task
    lease_token: str
    proto: pb.ClaimedTask


class Heartbeat(Record, of=pb.HeartbeatTaskResponse):
    """What a heartbeat returns: how the task is, and how many messages wait for its holder."""

    state: TaskState
    lease_expire_time: datetime | None
    unacknowledged_count: int
    budget_spent: bool
    proto: pb.HeartbeatTaskResponse


class StateCount(Record, of=pb.StateCount):
    """How many tasks are in a state."""

    state: TaskState
    count: int
    proto: pb.StateCount


class DurationSummary(Record, of=pb.DurationSummary):
    """How long something took. The lengths are None without samples."""

    sample_count: int
    average: timedelta | None
    median: timedelta | None
    p95: timedelta | None
    proto: pb.DurationSummary


class AssigneeWorkload(Record, of=pb.AssigneeWorkload):
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
    usage: UsageTotal | None
    input_required_tasks: int
    proto: pb.AssigneeWorkload


class CompletionBucket(Record, of=pb.CompletionBucket):
    """How many tasks were completed in the time that begins at `start_time`."""

    start_time: datetime
    completed_tasks: int
    proto: pb.CompletionBucket


class ReportBucket(Record, of=pb.ReportBucket):
    """How many tasks were created, and how many ended, in the time that begins at `start_time`."""

    start_time: datetime
    created_tasks: int
    completed_tasks: int
    failed_tasks: int
    cancelled_tasks: int
    proto: pb.ReportBucket


class Report(Record, of=pb.Report):
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
    usage: UsageTotal | None
    oldest_question_time: datetime | None
    sent_messages: int
    series: tuple[ReportBucket, ...]
    lists_complete_since: datetime | None
    removed_tasks: int
    proto: pb.Report


class FieldChange(Record, of=pb.FieldChange):
    """How one field of a task changed. A value is None if there was none, or if it is large."""

    field: str
    old_value: JsonValue | None
    new_value: JsonValue | None
    proto: pb.FieldChange


class TaskEvent(Record, of=pb.TaskEvent):
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
    proto: pb.TaskEvent


class LateResult(Record, of=pb.LateResult):
    """What the holder of an attempt brought after others had ended it: one of the two."""

    result: TaskResult | None
    failure: TaskFailure | None
    create_time: datetime
    proto: pb.LateResult


class TaskAttempt(Record, of=pb.TaskAttempt):
    """One time that a task was started. `end` is UNKNOWN, `end_event_number` 0 while it lasts."""

    start_event_number: int
    task_id: str
    attempt: int
    holder_id: str
    start_time: datetime
    end_time: datetime | None
    end: AttemptEnd
    end_event_number: int
    reason: str
    failure: TaskFailure | None
    progress: TaskProgress | None
    late_result: LateResult | None
    usage: Usage | None
    proto: pb.TaskAttempt
