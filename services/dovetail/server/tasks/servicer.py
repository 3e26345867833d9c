"""TaskService on the wire: protobuf in, protobuf out, no rules."""

from __future__ import annotations

from dataclasses import dataclass

from grpc.aio import ServicerContext

from dovetail.server.access.caller import current_caller
from dovetail.server.edge.attachments import weight
from dovetail.server.edge.convert import (
    converted,
    idempotency_key,
    optional_timestamp,
    read_duration,
    read_paging,
)
from dovetail.server.edge.validation import Checks
from dovetail.server.tasks import reading
from dovetail.server.tasks.attachment_servicer import AttachmentServicer
from dovetail.server.tasks.attachments import TaskAttachments
from dovetail.server.tasks.claims.service import Claims
from dovetail.server.tasks.history import History
from dovetail.server.tasks.history_servicer import HistoryServicer
from dovetail.server.tasks.managing import Lifecycle
from dovetail.server.tasks.proto import (
    claimed_task,
    completion_outcome,
    converted_task,
    data_size,
    notice_receipts,
    outline,
    report_message,
    task_message,
)
from dovetail.server.tasks.questions import Answer, Question
from dovetail.server.tasks.reading import change_options, checked, read_notify
from dovetail.server.tasks.reports import Reports, check_bucket
from dovetail.server.tasks.requests import (
    ChangeOptions,
    Completion,
    NewTask,
    Outcome,
)
from dovetail.server.tasks.search_servicer import SearchServicer
from dovetail.server.tasks.searches import TaskSearches
from dovetail.server.tasks.usage_wire import read_usage
from dovetail.server.tasks.watching import Watches
from dovetail.server.tasks.working import Work
from dovetail.tasks.v1 import tasks_pb2 as pb

Context = ServicerContext[object, object]


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """The rules that the service offers; no lease is shorter than `shortest_lease_micros`."""

    lifecycle: Lifecycle
    work: Work
    claims: Claims
    history: History
    watches: Watches
    reports: Reports
    searches: TaskSearches
    attachments: TaskAttachments
    shortest_lease_micros: int


