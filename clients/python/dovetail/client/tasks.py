"""An agent's side of the work: a task's life, and the report over many."""
# ruff: noqa: PLR0913 - a keyword for each field of the contract

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from dovetail.client.connection import Connection
from dovetail.client.values import duration, struct, timestamp
from dovetail.tasks.v1 import tasks_pb2 as pb
from dovetail.tasks.v1 import tasks_pb2_grpc


class Tasks:
    """The tasks of a team, as one caller sees and changes them.

    Every change answers the task as it then is. `etag` makes it conditional; `notify` says whether
    others are told; `request_id` makes it safe to repeat beyond the repeats of one call. Every call
    raises DovetailError.
    """

    def __init__(self, connection: Connection) -> None:
        """Use `connect`."""
        self._call = connection.call
        self._stub = tasks_pb2_grpc.TaskServiceStub(connection.channel)

    async def create(
        self,
        title: str,
        *,
        task_id: str = "",
        description: str = "",
        assignee_id: str = "",
        priority: int = 0,
        labels: Mapping[str, str] | None = None,
        input: Mapping[str, Any] | None = None,  # noqa: A002 - a word of the contract
        due_time: datetime | None = None,
        thread_id: str = "",
        notify: pb.Notify.ValueType = pb.NOTIFY_UNSPECIFIED,
        request_id: str = "",
    ) -> pb.Task:
        """Make a task, assigned or not."""
        request = pb.CreateTaskRequest(
            task_id=task_id,
            title=title,
            description=description,
            assignee_id=assignee_id,
            priority=priority,
            labels=labels,
            input=struct(input),
            due_time=timestamp(due_time),
            thread_id=thread_id,
            notify=notify,
            request_id=_id(request_id),
        )
        return (await self._call(self._stub.CreateTask, request)).task

    async def get(self, task_id: str) -> pb.Task:
        """One task."""
        return (await self._call(self._stub.GetTask, pb.GetTaskRequest(task_id=task_id))).task

    async def list(
        self,
        filter: pb.TaskFilter | None = None,
        *,
        order: pb.Order.ValueType = pb.ORDER_UNSPECIFIED,
        page_size: int = 0,
    ) -> AsyncIterator[pb.Task]:
        """The tasks that a filter chooses, page after page."""
        request = pb.ListTasksRequest(filter=filter, order=order, page_size=page_size)
        while True:
            page = await self._call(self._stub.ListTasks, request)
            for task in page.tasks:
                yield task
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    async def update(
        self,
        task: pb.Task,
        fields: Iterable[str],
        *,
        etag: str = "",
        notify: pb.Notify.ValueType = pb.NOTIFY_UNSPECIFIED,
        request_id: str = "",
    ) -> pb.Task:
        """Set the named fields of the task `task.task_id` to the values that `task` has."""
        request = pb.UpdateTaskRequest(
            task=task,
            update_mask=FieldMask(paths=fields),
            etag=etag,
            notify=notify,
            request_id=_id(request_id),
        )
        return (await self._call(self._stub.UpdateTask, request)).task

    async def delete(
        self,
        task_id: str,
        *,
        etag: str = "",
        notify: pb.Notify.ValueType = pb.NOTIFY_UNSPECIFIED,
    ) -> None:
        """Remove a task that nobody works on. Its id stays taken."""
        request = pb.DeleteTaskRequest(task_id=task_id, etag=etag, notify=notify)
        await self._call(self._stub.DeleteTask, request)

    async def assign(
        self,
        task_id: str,
        assignee_id: str,
        *,
        force: bool = False,
        etag: str = "",
        notify: pb.Notify.ValueType = pb.NOTIFY_UNSPECIFIED,
        request_id: str = "",
    ) -> pb.Task:
        """Give a task to an agent; with `force` also one that another is working on."""
        request = pb.AssignTaskRequest(
            task_id=task_id,
            assignee_id=assignee_id,
            force=force,
            etag=etag,
            notify=notify,
            request_id=_id(request_id),
        )
        return (await self._call(self._stub.AssignTask, request)).task

    async def unassign(
        self,
        task_id: str,
        *,
        force: bool = False,
        etag: str = "",
        notify: pb.Notify.ValueType = pb.NOTIFY_UNSPECIFIED,
        request_id: str = "",
    ) -> pb.Task:
        """Take the assignee off a task; with `force` also one who is working on it."""
        request = pb.UnassignTaskRequest(
            task_id=task_id, force=force, etag=etag, notify=notify, request_id=_id(request_id)
        )
        return (await self._call(self._stub.UnassignTask, request)).task

    async def start(self, task_id: str, *, etag: str = "", request_id: str = "") -> pb.Task:
        """Begin work on a task; an unassigned one becomes the caller's."""
        request = pb.StartTaskRequest(task_id=task_id, etag=etag, request_id=_id(request_id))
        return (await self._call(self._stub.StartTask, request)).task

    async def complete(
        self,
        task_id: str,
        summary: str = "",
        *,
        data: Mapping[str, Any] | None = None,
        etag: str = "",
        notify: pb.Notify.ValueType = pb.NOTIFY_UNSPECIFIED,
        request_id: str = "",
    ) -> pb.Task:
        """End work well, with a result for people (`summary`) and for programs (`data`)."""
        request = pb.CompleteTaskRequest(
            task_id=task_id,
            result=pb.TaskResult(summary=summary, data=struct(data)),
            etag=etag,
            notify=notify,
            request_id=_id(request_id),
        )
        return (await self._call(self._stub.CompleteTask, request)).task

    async def fail(
        self,
        task_id: str,
        message: str,
        *,
        data: Mapping[str, Any] | None = None,
        etag: str = "",
        notify: pb.Notify.ValueType = pb.NOTIFY_UNSPECIFIED,
        request_id: str = "",
    ) -> pb.Task:
        """End work badly, saying what went wrong."""
        request = pb.FailTaskRequest(
            task_id=task_id,
            failure=pb.TaskFailure(message=message, data=struct(data)),
            etag=etag,
            notify=notify,
            request_id=_id(request_id),
        )
        return (await self._call(self._stub.FailTask, request)).task

    async def cancel(
        self,
        task_id: str,
        reason: str = "",
        *,
        etag: str = "",
        notify: pb.Notify.ValueType = pb.NOTIFY_UNSPECIFIED,
        request_id: str = "",
    ) -> pb.Task:
        """Call work off."""
        request = pb.CancelTaskRequest(
            task_id=task_id, reason=reason, etag=etag, notify=notify, request_id=_id(request_id)
        )
        return (await self._call(self._stub.CancelTask, request)).task

    async def reopen(
        self,
        task_id: str,
        reason: str = "",
        *,
        etag: str = "",
        notify: pb.Notify.ValueType = pb.NOTIFY_UNSPECIFIED,
        request_id: str = "",
    ) -> pb.Task:
        """Make an ended task PENDING again."""
        request = pb.ReopenTaskRequest(
            task_id=task_id, reason=reason, etag=etag, notify=notify, request_id=_id(request_id)
        )
        return (await self._call(self._stub.ReopenTask, request)).task

    async def report(
        self, filter: pb.TaskFilter | None = None, *, bucket: timedelta | None = None
    ) -> pb.Report:
        """Totals, times and workload over the tasks that `list` gives for the same filter."""
        request = pb.GetReportRequest(filter=filter, bucket=duration(bucket))
        return (await self._call(self._stub.GetReport, request)).report


def _id(request_id: str) -> str:
    """The caller's id for a change, or a new one: it makes the repeats of one call safe."""
    return request_id or str(uuid.uuid4())
