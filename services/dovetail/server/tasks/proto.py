"""Writes responses about tasks: values to protobuf. For the servicer only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct, Value

from dovetail.server.edge.convert import (
    converted,
    optional_duration,
    optional_struct,
    optional_timestamp,
    receipt_message,
    timestamp,
)
from dovetail.server.edge.statuses import STATUS_CODES
from dovetail.server.errors import DovetailError
from dovetail.server.store.tables import input_options
from dovetail.server.store.tables.events import TaskEvent
from dovetail.server.store.tables.message_bytes import message_id
from dovetail.server.store.tables.reports import Bucket, DurationSummary, Report, Workload
from dovetail.server.store.tables.tasks import OPEN_STATES, Task, TaskState
from dovetail.server.store.tables.usage import UsageTotal, decode_cost, sum_of
from dovetail.server.tasks.attachments_wire import stored_files
from dovetail.server.tasks.changes import COSTS, DURATIONS, TIMES, read_changes
from dovetail.server.tasks.loading import etag
from dovetail.server.tasks.recording import TaskChange
from dovetail.server.tasks.reports import completions
from dovetail.server.tasks.usage_wire import cost_message, stored_total, total_message
from dovetail.server.tasks.watching import WatchResponse
from dovetail.tasks.v1 import tasks_pb2 as pb
from dovetail.types.v1 import types_pb2


def task_message(task: Task) -> pb.Task:
    """A task."""
    data: Struct | None = optional_struct(task.outcome_json)
    made = pb.Task(
        task_id=task.task_id,
        title=task.title,
        description=task.description,
        state=pb.TaskState.ValueType(task.state),
        assignee_id=task.assignee_id,
        creator_id=task.creator_id,
        priority=task.priority,
        labels=task.labels,
        thread_id=task.thread_id,
        input=optional_struct(task.input_json),
        attempt=task.attempt,
        create_time=timestamp(task.create_time),
        update_time=timestamp(task.update_time),
        assign_time=optional_timestamp(task.assign_time),
        start_time=optional_timestamp(task.start_time),
        end_time=optional_timestamp(task.end_time),
        due_time=optional_timestamp(task.due_time),
        etag=etag(task),
        progress=_progress(task),
        lease=_lease(task),
        pooled=task.pooled,
        depends_on=task.depends_on,
        parent_task_id=task.parent_task_id,
        waiting_for_count=task.waiting_for_count,
        schedule_time=optional_timestamp(task.schedule_time),
        max_attempts=task.max_attempts,
        failed_attempts=task.failed_attempts,
        initial_backoff=optional_duration(task.initial_backoff),
        links=[pb.TaskLink(kind=link.kind, task_id=link.task_id) for link in task.links],
        usage=stored_total(task.usage_json),
        tree_usage=stored_total(task.tree_usage_json),
        max_tokens=task.max_tokens,
        max_cost=cost_message(decode_cost(task.max_cost)),
        budget_spent=bool(task.spent_budgets),
        input_attachments=stored_files(task.input_attachments_json),
    )
    _add_question(made, task)
    if task.state is TaskState.COMPLETED:
        files = stored_files(task.outcome_attachments_json)
        made.result.CopyFrom(pb.TaskResult(summary=task.outcome_text, data=data, attachments=files))
    elif task.state is TaskState.CANCELLED:
        made.cancel_reason = task.outcome_text
    elif task.state is TaskState.FAILED:
        made.failure.CopyFrom(pb.TaskFailure(message=task.outcome_text, data=data))
    if task.last_failure_text:
        made.last_failure.CopyFrom(
            pb.TaskFailure(
                message=task.last_failure_text,
                data=optional_struct(task.last_failure_json),
                retryable=True,
            )
        )
    return made


async def converted_task(task: Task) -> pb.Task:
    """A task, made in a thread where it has much structured content."""
    return await converted(data_size([task]), lambda: task_message(task))


def data_size(tasks: Iterable[Task]) -> int:
    """How many characters of structured content tasks have."""
    return sum(
        len(text)
        for task in tasks
        for text in (
            task.input_json,
            task.outcome_json,
            task.last_failure_json,
            task.question_json,
            task.answer_json,
            task.input_attachments_json,
            task.outcome_attachments_json,
        )
        if text
    )


def _progress(task: Task) -> pb.TaskProgress | None:
    if task.progress_percent is None:
        return None
    return pb.TaskProgress(percent=task.progress_percent, note=task.progress_note)


def _lease(task: Task) -> pb.Lease | None:
    if not task.lease_token:
        return None
    return pb.Lease(
        duration=optional_duration(task.lease_duration),
        expire_time=optional_timestamp(task.lease_expire_time),
    )


def _add_question(made: pb.Task, task: Task) -> None:
    """Add the last question, and its answer."""
    if task.ask_time is not None:
        made.question.CopyFrom(
            pb.TaskQuestion(
                agent_id=task.question_agent_id,
                text=task.question_text,
                data=optional_struct(task.question_json),
                ask_time=timestamp(task.ask_time),
                options=[
                    types_pb2.InputOption(name=each.name, description=each.description)
                    for each in input_options.decode(task.question_options_json)
                ],
                deadline_time=optional_timestamp(task.question_deadline_time),
                default_answer=task.default_answer,
            )
        )
    if task.answered:
        made.answer.CopyFrom(
            pb.TaskAnswer(
                text=task.answer_text,
                data=optional_struct(task.answer_json),
                option=task.answer_option,
                is_default=task.answer_is_default,
            )
        )


def outline(task: Task) -> pb.Task:
    """A task without what may be large: one of very many in an answer."""
    asked = {"question_text": "", "question_json": None, "question_options_json": ""}
    said = {**asked, "answer_text": "", "answer_json": None}
    bare = replace(
        task,
        title="",
        description="",
        input_json=None,
        input_attachments_json="",
        labels={},
        depends_on=(),
        links=(),
        **said,
    )
    ended = {"outcome_text": "", "outcome_json": None, "outcome_attachments_json": ""}
    failed = {"last_failure_text": "", "last_failure_json": None}
    return task_message(replace(bare, progress_note="", **ended, **failed))


def claimed_task(task: Task) -> pb.ClaimedTask:
    """A task, and the proof of its lease."""
    return pb.ClaimedTask(task=task_message(task), lease_token=task.lease_token)


def completion_outcome(changed: TaskChange | DovetailError) -> pb.CompletionOutcome:
    """What became of one completion of several."""
    if isinstance(changed, TaskChange):
        return pb.CompletionOutcome(task=outline(changed.task), notices=notice_receipts(changed))
    refusal = pb.Refusal(
        code=STATUS_CODES[type(changed)].value[0],
        reason=changed.reason.value,
        message=changed.message,
        metadata=changed.metadata,
    )
    return pb.CompletionOutcome(refusal=refusal)


def notice_receipts(changed: TaskChange) -> list[types_pb2.Receipt]:
    """The notices that a change wrote."""
    return [receipt_message(notice) for notice in changed.notices]


def report_message(report: Report) -> pb.Report:
    """A report."""
    message = pb.Report(
        total_tasks=sum(report.states.values()),
        states=[
            pb.StateCount(state=pb.TaskState.ValueType(state), count=count)
            for state, count in report.states.items()
        ],
        completed_tasks=report.states[TaskState.COMPLETED],
        average_task_time=optional_duration(report.task_time.average),
        task_time=_summary(report.task_time),
        queue_time=_summary(report.queue_time),
        input_wait_time=_summary(report.input_wait),
        completions=[
            pb.CompletionBucket(
                start_time=timestamp(each.start_time), completed_tasks=each.completed
            )
            for each in completions(report.series)
        ],
        series=map(_bucket, report.series),
        basis=pb.ReportBasis.ValueType(report.basis),
        report_time=timestamp(report.team.report_time),
        total_assignees=report.total_assignees,
        oldest_question_time=optional_timestamp(report.oldest_question_time),
        sent_messages=report.team.sent_messages,
        lists_complete_since=optional_timestamp(report.team.complete_since),
        removed_tasks=report.removed_tasks,
        usage=total_message(sum_of(report.usage.values())) if report.usage else None,
    )
    for each in report.workloads:
        _add_workload(message, each, report.usage.get(each.assignee_id))
    return message


def _bucket(bucket: Bucket) -> pb.ReportBucket:
    return pb.ReportBucket(
        start_time=timestamp(bucket.start_time),
        created_tasks=bucket.created,
        completed_tasks=bucket.completed,
        failed_tasks=bucket.failed,
        cancelled_tasks=bucket.cancelled,
    )


def _summary(summary: DurationSummary) -> pb.DurationSummary:
    return pb.DurationSummary(
        sample_count=summary.sample_count,
        average=optional_duration(summary.average),
        median=optional_duration(summary.median),
        p95=optional_duration(summary.p95),
    )


def _add_workload(message: pb.Report, workload: Workload, used: UsageTotal | None) -> None:
    """Add the row of an assignee: made in its place, as making and copying takes twice as long."""
    counts = workload.states
    row = message.assignees.add(
        assignee_id=workload.assignee_id,
        total_tasks=sum(counts.values()),
        open_tasks=sum(counts.get(state, 0) for state in OPEN_STATES),
        in_progress_tasks=counts.get(TaskState.IN_PROGRESS, 0),
        completed_tasks=counts.get(TaskState.COMPLETED, 0),
        failed_tasks=counts.get(TaskState.FAILED, 0),
        cancelled_tasks=counts.get(TaskState.CANCELLED, 0),
        average_task_time=optional_duration(workload.average_task_time),
        oldest_open_create_time=optional_timestamp(workload.oldest_open_create_time),
        unacknowledged_messages=workload.unacknowledged_messages,
        average_acknowledge_time=optional_duration(workload.average_acknowledge_time),
        input_required_tasks=counts.get(TaskState.INPUT_REQUIRED, 0),
    )
    if used:
        row.usage.CopyFrom(total_message(used))


def event_message(event: TaskEvent) -> pb.TaskEvent:
    """An event of the history."""
    return pb.TaskEvent(
        event_number=event.number,
        task_id=event.task_id,
        generation=event.generation,
        verb=types_pb2.TaskVerb.ValueType(event.verb),
        actor_id=event.actor_id,
        create_time=timestamp(event.create_time),
        from_state=pb.TaskState.ValueType(event.from_state),
        to_state=pb.TaskState.ValueType(event.to_state),
        assignee_id=event.assignee_id,
        former_assignee_id=event.former_assignee_id,
        reason=event.reason,
        attempt=event.attempt,
        changes=[
            pb.FieldChange(field=name, old_value=_value(name, old), new_value=_value(name, new))
            for name, old, new in read_changes(event.changes_json)
        ],
        message_id="" if event.message_number is None else message_id(event.message_number),
    )


def watch_message(response: WatchResponse) -> pb.WatchTasksResponse:
    """A response of a watch."""
    return pb.WatchTasksResponse(
        events=map(event_message, response.events),
        through_event=response.through_event,
        mark=pb.StreamMark.ValueType(response.mark),
    )


def _value(name: str, value: Any) -> Value | None:
    """The value of a field, as in the JSON form of a task."""
    if value is None or (name in COSTS and not value):
        return None
    if name in COSTS:
        amount, currency = value.split(" ")
        value = {"amount": amount, "currency": currency}
    elif name in TIMES:
        value = timestamp(value).ToJsonString()
    elif name in DURATIONS:
        duration = Duration()
        duration.FromMicroseconds(value)
        value = duration.ToJsonString()
    holder = Struct()
    holder.update({"value": value})
    return holder.fields["value"]
