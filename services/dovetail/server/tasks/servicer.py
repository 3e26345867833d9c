"""TaskService on the wire: protobuf in, protobuf out, no rules."""

from __future__ import annotations

from google.protobuf.struct_pb2 import Struct
from grpc.aio import ServicerContext

from dovetail.server.callers import current_caller
from dovetail.server.paging import Paging
from dovetail.server.store.records import (
    DurationSummary,
    Report,
    Task,
    TaskFilter,
    TaskState,
    Workload,
    message_id,
)
from dovetail.server.tasks.drafts import Draft, Listing, Options, Outcome, Update
from dovetail.server.tasks.lifecycle import Lifecycle, etag
from dovetail.server.tasks.record import Changed
from dovetail.server.tasks.report import Reports
from dovetail.server.wire import (
    binding,
    duration_micros,
    micros,
    optional_duration,
    optional_struct,
    optional_timestamp,
    repeat,
    struct_json,
    timestamp,
)
from dovetail.tasks.v1 import tasks_pb2 as pb
from dovetail.tasks.v1 import tasks_pb2_grpc as pb_grpc

Context = ServicerContext[object, object]


class TaskServicer(pb_grpc.TaskServiceServicer):
    """Translates between the contract and the rules of tasks."""

    def __init__(self, lifecycle: Lifecycle, reports: Reports) -> None:
        """Answer by these rules."""
        self._lifecycle = lifecycle
        self._reports = reports

    async def CreateTask(
        self, request: pb.CreateTaskRequest, context: Context
    ) -> pb.CreateTaskResponse:
        """Make a task."""
        options = Options(notify=request.notify, repeat=repeat(request.request_id, request))
        changed = await self._lifecycle.create(current_caller.get(), _draft(request), options)
        return pb.CreateTaskResponse(task=_task(changed.task), notices=_notices(changed))

    async def GetTask(self, request: pb.GetTaskRequest, context: Context) -> pb.GetTaskResponse:
        """Answer one task."""
        task = await self._lifecycle.get(current_caller.get(), request.task_id)
        return pb.GetTaskResponse(task=_task(task))

    async def ListTasks(
        self, request: pb.ListTasksRequest, context: Context
    ) -> pb.ListTasksResponse:
        """Answer a page of tasks."""
        caller = current_caller.get()
        listing = Listing(filter=_filter(request.filter), order=request.order)
        paging = Paging(
            page_size=request.page_size,
            page_token=request.page_token,
            binding=binding(caller.team_id, request),
        )
        page, token = await self._lifecycle.page(caller, listing, paging)
        return pb.ListTasksResponse(tasks=map(_task, page), next_page_token=token)

    async def UpdateTask(
        self, request: pb.UpdateTaskRequest, context: Context
    ) -> pb.UpdateTaskResponse:
        """Set some fields of a task."""
        changed = await self._lifecycle.update(
            current_caller.get(), request.task.task_id, _update(request), _options(request)
        )
        return pb.UpdateTaskResponse(task=_task(changed.task), notices=_notices(changed))

    async def DeleteTask(
        self, request: pb.DeleteTaskRequest, context: Context
    ) -> pb.DeleteTaskResponse:
        """Remove a task."""
        options = Options(etag=request.etag, notify=request.notify)
        changed = await self._lifecycle.delete(current_caller.get(), request.task_id, options)
        return pb.DeleteTaskResponse(notices=_notices(changed))

    async def AssignTask(
        self, request: pb.AssignTaskRequest, context: Context
    ) -> pb.AssignTaskResponse:
        """Set the assignee."""
        changed = await self._lifecycle.assign(
            current_caller.get(),
            request.task_id,
            request.assignee_id,
            _options(request, force=request.force),
        )
        return pb.AssignTaskResponse(task=_task(changed.task), notices=_notices(changed))

    async def UnassignTask(
        self, request: pb.UnassignTaskRequest, context: Context
    ) -> pb.UnassignTaskResponse:
        """Take the assignee off."""
        options = _options(request, force=request.force)
        changed = await self._lifecycle.unassign(current_caller.get(), request.task_id, options)
        return pb.UnassignTaskResponse(task=_task(changed.task), notices=_notices(changed))

    async def StartTask(
        self, request: pb.StartTaskRequest, context: Context
    ) -> pb.StartTaskResponse:
        """Begin work."""
        options = Options(etag=request.etag, repeat=repeat(request.request_id, request))
        changed = await self._lifecycle.start(current_caller.get(), request.task_id, options)
        return pb.StartTaskResponse(task=_task(changed.task))

    async def CompleteTask(
        self, request: pb.CompleteTaskRequest, context: Context
    ) -> pb.CompleteTaskResponse:
        """End work well."""
        result = request.result
        outcome = Outcome(
            text=result.summary,
            data_json=struct_json("result.data", result.data) if result.HasField("data") else None,
        )
        changed = await self._lifecycle.complete(
            current_caller.get(), request.task_id, outcome, _options(request)
        )
        return pb.CompleteTaskResponse(task=_task(changed.task), notices=_notices(changed))

    async def FailTask(self, request: pb.FailTaskRequest, context: Context) -> pb.FailTaskResponse:
        """End work badly."""
        failure = request.failure
        outcome = Outcome(
            text=failure.message,
            data_json=struct_json("failure.data", failure.data)
            if failure.HasField("data")
            else None,
        )
        changed = await self._lifecycle.fail(
            current_caller.get(), request.task_id, outcome, _options(request)
        )
        return pb.FailTaskResponse(task=_task(changed.task), notices=_notices(changed))

    async def CancelTask(
        self, request: pb.CancelTaskRequest, context: Context
    ) -> pb.CancelTaskResponse:
        """Call work off."""
        options = _options(request, reason=request.reason)
        changed = await self._lifecycle.cancel(current_caller.get(), request.task_id, options)
        return pb.CancelTaskResponse(task=_task(changed.task), notices=_notices(changed))

    async def ReopenTask(
        self, request: pb.ReopenTaskRequest, context: Context
    ) -> pb.ReopenTaskResponse:
        """Make an ended task PENDING again."""
        options = _options(request, reason=request.reason)
        changed = await self._lifecycle.reopen(current_caller.get(), request.task_id, options)
        return pb.ReopenTaskResponse(task=_task(changed.task), notices=_notices(changed))

    async def GetReport(
        self, request: pb.GetReportRequest, context: Context
    ) -> pb.GetReportResponse:
        """Report on tasks."""
        bucket = duration_micros("bucket", request.bucket) if request.HasField("bucket") else None
        report = await self._reports.get(current_caller.get(), _filter(request.filter), bucket)
        return pb.GetReportResponse(report=_report(report))


