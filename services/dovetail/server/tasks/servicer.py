"""TaskService on the wire: protobuf in, protobuf out, no rules."""

from __future__ import annotations

from grpc.aio import ServicerContext

from dovetail.server.access.caller import current_caller
from dovetail.server.edge.convert import (
    converted,
    duration_micros,
    idempotency_key,
    optional_timestamp,
    page_fingerprint,
)
from dovetail.server.edge.paging import Paging
from dovetail.server.tasks.claims.matching import ClaimRequest
from dovetail.server.tasks.claims.service import Claims
from dovetail.server.tasks.managing import Lifecycle
from dovetail.server.tasks.proto import (
    change_options,
    claimed_task,
    completion_outcome,
    converted_task,
    data_size,
    exchange,
    new_task,
    new_tasks,
    notice_receipts,
    optional_duration_micros,
    outline,
    report_message,
    task_completions,
    task_failure,
    task_filter,
    task_message,
    task_result,
    task_update,
)
from dovetail.server.tasks.reports import Reports
from dovetail.server.tasks.requests import DEFAULT_LEASE, Progress, TaskQuery
from dovetail.server.tasks.working import Work
from dovetail.tasks.v1 import tasks_pb2 as pb
from dovetail.tasks.v1 import tasks_pb2_grpc as pb_grpc

Context = ServicerContext[object, object]


