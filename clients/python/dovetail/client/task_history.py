"""What has happened to tasks, and what happens: the history, read in pages or as a stream."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cached_property
from typing import TypeAlias, Unpack

from dovetail.client.choices import EventChoice, event_filter
from dovetail.client.connection import Connection
from dovetail.client.following import Following
from dovetail.client.pages import Pages
from dovetail.client.records import record
from dovetail.client.task_records import Task, TaskAttempt, TaskEvent
from dovetail.client.words import Order, StartPosition, WordLike, number
from dovetail.tasks.v1 import tasks_pb2 as pb
from dovetail.tasks.v1 import tasks_pb2_grpc

Stub: TypeAlias = "tasks_pb2_grpc.TaskServiceAsyncStub"


class TaskWatch(Following[TaskEvent]):
    """The events of tasks, in order, each once. Close it, preferably with `async with`.

    Like an Inbox, it resumes automatically and does not end by itself.
    """

    @property
    def through_event(self) -> int:
        """The cursor to resume after: all up to it were returned, or do not match the request."""
        # Not that of the last response: a caller that keeps the cursor would lose what waits here.
        return self._ready[0].event_number - 1 if self._ready else self._request.after_event

    def _take(self, response: pb.WatchTasksResponse) -> list[TaskEvent]:
        self._request.after_event = response.through_event
        return [record(TaskEvent, event) for event in response.events]


class TaskPages(Pages[Task]):
    """The tasks of a listing, and where a watch goes on without a gap."""

    through_event: int | None = None
    """The number of the team's last event when the first page was read; None before."""

    def __init__(
        self, read: Callable[[], Awaitable[pb.ListTasksResponse]], request: pb.ListTasksRequest
    ) -> None:
        """List the tasks of each response that `read` gets for the request."""

        async def reading() -> pb.ListTasksResponse:
            response = await read()
            if self.through_event is None:
                self.through_event = response.through_event
            return response

        super().__init__(reading, request, "tasks", Task)


class TaskHistory:
    """The history of the tasks of a team."""

    def __init__(self, connection: Connection) -> None:
        """Use `connect`."""
        self._call = connection.call
        self.connection = connection

    @cached_property
    def _stub(self) -> Stub:
        """The stub, which opens the channel: the first call needs it."""
        return tasks_pb2_grpc.TaskServiceStub(self.connection.channel)

    def events(
        self,
        *,
        order: WordLike = 0,
        page_size: int = 0,
        page_token: str = "",
        **choice: Unpack[EventChoice],
    ) -> Pages[TaskEvent]:
        """Iterate over the history of one task or of the team, reading page after page.

        tasks.events(task_id="t1", verbs=["fail", "complete"])
        """
        request = pb.ListTaskEventsRequest(
            filter=event_filter(choice),
            order=number(Order, order),
            page_size=page_size,
            page_token=page_token,
        )
        return Pages(
            lambda: self._call(self._stub.ListTaskEvents, request), request, "events", TaskEvent
        )

    def watch(
        self,
        *,
        position: WordLike = 0,
        after_event: int | None = None,
        **choice: Unpack[EventChoice],
    ) -> TaskWatch:
        """Return a stream of the events of one task or of the team: an async iterator.

        It starts with the first event, or at `position`, or after the number of an event.

        tasks.watch(position="now", verbs=["fail", "complete"])
        """
        request = pb.WatchTasksRequest(filter=event_filter(choice))
        if after_event is not None:
            request.after_event = after_event
        else:
            request.position = number(StartPosition, position)
        return TaskWatch(self.connection, lambda: self._stub.WatchTasks, request)

    def attempts(
        self, task_id: str, *, order: WordLike = 0, page_size: int = 0, page_token: str = ""
    ) -> Pages[TaskAttempt]:
        """Iterate over the attempts of a task, the oldest first: who held it, how that ended."""
        request = pb.ListTaskAttemptsRequest(
            task_id=task_id,
            order=number(Order, order),
            page_size=page_size,
            page_token=page_token,
        )
        return Pages(
            lambda: self._call(self._stub.ListTaskAttempts, request),
            request,
            "attempts",
            TaskAttempt,
        )
