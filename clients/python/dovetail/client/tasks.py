"""An agent's calls to tasks: each step of a task's life, and the report over many.

These are the calls of the contract. To work on ready tasks, prefer `Agent.claim` and `Agent.work`,
which renew the lease automatically.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Mapping
from datetime import timedelta
from typing import Any, Unpack

from dovetail.client.attachments import AttachmentLike, loaded, with_loaded
from dovetail.client.choices import TaskChoice, task_filter
from dovetail.client.drafts import (
    ChangeOptions,
    HolderOptions,
    Repeatable,
    TaskChanges,
    TaskFields,
    completion,
    draft,
    new_id,
    notified,
    repeatable,
    update,
)
from dovetail.client.errors import DovetailError, from_status
from dovetail.client.pages import Pages
from dovetail.client.records import record
from dovetail.client.search_records import TaskHit
from dovetail.client.task_history import TaskPages
from dovetail.client.task_questions import TaskQuestions
from dovetail.client.task_records import ClaimedTask, Heartbeat, Report, Task
from dovetail.client.usage import UsageLike, usage_of
from dovetail.client.values import duration, struct
from dovetail.client.words import Order, TaskOrder, WordLike, number
from dovetail.tasks.v1 import tasks_pb2 as pb


class Tasks(TaskQuestions):
    """The tasks of a team, as one caller sees and changes them.

    Every change returns the changed task. `etag` makes it conditional; `notify` controls whether
    other agents are notified; `request_id` makes it safe to repeat beyond the repeats of one call;
    `lease_token` proves that the caller holds a leased task; `acknowledge` acknowledges deliveries
    of the caller's inbox in the same commit. Every call may raise DovetailError.
    """

    async def create(
        self,
        title: str,
        *,
        acknowledge: Iterable[int] = (),
        request_id: str = "",
        **fields: Unpack[TaskFields],
    ) -> Task:
        """Create a task, assigned or not; ready at once, after other tasks, or from a time on."""
        request = draft(title, **await with_loaded(fields, "input_attachments"))
        request.acknowledge_sequences.extend(acknowledge)
        request.request_id = request_id or new_id()
        return record(Task, (await self._call(self._stub.CreateTask, request)).task)

    async def create_many(
        self,
        drafts: Iterable[pb.CreateTaskRequest],
        *,
        acknowledge: Iterable[int] = (),
        request_id: str = "",
    ) -> list[Task]:
        """Create up to 1,000 tasks, all or none; see `draft`. They may depend on each other.

        Returns them in order, as outlines: title, ids, states and times.
        """
        request = pb.BatchCreateTasksRequest(
            requests=drafts, acknowledge_sequences=acknowledge, request_id=request_id or new_id()
        )
        created = list((await self._call(self._stub.BatchCreateTasks, request)).tasks)
        for task, wanted in zip(created, request.requests, strict=True):
            task.title = wanted.title  # The response leaves it out.
        return [record(Task, task) for task in created]

    async def get(self, task_id: str) -> Task:
        """Return one task."""
        return record(
            Task, (await self._call(self._stub.GetTask, pb.GetTaskRequest(task_id=task_id))).task
        )

    def list(
        self,
        *,
        order: WordLike = 0,
        order_by: WordLike = 0,
        page_size: int = 0,
        page_token: str = "",
        **choice: Unpack[TaskChoice],
    ) -> TaskPages:
        """Iterate over the tasks of a choice, the oldest first, reading page after page.

        tasks.list(states=["pending"], assignee="bob", order="newest_first")
        tasks.list(order_by="update_time"): by their last change; one that changes meanwhile comes
        again, and with `order="newest_first"` not at all if it had not come yet.

        Afterwards `watch(after_event=listing.through_event)` gives all that happens to them.
        """
        request = pb.ListTasksRequest(
            filter=task_filter(choice),
            order=number(Order, order),
            order_by=number(TaskOrder, order_by),
            page_size=page_size,
            page_token=page_token,
        )
        return TaskPages(lambda: self._call(self._stub.ListTasks, request), request)

    def search(
        self,
        query: str,
        *,
        page_size: int = 0,
        page_token: str = "",
        **choice: Unpack[TaskChoice],
    ) -> Pages[TaskHit]:
        """Iterate over the tasks in which all terms of a query occur, those created last first.

        tasks.search('timeout "tier two"', states=["failed"]); see Agent.search.
        """
        request = pb.SearchTasksRequest(
            query=query, filter=task_filter(choice), page_size=page_size, page_token=page_token
        )
        return Pages(lambda: self._call(self._stub.SearchTasks, request), request, "hits", TaskHit)

    async def update(self, task_id: str, **changes: Unpack[TaskChanges]) -> Task:
        """Set the fields that are named here, and no other; see TaskChanges."""
        request = update(task_id, changes)
        return record(Task, (await self._call(self._stub.UpdateTask, request)).task)

    async def delete(
        self,
        task_id: str,
        *,
        etag: str = "",
        notify: WordLike = 0,
    ) -> None:
        """Delete a task that is not in progress and has no dependents. Its id stays taken."""
        request = pb.DeleteTaskRequest(task_id=task_id, etag=etag, notify=notified(notify))
        await self._call(self._stub.DeleteTask, request)

    async def assign(
        self,
        task_id: str,
        assignee_id: str,
        *,
        force: bool = False,
        **options: Unpack[ChangeOptions],
    ) -> Task:
        """Assign a task to an agent; with `force` even if another agent is working on it."""
        request = pb.AssignTaskRequest(
            task_id=task_id, assignee_id=assignee_id, force=force, **repeatable(options)
        )
        return record(Task, (await self._call(self._stub.AssignTask, request)).task)

    async def unassign(
        self, task_id: str, *, force: bool = False, **options: Unpack[ChangeOptions]
    ) -> Task:
        """Remove the assignee of a task; with `force` even if it is working on it."""
        request = pb.UnassignTaskRequest(task_id=task_id, force=force, **repeatable(options))
        return record(Task, (await self._call(self._stub.UnassignTask, request)).task)

    async def claim(
        self,
        *,
        max_wait: float = 0.0,
        max_tasks: int = 0,
        lease_duration: timedelta | None = None,
        request_id: str = "",
        **choice: Unpack[TaskChoice],
    ) -> list[ClaimedTask]:
        """Start up to `max_tasks` (default: 1) ready tasks, each under a lease (default: 60 s).

        If none is ready, wait up to `max_wait` seconds (50 at most); then return an empty list.
        Each task comes with the `lease_token` that proves who holds it. The caller must keep the
        lease with `heartbeat`. After an error with an unknown outcome, claiming again with the same
        `request_id` returns the same tasks and tokens, as long as their leases last.
        """
        request = pb.ClaimTaskRequest(
            max_tasks=max_tasks,
            filter=task_filter(choice),
            lease_duration=duration(lease_duration),
            request_id=request_id or new_id(),
        )
        clock = asyncio.get_running_loop().time
        end = clock() + max_wait

        def claim(request: pb.ClaimTaskRequest, **options: Any) -> Awaitable[pb.ClaimTaskResponse]:
            """Make the call; a repeat waits only for the rest of `max_wait`."""
            request.max_wait.FromTimedelta(timedelta(seconds=max(0.0, end - clock())))
            return self._stub.ClaimTask(request, **options)

        claimed = await self._call(claim, request, wait=max_wait)
        return [record(ClaimedTask, each) for each in claimed.tasks]

    async def start(
        self, task_id: str, *, acknowledge: Iterable[int] = (), **options: Unpack[Repeatable]
    ) -> Task:
        """Start a ready task without a lease; an unassigned task is assigned to the caller."""
        request = pb.StartTaskRequest(
            task_id=task_id, acknowledge_sequences=acknowledge, **repeatable(options)
        )
        return record(Task, (await self._call(self._stub.StartTask, request)).task)

    async def start_leased(
        self,
        task_id: str,
        lease_duration: timedelta,
        *,
        acknowledge: Iterable[int] = (),
        **options: Unpack[Repeatable],
    ) -> ClaimedTask:
        """Start a ready task under a lease of this duration, as `claim` does."""
        request = pb.StartTaskRequest(
            task_id=task_id,
            lease_duration=duration(lease_duration),
            acknowledge_sequences=acknowledge,
            **repeatable(options),
        )
        started = await self._call(self._stub.StartTask, request)
        claimed = pb.ClaimedTask(task=started.task, lease_token=started.lease_token)
        return record(ClaimedTask, claimed)

    async def heartbeat(
        self,
        task_id: str,
        *,
        percent: int | None = None,
        note: str = "",
        lease_token: str = "",
        usage: UsageLike | None = None,
    ) -> Heartbeat:
        """Report that the holder is alive, its progress, and what the attempt used so far."""
        progress = None if percent is None else pb.TaskProgress(percent=percent, note=note)
        request = pb.HeartbeatTaskRequest(
            task_id=task_id, progress=progress, lease_token=lease_token, usage=usage_of(usage)
        )
        return record(Heartbeat, await self._call(self._stub.HeartbeatTask, request))

    async def release(
        self,
        task_id: str,
        reason: str = "",
        *,
        lease_token: str = "",
        usage: UsageLike | None = None,
        **options: Unpack[Repeatable],
    ) -> Task:
        """Release a task: it is pending again."""
        request = pb.ReleaseTaskRequest(
            task_id=task_id,
            reason=reason,
            lease_token=lease_token,
            usage=usage_of(usage),
            **repeatable(options),
        )
        return record(Task, (await self._call(self._stub.ReleaseTask, request)).task)

    async def complete(
        self,
        task_id: str,
        summary: str = "",
        *,
        data: Mapping[str, Any] | None = None,
        attachments: Iterable[AttachmentLike] = (),
        acknowledge: Iterable[int] = (),
        **options: Unpack[HolderOptions],
    ) -> Task:
        """Complete a task, with a result for people (`summary`), for programs (`data`), and files.

        Each of `attachments` is the path of a file, or an Attachment.
        """
        files = await loaded(attachments)
        return await self.complete_as(
            completion(
                task_id, summary, data=data, attachments=files, acknowledge=acknowledge, **options
            )
        )

    async def complete_as(self, completion: pb.CompleteTaskRequest) -> Task:
        """Complete a task with a request that `completion` built."""
        return record(Task, (await self._call(self._stub.CompleteTask, completion)).task)

    async def complete_many(
        self, completions: Iterable[pb.CompleteTaskRequest]
    ) -> list[Task | DovetailError]:
        """Complete up to 1,000 tasks in one commit, each independently; see `completion`.

        Returns in order, for each, the task as an outline, or the error with which it was refused.
        """
        request = pb.BatchCompleteTasksRequest(requests=completions)
        response = await self._call(self._stub.BatchCompleteTasks, request)
        return [
            _refused(each.refusal) if each.HasField("refusal") else record(Task, each.task)
            for each in response.outcomes
        ]

    async def fail(
        self,
        task_id: str,
        message: str,
        *,
        data: Mapping[str, Any] | None = None,
        retryable: bool = False,
        acknowledge: Iterable[int] = (),
        **options: Unpack[HolderOptions],
    ) -> Task:
        """Fail a task with a message that says what went wrong; `retryable`: it may be retried."""
        request = pb.FailTaskRequest(
            task_id=task_id,
            failure=pb.TaskFailure(message=message, data=struct(data), retryable=retryable),
            acknowledge_sequences=acknowledge,
            **repeatable(options),
        )
        return record(Task, (await self._call(self._stub.FailTask, request)).task)

    async def cancel(
        self,
        task_id: str,
        reason: str = "",
        *,
        cascade: bool = False,
        **options: Unpack[ChangeOptions],
    ) -> Task:
        """Cancel a task; with `cascade` also its sub-tasks, at every level."""
        request = pb.CancelTaskRequest(
            task_id=task_id, reason=reason, cascade=cascade, **repeatable(options)
        )
        return record(Task, (await self._call(self._stub.CancelTask, request)).task)

    async def reopen(
        self, task_id: str, reason: str = "", **options: Unpack[ChangeOptions]
    ) -> Task:
        """Make an ended task PENDING again."""
        request = pb.ReopenTaskRequest(task_id=task_id, reason=reason, **repeatable(options))
        return record(Task, (await self._call(self._stub.ReopenTask, request)).task)

    async def report(
        self, *, bucket_duration: timedelta | None = None, **choice: Unpack[TaskChoice]
    ) -> Report:
        """Return totals, times and workload over the tasks of a choice, as in `list`."""
        request = pb.GetReportRequest(
            filter=task_filter(choice), bucket_duration=duration(bucket_duration)
        )
        return record(Report, (await self._call(self._stub.GetReport, request)).report)


def _refused(refusal: pb.Refusal) -> DovetailError:
    return from_status(
        refusal.code, refusal.message, reason=refusal.reason, metadata=refusal.metadata
    )