class TaskServicer(pb_grpc.TaskServiceServicer):
    """Translates between the contract and the rules of tasks."""

    def __init__(self, lifecycle: Lifecycle, work: Work, claims: Claims, reports: Reports) -> None:
        """Answer by these rules."""
        self._lifecycle = lifecycle
        self._work = work
        self._claims = claims
        self._reports = reports

    async def CreateTask(
        self, request: pb.CreateTaskRequest, context: Context
    ) -> pb.CreateTaskResponse:
        """Make a task."""
        made = await converted(request.input.ByteSize(), lambda: new_task(request))
        changed = await self._lifecycle.create(current_caller.get(), made, change_options(request))
        return pb.CreateTaskResponse(
            task=await converted_task(changed.task), notices=notice_receipts(changed)
        )

    async def BatchCreateTasks(
        self, request: pb.BatchCreateTasksRequest, context: Context
    ) -> pb.BatchCreateTasksResponse:
        """Make many tasks."""
        wanted = await converted(request.ByteSize(), lambda: new_tasks(request))
        made = await self._lifecycle.create_all(
            current_caller.get(), wanted, change_options(request)
        )
        return pb.BatchCreateTasksResponse(
            tasks=[outline(each.task) for each in made],
            notices=[notice for each in made for notice in notice_receipts(each)],
        )

    async def GetTask(self, request: pb.GetTaskRequest, context: Context) -> pb.GetTaskResponse:
        """Answer one task."""
        task = await self._lifecycle.get(current_caller.get(), request.task_id)
        return pb.GetTaskResponse(task=await converted_task(task))

    async def ListTasks(
        self, request: pb.ListTasksRequest, context: Context
    ) -> pb.ListTasksResponse:
        """Answer a page of tasks."""
        caller = current_caller.get()
        listing = TaskQuery(filter=task_filter(request.filter), order=request.order)
        paging = Paging(
            page_size=request.page_size,
            page_token=request.page_token,
            binding=page_fingerprint(caller.team_id, request),
        )
        page, token = await self._lifecycle.page(caller, listing, paging)
        return await converted(
            data_size(page),
            lambda: pb.ListTasksResponse(tasks=map(task_message, page), next_page_token=token),
        )

    async def UpdateTask(
        self, request: pb.UpdateTaskRequest, context: Context
    ) -> pb.UpdateTaskResponse:
        """Set some fields of a task."""
        changed = await self._lifecycle.update(
            current_caller.get(),
            request.task.task_id,
            task_update(request),
            change_options(request),
        )
        return pb.UpdateTaskResponse(
            task=await converted_task(changed.task), notices=notice_receipts(changed)
        )

    async def DeleteTask(
        self, request: pb.DeleteTaskRequest, context: Context
    ) -> pb.DeleteTaskResponse:
        """Remove a task."""
        changed = await self._lifecycle.delete(
            current_caller.get(), request.task_id, change_options(request)
        )
        return pb.DeleteTaskResponse(notices=notice_receipts(changed))

    async def AssignTask(
        self, request: pb.AssignTaskRequest, context: Context
    ) -> pb.AssignTaskResponse:
        """Set the assignee."""
        changed = await self._lifecycle.assign(
            current_caller.get(),
            request.task_id,
            request.assignee_id,
            change_options(request),
        )
        return pb.AssignTaskResponse(
            task=await converted_task(changed.task), notices=notice_receipts(changed)
        )

    async def UnassignTask(
        self, request: pb.UnassignTaskRequest, context: Context
    ) -> pb.UnassignTaskResponse:
        """Take the assignee off."""
        changed = await self._lifecycle.unassign(
            current_caller.get(), request.task_id, change_options(request)
        )
        return pb.UnassignTaskResponse(
            task=await converted_task(changed.task), notices=notice_receipts(changed)
        )

    async def ClaimTask(
        self, request: pb.ClaimTaskRequest, context: Context
    ) -> pb.ClaimTaskResponse:
        """Find and start what is ready."""
        lease_duration = optional_duration_micros("lease_duration", request, "lease_duration")
        wish = ClaimRequest(
            max_wait=duration_micros("max_wait", request.max_wait),
            most=request.max_tasks,
            filter=task_filter(request.filter) if request.HasField("filter") else None,
            lease_duration=DEFAULT_LEASE if lease_duration is None else lease_duration,
            repeat=idempotency_key(request.request_id, _without_wait(request)),
        )
        tasks = await self._claims.claim(current_caller.get(), wish)
        return await converted(
            data_size(tasks), lambda: pb.ClaimTaskResponse(tasks=map(claimed_task, tasks))
        )

    async def StartTask(
        self, request: pb.StartTaskRequest, context: Context
    ) -> pb.StartTaskResponse:
        """Begin work."""
        lease_duration = optional_duration_micros("lease_duration", request, "lease_duration")
        changed, token = await self._work.start(
            current_caller.get(), request.task_id, lease_duration, change_options(request)
        )
        return pb.StartTaskResponse(task=await converted_task(changed.task), lease_token=token)

    async def HeartbeatTask(
        self, request: pb.HeartbeatTaskRequest, context: Context
    ) -> pb.HeartbeatTaskResponse:
        """Say that the holder lives."""
        said = request.progress
        progress = Progress(percent=said.percent, note=said.note)
        task, waiting = await self._work.heartbeat(
            current_caller.get(),
            request.task_id,
            request.lease_token,
            progress if request.HasField("progress") else None,
        )
        return pb.HeartbeatTaskResponse(
            state=pb.TaskState.ValueType(task.state),
            lease_expire_time=optional_timestamp(task.lease_expire_time),
            unacknowledged_count=waiting,
        )

    async def ReleaseTask(
        self, request: pb.ReleaseTaskRequest, context: Context
    ) -> pb.ReleaseTaskResponse:
        """Give work back."""
        changed = await self._work.release(
            current_caller.get(), request.task_id, change_options(request)
        )
        return pb.ReleaseTaskResponse(task=await converted_task(changed.task))

    async def RequestTaskInput(
        self, request: pb.RequestTaskInputRequest, context: Context
    ) -> pb.RequestTaskInputResponse:
        """Ask for what the work needs."""
        asked = await converted(request.data.ByteSize(), lambda: exchange(request))
        changed = await self._work.request_input(
            current_caller.get(), request.task_id, request.agent_id, asked, change_options(request)
        )
        return pb.RequestTaskInputResponse(
            task=await converted_task(changed.task), notices=notice_receipts(changed)
        )

    async def ProvideTaskInput(
        self, request: pb.ProvideTaskInputRequest, context: Context
    ) -> pb.ProvideTaskInputResponse:
        """Answer what was asked."""
        said = await converted(request.data.ByteSize(), lambda: exchange(request))
        changed = await self._work.provide_input(
            current_caller.get(), request.task_id, said, change_options(request)
        )
        return pb.ProvideTaskInputResponse(
            task=await converted_task(changed.task), notices=notice_receipts(changed)
        )

    async def CompleteTask(
        self, request: pb.CompleteTaskRequest, context: Context
    ) -> pb.CompleteTaskResponse:
        """End work well."""
        ended = await converted(request.result.ByteSize(), lambda: task_result(request))
        changed = await self._work.complete(
            current_caller.get(), request.task_id, ended, change_options(request)
        )
        return pb.CompleteTaskResponse(
            task=await converted_task(changed.task), notices=notice_receipts(changed)
        )

    async def BatchCompleteTasks(
        self, request: pb.BatchCompleteTasksRequest, context: Context
    ) -> pb.BatchCompleteTasksResponse:
        """End much work well."""
        completions = await converted(request.ByteSize(), lambda: task_completions(request))
        ended = await self._work.complete_all(current_caller.get(), completions)
        return pb.BatchCompleteTasksResponse(outcomes=map(completion_outcome, ended))

    async def FailTask(self, request: pb.FailTaskRequest, context: Context) -> pb.FailTaskResponse:
        """End an attempt badly."""
        ended = await converted(request.failure.ByteSize(), lambda: task_failure(request))
        changed = await self._work.fail(
            current_caller.get(), request.task_id, ended, change_options(request)
        )
        return pb.FailTaskResponse(
            task=await converted_task(changed.task), notices=notice_receipts(changed)
        )

    async def CancelTask(
        self, request: pb.CancelTaskRequest, context: Context
    ) -> pb.CancelTaskResponse:
        """Call work off."""
        changed = await self._lifecycle.cancel(
            current_caller.get(), request.task_id, change_options(request)
        )
        return pb.CancelTaskResponse(
            task=await converted_task(changed.task), notices=notice_receipts(changed)
        )

    async def ReopenTask(
        self, request: pb.ReopenTaskRequest, context: Context
    ) -> pb.ReopenTaskResponse:
        """Make an ended task PENDING again."""
        changed = await self._lifecycle.reopen(
            current_caller.get(), request.task_id, change_options(request)
        )
        return pb.ReopenTaskResponse(
            task=await converted_task(changed.task), notices=notice_receipts(changed)
        )

    async def GetReport(
        self, request: pb.GetReportRequest, context: Context
    ) -> pb.GetReportResponse:
        """Report on tasks."""
        bucket = optional_duration_micros("bucket_duration", request, "bucket_duration")
        report = await self._reports.get(current_caller.get(), task_filter(request.filter), bucket)
        return pb.GetReportResponse(report=report_message(report))


def _without_wait(request: pb.ClaimTaskRequest) -> pb.ClaimTaskRequest:
    """What of a claim its repeat must have as well."""
    same = pb.ClaimTaskRequest()
    same.CopyFrom(request)
    same.ClearField("max_wait")
    return same
