"""Callers over real channels: stubs and metadata, with a word for each thing that tests do often.

Fields of requests are given as keywords.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from dovetail.messaging.v1 import messaging_pb2 as talk
from dovetail.messaging.v1 import messaging_pb2_grpc
from dovetail.tasks.v1 import tasks_pb2 as work
from dovetail.tasks.v1 import tasks_pb2_grpc
from support.pair import Metadata, Stubs, identity
from support.refusals import failure
from support.tables import STEPS, request


class Inbox:
    """An open stream of an inbox."""

    def __init__(self, call: Any) -> None:
        self._call = call

    async def next(self) -> talk.SubscribeInboxResponse:
        """The next response."""
        response = await self._call.read()
        assert isinstance(response, talk.SubscribeInboxResponse), await self.end()
        return response

    async def until(self, mark: talk.StreamMark.ValueType) -> list[talk.SubscribeInboxResponse]:
        """All responses up to the first with this mark."""
        responses = [await self.next()]
        while responses[-1].mark != mark:
            responses.append(await self.next())
        return responses

    async def backlog(self) -> list[talk.Delivery]:
        """All deliveries up to the mark CAUGHT_UP."""
        responses = await self.until(talk.STREAM_MARK_CAUGHT_UP)
        return [delivery for response in responses for delivery in response.deliveries]

    async def take(self, count: int) -> list[talk.Delivery]:
        """At least so many deliveries more, whatever the marks."""
        found: list[talk.Delivery] = []
        while len(found) < count:
            found.extend((await self.next()).deliveries)
        return found

    async def end(self) -> grpc.aio.AioRpcError:
        """The error with which the stream ends."""
        return await failure(self._call.read())


class Watch:
    """An open stream of events."""

    def __init__(self, call: Any) -> None:
        self._call = call

    async def next(self) -> work.WatchTasksResponse:
        """The next response."""
        response = await self._call.read()
        assert isinstance(response, work.WatchTasksResponse), await self.end()
        return response

    async def until(self, mark: work.StreamMark.ValueType) -> list[work.WatchTasksResponse]:
        """All responses up to the first with this mark."""
        responses = [await self.next()]
        while responses[-1].mark != mark:
            responses.append(await self.next())
        return responses

    async def backlog(self) -> list[work.TaskEvent]:
        """All events up to the mark CAUGHT_UP."""
        responses = await self.until(work.STREAM_MARK_CAUGHT_UP)
        return [event for response in responses for event in response.events]

    async def take(self, count: int) -> list[work.TaskEvent]:
        """At least so many events more, whatever the marks."""
        found: list[work.TaskEvent] = []
        while len(found) < count:
            found.extend((await self.next()).events)
        return found

    async def end(self) -> grpc.aio.AioRpcError:
        """The error with which the stream ends."""
        return await failure(self._call.read())


@dataclass(frozen=True)
class Caller:
    """One caller of a team, registered or not; without an id, a caller without an agent."""

    stubs: Stubs
    agent_id: str = ""
    team_id: str = ""
    credential: Metadata = ()

    @property
    def metadata(self) -> Metadata:
        """What tells the server who calls."""
        return self.credential or identity(self.agent_id, self.team_id)

    @property
    def messaging(self) -> messaging_pb2_grpc.MessagingServiceAsyncStub:
        """The messaging service."""
        return self.stubs.messaging

    @property
    def tasks(self) -> tasks_pb2_grpc.TaskServiceAsyncStub:
        """The task service."""
        return self.stubs.tasks

    def call(self, request: Message) -> Coroutine[Any, Any, Any]:
        """Make the call that a request of messaging or tasks is for."""
        ours = request.DESCRIPTOR.file.package.startswith("dovetail.tasks")
        rpc = request.DESCRIPTOR.name.removesuffix("Request")
        return self._call(getattr(self.tasks if ours else self.messaging, rpc), request)

    async def _call(self, method: Any, request: Any) -> Any:
        return await method(request, metadata=self.metadata)

    # Messages

    def register(self, **fields: Any) -> Coroutine[Any, Any, talk.RegisterAgentResponse]:
        return self.call(talk.RegisterAgentRequest(**fields))

    async def look(self, **fields: Any) -> talk.Agent:
        """GetAgent."""
        return (await self.call(talk.GetAgentRequest(**fields))).agent

    def list_agents(self, **fields: Any) -> Coroutine[Any, Any, talk.ListAgentsResponse]:
        return self.call(talk.ListAgentsRequest(**fields))

    def send(
        self, *recipient_ids: str, **fields: Any
    ) -> Coroutine[Any, Any, talk.SendMessageResponse]:
        return self.call(talk.SendMessageRequest(recipient_ids=recipient_ids, **fields))

    def acknowledge(
        self, *sequences: int, **fields: Any
    ) -> Coroutine[Any, Any, talk.AcknowledgeMessagesResponse]:
        fields.setdefault("sequences", sequences)
        return self.call(talk.AcknowledgeMessagesRequest(**fields))

    async def read(self, message_id: str) -> talk.MessageRecord:
        """GetMessage."""
        return (await self.call(talk.GetMessageRequest(message_id=message_id))).record

    def list_messages(self, **fields: Any) -> Coroutine[Any, Any, talk.ListMessagesResponse]:
        return self.call(talk.ListMessagesRequest(**fields))

    @asynccontextmanager
    async def inbox(self, **fields: Any) -> AsyncGenerator[Inbox]:
        """SubscribeInbox, for as long as the block lasts."""
        request = talk.SubscribeInboxRequest(**fields)
        call = self.messaging.SubscribeInbox(request, metadata=self.metadata)
        try:
            yield Inbox(call)
        finally:
            call.cancel()

    async def backlog(self, **fields: Any) -> list[talk.Delivery]:
        """What a subscription gives up to the mark CAUGHT_UP."""
        async with self.inbox(**fields) as inbox:
            return await inbox.backlog()

    def received(self) -> Coroutine[Any, Any, list[talk.Delivery]]:
        """The whole inbox, acknowledged or not."""
        return self.backlog(include_acknowledged=True)

    # Tasks

    def create(self, **fields: Any) -> Coroutine[Any, Any, work.CreateTaskResponse]:
        fields.setdefault("title", "a title")
        return self.call(work.CreateTaskRequest(**fields))

    async def made(self, **fields: Any) -> work.Task:
        """A new task."""
        return (await self.create(**fields)).task

    def do(self, verb: str, task_id: str, **fields: Any) -> Coroutine[Any, Any, Any]:
        """Do something to a task."""
        return self.call(request(verb, task_id, **fields))

    async def did(self, verb: str, task_id: str, **fields: Any) -> work.Task:
        """The task, after something was done to it."""
        return (await self.do(verb, task_id, **fields)).task

    async def claim(
        self, max_wait: float = 0, lease_duration: float | None = None, **fields: Any
    ) -> list[work.ClaimedTask]:
        """What the caller may work on now, or within so many seconds."""
        lease = None if lease_duration is None else seconds(lease_duration)
        asked = work.ClaimTaskRequest(max_wait=seconds(max_wait), lease_duration=lease, **fields)
        return list((await self.call(asked)).tasks)

    async def held(self, task_id: str, lease: float = 3_600) -> str:
        """The token of a lease under which the caller now holds a task."""
        return (await self.do("start", task_id, lease_duration=seconds(lease))).lease_token

    async def bring(self, task_id: str, state: work.TaskState.ValueType) -> work.Task:
        """Bring a new task into a state, and return it."""
        for verb in STEPS[state]:
            await self.do(verb, task_id)
        return await self.get(task_id)

    async def get(self, task_id: str) -> work.Task:
        return (await self.call(work.GetTaskRequest(task_id=task_id))).task

    def page(self, **fields: Any) -> Coroutine[Any, Any, work.ListTasksResponse]:
        return self.call(work.ListTasksRequest(**fields))

    async def all(self, filter: work.TaskFilter | None = None, **fields: Any) -> list[work.Task]:
        """All tasks that a filter chooses, page by page."""
        found: list[work.Task] = []
        token = ""
        while True:
            page = await self.page(filter=filter, page_token=token, **fields)
            found.extend(page.tasks)
            token = page.next_page_token
            if not token:
                return found

    @asynccontextmanager
    async def watch(self, **fields: Any) -> AsyncGenerator[Watch]:
        """WatchTasks, for as long as the block lasts."""
        call = self.tasks.WatchTasks(work.WatchTasksRequest(**fields), metadata=self.metadata)
        try:
            yield Watch(call)
        finally:
            call.cancel()

    async def watched(self, **fields: Any) -> list[work.TaskEvent]:
        """What a watch gives up to the mark CAUGHT_UP."""
        async with self.watch(**fields) as watch:
            return await watch.backlog()

    async def report(self, **fields: Any) -> work.Report:
        return (await self.call(work.GetReportRequest(**fields))).report


def seconds(number: float) -> Duration:
    """A length of time."""
    made = Duration()
    made.FromMicroseconds(round(number * 1_000_000))
    return made


def ids(tasks: Iterable[work.Task]) -> list[str]:
    """The ids of tasks, in order."""
    return [task.task_id for task in tasks]


def sequences(deliveries: Iterable[talk.Delivery]) -> list[int]:
    """Where deliveries stand in their inbox."""
    return [delivery.receipt.sequence for delivery in deliveries]