class TaskServicer(HistoryServicer, SearchServicer, AttachmentServicer):
    """Translates between the contract and the rules of tasks.

    Each handler reads the whole request under one `Checks`, so that all its faults are named
    together, calls one rule, and writes the response. Structured content that is large is
    converted in a thread.
    """

    def __init__(self, rules: Rules) -> None:
        """Serve these rules."""
        super().__init__(rules.history, rules.watches)
        self._lifecycle = rules.lifecycle
        self._work = rules.work
        self._claims = rules.claims
        self._reports = rules.reports
        self.searches = rules.searches
        self._attachments = rules.attachments
        self._shortest_lease = rules.shortest_lease_micros

    async def CreateTask(
        self, request: pb.CreateTaskRequest, context: Context
    ) -> pb.CreateTaskResponse:
        """Make a task."""

        def read() -> tuple[NewTask, ChangeOptions]:
            with Checks() as check:
                options = ChangeOptions(
                    notify=read_notify(check, request.notify),
                    acknowledge=tuple(request.acknowledge_sequences),
                    repeat=idempotency_key(request.request_id, request),
                )
                return reading.read_new_task(check, request), checked(check, options)

        heavy = request.input.ByteSize() + weight(request.input_attachments)
        new, options = await converted(heavy, read)
        change = await self._lifecycle.create(current_caller.get(), new, options)
        return pb.CreateTaskResponse(
            task=await converted_task(change.task), notices=notice_receipts(change)
        )

    async def BatchCreateTasks(
        self, request: pb.BatchCreateTasksRequest, context: Context
    ) -> pb.BatchCreateTasksResponse:
        """Make many tasks."""

        def read() -> tuple[list[NewTask], ChangeOptions]:
            with Checks() as check:
                options = ChangeOptions(
                    notify=read_notify(check, request.notify),
                    acknowledge=tuple(request.acknowledge_sequences),
                    repeat=idempotency_key(request.request_id, request),
                )
                return reading.read_new_tasks(check, request.requests), checked(check, options)

        new, options = await converted(request.ByteSize(), read)
        changes = await self._lifecycle.create_all(current_caller.get(), new, options)
        return pb.BatchCreateTasksResponse(
            tasks=[outline(change.task) for change in changes],
            notices=[receipt for change in changes for receipt in notice_receipts(change)],
        )

    async def GetTask(self, request: pb.GetTaskRequest, context: Context) -> pb.GetTaskResponse:
        """Return one task."""
        with Checks() as check:
            check.id("task_id", request.task_id)
        task = await self._lifecycle.get(current_caller.get(), request.task_id)
        return pb.GetTaskResponse(task=await converted_task(task))

    async def ListTasks(
        self, request: pb.ListTasksRequest, context: Context
    ) -> pb.ListTasksResponse:
        """Return a page of tasks."""
        caller = current_caller.get()
        paging = read_paging(caller.team_id, request)
        with Checks() as check:
            query = reading.read_query(check, request, paging)
        page = await self._lifecycle.page(caller, query, paging)
        return await converted(
            data_size(page.tasks),
            lambda: pb.ListTasksResponse(
                tasks=map(task_message, page.tasks),
                next_page_token=page.next_token,
                through_event=page.through_event,
            ),
        )

    async def UpdateTask(
        self, request: pb.UpdateTaskRequest, context: Context
    ) -> pb.UpdateTaskResponse:
        """Set some fields of a task."""
        with Checks() as check:
            check.id("task.task_id", request.task.task_id)
            update = reading.read_update(check, request)
            options = change_options(check, request, ChangeOptions())
        change = await self._lifecycle.update(
            current_caller.get(), request.task.task_id, update, options
        )
        return pb.UpdateTaskResponse(
            task=await converted_task(change.task), notices=notice_receipts(change)
        )

    async def DeleteTask(
        self, request: pb.DeleteTaskRequest, context: Context
    ) -> pb.DeleteTaskResponse:
        """Remove a task."""
        with Checks() as check:
            check.id("task_id", request.task_id)
            notify = read_notify(check, request.notify)
            options = checked(check, ChangeOptions(etag=request.etag, notify=notify))
        change = await self._lifecycle.delete(current_caller.get(), request.task_id, options)
        return pb.DeleteTaskResponse(notices=notice_receipts(change))

    async def AssignTask(
        self, request: pb.AssignTaskRequest, context: Context
    ) -> pb.AssignTaskResponse:
        """Set the assignee."""
        with Checks() as check:
            check.id("task_id", request.task_id)
            check.id("assignee_id", request.assignee_id)
            options = change_options(check, request, ChangeOptions(force=request.force))
        change = await self._lifecycle.assign(
            current_caller.get(), request.task_id, request.assignee_id, options
        )
        return pb.AssignTaskResponse(
            task=await converted_task(change.task), notices=notice_receipts(change)
        )

    async def UnassignTask(
        self, request: pb.UnassignTaskRequest, context: Context
    ) -> pb.UnassignTaskResponse:
        """Remove the assignee."""
        with Checks() as check:
            check.id("task_id", request.task_id)
            options = change_options(check, request, ChangeOptions(force=request.force))
        change = await self._lifecycle.unassign(current_caller.get(), request.task_id, options)
        return pb.UnassignTaskResponse(
            task=await converted_task(change.task), notices=notice_receipts(change)
        )

    async def ClaimTask(
        self, request: pb.ClaimTaskRequest, context: Context
    ) -> pb.ClaimTaskResponse:
        """Find and start ready tasks."""
        with Checks() as check:
            claim = reading.read_claim(check, request, self._shortest_lease)
        tasks = await self._claims.claim(current_caller.get(), claim)
        return await converted(
            data_size(tasks), lambda: pb.ClaimTaskResponse(tasks=map(claimed_task, tasks))
        )

    async def StartTask(
        self, request: pb.StartTaskRequest, context: Context
    ) -> pb.StartTaskResponse:
        """Start a ready task."""
        with Checks() as check:
            check.id("task_id", request.task_id)
            lease = reading.read_lease(check, request, self._shortest_lease)
            options = ChangeOptions(
                etag=request.etag,
                acknowledge=tuple(request.acknowledge_sequences),
                repeat=idempotency_key(request.request_id, request),
            )
            checked(check, options)
        change, token = await self._work.start(
            current_caller.get(), request.task_id, lease, options
        )
        return pb.StartTaskResponse(task=await converted_task(change.task), lease_token=token)

    async def HeartbeatTask(
        self, request: pb.HeartbeatTaskRequest, context: Context
    ) -> pb.HeartbeatTaskResponse:
        """Renew a lease."""
        with Checks() as check:
            beat = reading.read_heartbeat(check, request)
        task, unacknowledged = await self._work.heartbeat(
            current_caller.get(), request.task_id, beat
        )
        return pb.HeartbeatTaskResponse(
            state=pb.TaskState.ValueType(task.state),
            lease_expire_time=optional_timestamp(task.lease_expire_time),
            unacknowledged_count=unacknowledged,
            budget_spent=bool(task.spent_budgets),
        )

    async def ReleaseTask(
        self, request: pb.ReleaseTaskRequest, context: Context
    ) -> pb.ReleaseTaskResponse:
        """Give work back."""
        with Checks() as check:
            check.id("task_id", request.task_id)
            options = ChangeOptions(
                etag=request.etag,
                reason=request.reason,
                lease_token=request.lease_token,
                repeat=idempotency_key(request.request_id, request),
            )
            checked(check, options)
            used = read_usage(check, request)
        change = await self._work.release(current_caller.get(), request.task_id, options, used)
        return pb.ReleaseTaskResponse(task=await converted_task(change.task))

    async def RequestTaskInput(
        self, request: pb.RequestTaskInputRequest, context: Context
    ) -> pb.RequestTaskInputResponse:
        """Ask a question about a task."""

        def read() -> tuple[Question, ChangeOptions]:
            with Checks() as check:
                check.id("task_id", request.task_id)
                options = ChangeOptions(
                    etag=request.etag,
                    lease_token=request.lease_token,
                    repeat=idempotency_key(request.request_id, request),
                )
                return reading.read_question(check, request), checked(check, options)

        question, options = await converted(request.data.ByteSize(), read)
        change = await self._work.request_input(
            current_caller.get(), request.task_id, question, options
        )
        return pb.RequestTaskInputResponse(
            task=await converted_task(change.task), notices=notice_receipts(change)
        )

    async def ProvideTaskInput(
        self, request: pb.ProvideTaskInputRequest, context: Context
    ) -> pb.ProvideTaskInputResponse:
        """Answer the open question."""

        def read() -> tuple[Answer, ChangeOptions]:
            with Checks() as check:
                check.id("task_id", request.task_id)
                options = ChangeOptions(
                    etag=request.etag,
                    acknowledge=tuple(request.acknowledge_sequences),
                    repeat=idempotency_key(request.request_id, request),
                )
                return reading.read_answer(check, request), checked(check, options)

        answer, options = await converted(request.data.ByteSize(), read)
        change = await self._work.provide_input(
            current_caller.get(), request.task_id, answer, options
        )
        return pb.ProvideTaskInputResponse(
            task=await converted_task(change.task), notices=notice_receipts(change)
        )

    async def CompleteTask(
        self, request: pb.CompleteTaskRequest, context: Context
    ) -> pb.CompleteTaskResponse:
        """End work with a result."""

        def read() -> Completion:
            with Checks() as check:
                return reading.read_completion(check, request)

        completion = await converted(request.result.ByteSize(), read)
        change = await self._work.complete(current_caller.get(), completion)
        return pb.CompleteTaskResponse(
            task=await converted_task(change.task), notices=notice_receipts(change)
        )

    async def BatchCompleteTasks(
        self, request: pb.BatchCompleteTasksRequest, context: Context
    ) -> pb.BatchCompleteTasksResponse:
        """End many tasks with results."""

        def read() -> list[Completion]:
            with Checks() as check:
                return reading.read_completions(check, request.requests)

        completions = await converted(request.ByteSize(), read)
        ended = await self._work.complete_all(current_caller.get(), completions)
        return pb.BatchCompleteTasksResponse(outcomes=map(completion_outcome, ended))

    async def FailTask(self, request: pb.FailTaskRequest, context: Context) -> pb.FailTaskResponse:
        """End an attempt with a failure."""

        def read() -> tuple[Outcome, ChangeOptions]:
            with Checks() as check:
                check.id("task_id", request.task_id)
                more = ChangeOptions(
                    lease_token=request.lease_token,
                    acknowledge=tuple(request.acknowledge_sequences),
                )
                return reading.read_failure(check, request), change_options(check, request, more)

        failure, options = await converted(request.failure.ByteSize(), read)
        change = await self._work.fail(current_caller.get(), request.task_id, failure, options)
        return pb.FailTaskResponse(
            task=await converted_task(change.task), notices=notice_receipts(change)
        )

    async def CancelTask(
        self, request: pb.CancelTaskRequest, context: Context
    ) -> pb.CancelTaskResponse:
        """Call work off."""
        with Checks() as check:
            check.id("task_id", request.task_id)
            more = ChangeOptions(reason=request.reason, cascade=request.cascade)
            options = change_options(check, request, more)
        change = await self._lifecycle.cancel(current_caller.get(), request.task_id, options)
        return pb.CancelTaskResponse(
            task=await converted_task(change.task), notices=notice_receipts(change)
        )

    async def ReopenTask(
        self, request: pb.ReopenTaskRequest, context: Context
    ) -> pb.ReopenTaskResponse:
        """Make an ended task PENDING again."""
        with Checks() as check:
            check.id("task_id", request.task_id)
            options = change_options(check, request, ChangeOptions(reason=request.reason))
        change = await self._lifecycle.reopen(current_caller.get(), request.task_id, options)
        return pb.ReopenTaskResponse(
            task=await converted_task(change.task), notices=notice_receipts(change)
        )

    async def GetReport(
        self, request: pb.GetReportRequest, context: Context
    ) -> pb.GetReportResponse:
        """Report on tasks."""
        with Checks() as check:
            filter = reading.read_filter(check, request.filter)
            bucket = read_duration(check, "bucket_duration", request, "bucket_duration")
            check_bucket(check, bucket)
        report = await self._reports.get(current_caller.get(), filter, bucket)
        return pb.GetReportResponse(report=report_message(report))