_Changing = (
    pb.UpdateTaskRequest
    | pb.AssignTaskRequest
    | pb.UnassignTaskRequest
    | pb.CompleteTaskRequest
    | pb.FailTaskRequest
    | pb.CancelTaskRequest
    | pb.ReopenTaskRequest
)


def _options(request: _Changing, *, force: bool = False, reason: str = "") -> Options:
    return Options(
        etag=request.etag,
        notify=request.notify,
        repeat=repeat(request.request_id, request),
        force=force,
        reason=reason,
    )


def _draft(request: pb.CreateTaskRequest) -> Draft:
    return Draft(
        task_id=request.task_id,
        title=request.title,
        description=request.description,
        assignee_id=request.assignee_id,
        priority=request.priority,
        labels=dict(request.labels),
        input_json=struct_json("input", request.input) if request.HasField("input") else None,
        due_time=micros("due_time", request.due_time) if request.HasField("due_time") else None,
        thread_id=request.thread_id,
    )


def _update(request: pb.UpdateTaskRequest) -> Update:
    task = request.task
    due_time = micros("task.due_time", task.due_time) if task.HasField("due_time") else None
    return Update(
        paths=tuple(request.update_mask.paths),
        title=task.title,
        description=task.description,
        priority=task.priority,
        labels=dict(task.labels),
        due_time=due_time,
    )


def _filter(filter: pb.TaskFilter) -> TaskFilter:
    def bound(name: str) -> int | None:
        has = filter.HasField(name)  # type: ignore[arg-type]
        return micros(f"filter.{name}", getattr(filter, name)) if has else None

    return TaskFilter(
        states=list(filter.states),
        assignee_ids=list(filter.assignee_ids),
        unassigned=filter.unassigned,
        creator_ids=list(filter.creator_ids),
        labels=dict(filter.labels),
        create_time_from=bound("create_time_from"),
        create_time_until=bound("create_time_until"),
        end_time_from=bound("end_time_from"),
        end_time_until=bound("end_time_until"),
    )


def _task(task: Task) -> pb.Task:
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
    )
    if task.state is TaskState.COMPLETED:
        made.result.CopyFrom(pb.TaskResult(summary=task.outcome_text, data=data))
    elif task.state is TaskState.FAILED:
        made.failure.CopyFrom(pb.TaskFailure(message=task.outcome_text, data=data))
    elif task.state is TaskState.CANCELLED:
        made.cancel_reason = task.outcome_text
    return made


def _notices(changed: Changed) -> list[pb.NoticeReceipt]:
    return [
        pb.NoticeReceipt(
            recipient_id=notice.recipient_id,
            sequence=notice.sequence,
            message_id=message_id(notice.message_number),
        )
        for notice in changed.notices
    ]


def _report(report: Report) -> pb.Report:
    return pb.Report(
        total_tasks=sum(report.states.values()),
        states=[
            pb.StateCount(state=pb.TaskState.ValueType(state), count=count)
            for state, count in report.states.items()
        ],
        completed_tasks=report.states[TaskState.COMPLETED],
        average_task_time=optional_duration(report.task_time.average),
        task_time=_summary(report.task_time),
        queue_time=_summary(report.queue_time),
        assignees=map(_workload, report.workloads),
        completions=[
            pb.CompletionBucket(start_time=timestamp(start), completed_tasks=count)
            for start, count in report.completions
        ],
        basis=pb.REPORT_BASIS_SCAN,
        report_time=timestamp(report.report_time),
    )


def _summary(summary: DurationSummary) -> pb.DurationSummary:
    return pb.DurationSummary(
        sample_count=summary.sample_count,
        average=optional_duration(summary.average),
        median=optional_duration(summary.median),
        p95=optional_duration(summary.p95),
    )


def _workload(workload: Workload) -> pb.AssigneeWorkload:
    counts = workload.states
    pending = counts.get(TaskState.PENDING, 0)
    in_progress = counts.get(TaskState.IN_PROGRESS, 0)
    return pb.AssigneeWorkload(
        assignee_id=workload.assignee_id,
        total_tasks=sum(counts.values()),
        open_tasks=pending + in_progress,
        in_progress_tasks=in_progress,
        completed_tasks=counts.get(TaskState.COMPLETED, 0),
        failed_tasks=counts.get(TaskState.FAILED, 0),
        cancelled_tasks=counts.get(TaskState.CANCELLED, 0),
        average_task_time=optional_duration(workload.average_task_time),
        oldest_open_create_time=optional_timestamp(workload.oldest_open_create_time),
        unacknowledged_messages=workload.unacknowledged_messages,
        average_acknowledge_time=optional_duration(workload.average_acknowledge_time),
    )
