"""What the calls of tasks share, and the attempts of a task."""

from __future__ import annotations

from functools import cached_property
from typing import TypeAlias

from dovetail.client.connection import Connection
from dovetail.client.pages import Pages
from dovetail.client.task_records import TaskAttempt
from dovetail.client.words import Order, WordLike, number
from dovetail.tasks.v1 import tasks_pb2 as pb
from dovetail.tasks.v1 import tasks_pb2_grpc

Stub: TypeAlias = "tasks_pb2_grpc.TaskServiceAsyncStub"


class TaskCalls:
    """Makes calls of TaskService; `Tasks` has most of them."""

    def __init__(self, connection: Connection) -> None:
        """Use `connect`."""
        self._call = connection.call
        self.connection = connection

    @cached_property
    def _stub(self) -> Stub:
        """The stub, which opens the channel: the first call needs it."""
        return tasks_pb2_grpc.TaskServiceStub(self.connection.channel)

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
