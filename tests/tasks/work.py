"""Agents that work on tasks over real channels: the words of the tests of tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message as Proto

from dovetail.messaging.v1 import messaging_pb2, messaging_pb2_grpc
from dovetail.server.store.tables import events, queues, tasks
from dovetail.server.store.tables.events import TaskEvent
from dovetail.server.store.tables.tasks import Task, TaskFilter
from dovetail.tasks.v1 import tasks_pb2 as pb
from dovetail.tasks.v1 import tasks_pb2_grpc
from support.pair import Metadata, Pair, bad_fields, caller, error_info

PENDING, IN_PROGRESS, INPUT_REQUIRED = (
    pb.TASK_STATE_PENDING,
    pb.TASK_STATE_IN_PROGRESS,
    pb.TASK_STATE_INPUT_REQUIRED,
)
COMPLETED, FAILED, CANCELLED = (
    pb.TASK_STATE_COMPLETED,
    pb.TASK_STATE_FAILED,
    pb.TASK_STATE_CANCELLED,
)
STATES = {
    "PENDING": PENDING,
    "IN_PROGRESS": IN_PROGRESS,
    "INPUT_REQUIRED": INPUT_REQUIRED,
    "COMPLETED": COMPLETED,
    "FAILED": FAILED,
    "CANCELLED": CANCELLED,
}
REQUESTS: dict[str, Any] = {
    "update": pb.UpdateTaskRequest,
    "delete": pb.DeleteTaskRequest,
    "assign": pb.AssignTaskRequest,
    "unassign": pb.UnassignTaskRequest,
    "start": pb.StartTaskRequest,
    "heartbeat": pb.HeartbeatTaskRequest,
    "release": pb.ReleaseTaskRequest,
    "request-input": pb.RequestTaskInputRequest,
    "provide-input": pb.ProvideTaskInputRequest,
    "complete": pb.CompleteTaskRequest,
    "fail": pb.FailTaskRequest,
    "cancel": pb.CancelTaskRequest,
    "reopen": pb.ReopenTaskRequest,
}
# Which steps bring a new, unassigned task into a state.
STEPS = {
    PENDING: (),
    IN_PROGRESS: ("start",),
    INPUT_REQUIRED: ("start", "request-input"),
    COMPLETED: ("start", "complete"),
    FAILED: ("start", "fail"),
    CANCELLED: ("cancel",),
}


def request(verb: str, task_id: str, **fields: Any) -> Any:
    """A request that does something to a task; what is required has a default."""
    if verb == "update":
        values = fields.pop("values", {"title": "another title"})
        task = pb.Task(task_id=task_id, **values)
        return pb.UpdateTaskRequest(task=task, update_mask=FieldMask(paths=values), **fields)
    if verb == "fail":
        fields.setdefault("failure", pb.TaskFailure(message="it broke"))
    if verb in ("request-input", "provide-input"):
        fields.setdefault("text", "which one?" if verb == "request-input" else "this one")
    return REQUESTS[verb](task_id=task_id, **fields)


@dataclass(frozen=True)
class Worker:
    """One caller of a team; without an id, a caller without an agent."""

    tasks: tasks_pb2_grpc.TaskServiceAsyncStub
    messaging: messaging_pb2_grpc.MessagingServiceAsyncStub
    agent_id: str
    team_id: str
    credential: Metadata = ()

    @property
    def metadata(self) -> Metadata:
        """What tells the server who calls."""
        return self.credential or caller(self.agent_id, self.team_id)

    def send(self, request: Proto) -> Coroutine[Any, Any, Any]:
        """Make the call that a request of the tasks' contract is for."""
        rpc = request.DESCRIPTOR.name.removesuffix("Request")
        return self._call(getattr(self.tasks, rpc), request)

    def create(self, **fields: Any) -> Coroutine[Any, Any, pb.CreateTaskResponse]:
        fields.setdefault("title", "a title")
        return self.send(pb.CreateTaskRequest(**fields))

    async def made(self, **fields: Any) -> pb.Task:
        """A new task."""
        return (await self.create(**fields)).task

    def do(self, verb: str, task_id: str, **fields: Any) -> Coroutine[Any, Any, Any]:
        """Do something to a task."""
        return self.send(request(verb, task_id, **fields))

    async def did(self, verb: str, task_id: str, **fields: Any) -> pb.Task:
        """The task, after something was done to it."""
        return (await self.do(verb, task_id, **fields)).task

    async def claim(
        self, max_wait: float = 0, lease_duration: float | None = None, **fields: Any
    ) -> list[pb.ClaimedTask]:
        """What the caller may work on now, or within so many seconds."""
        length = None if lease_duration is None else seconds(lease_duration)
        asked = pb.ClaimTaskRequest(max_wait=seconds(max_wait), lease_duration=length, **fields)
        return list((await self.send(asked)).tasks)

    async def held(self, task_id: str, lease: float = 3_600) -> str:
        """The token of a lease under which the caller now holds a task."""
        return (await self.do("start", task_id, lease_duration=seconds(lease))).lease_token

    async def bring(self, task_id: str, state: pb.TaskState.ValueType) -> pb.Task:
        """Bring a new task into a state, and answer it."""
        for verb in STEPS[state]:
            await self.do(verb, task_id)
        return await self.get(task_id)

    async def get(self, task_id: str) -> pb.Task:
        return (await self.send(pb.GetTaskRequest(task_id=task_id))).task

    def page(self, **fields: Any) -> Coroutine[Any, Any, pb.ListTasksResponse]:
        return self.send(pb.ListTasksRequest(**fields))

    async def all(self, filter: pb.TaskFilter | None = None, **fields: Any) -> list[pb.Task]:
        """All tasks that a filter chooses, page by page."""
        found: list[pb.Task] = []
        token = ""
        while True:
            page = await self.page(filter=filter, page_token=token, **fields)
            found.extend(page.tasks)
            token = page.next_page_token
            if not token:
                return found

    async def report(self, **fields: Any) -> pb.Report:
        return (await self.send(pb.GetReportRequest(**fields))).report

    def acknowledge(self, *sequences: int) -> Coroutine[Any, Any, Any]:
        request = messaging_pb2.AcknowledgeMessagesRequest(sequences=sequences)
        return self._call(self.messaging.AcknowledgeMessages, request)

    async def inbox(self) -> list[messaging_pb2.Delivery]:
        """The whole inbox, as a subscription gives it up to the mark CAUGHT_UP."""
        wish = messaging_pb2.SubscribeInboxRequest(include_acknowledged=True)
        stream: Any = self.messaging.SubscribeInbox(wish, metadata=self.metadata)
        found: list[messaging_pb2.Delivery] = []
        async for response in stream:
            found.extend(response.deliveries)
            if response.mark == messaging_pb2.STREAM_MARK_CAUGHT_UP:
                break
        stream.cancel()
        return found

    async def _call(self, method: Any, request: Any) -> Any:
        return await method(request, metadata=self.metadata)


@dataclass(frozen=True)
class Team:
    """A team of its own on the services, empty at first."""

    pair: Pair
    team_id: str

    def worker(self, agent_id: str = "") -> Worker:
        """A caller, known or not."""
        return Worker(self.pair.tasks, self.pair.messaging, agent_id, self.team_id)

    async def known(self, *agent_ids: str) -> list[Worker]:
        """Callers that are registered."""
        for agent_id in agent_ids:
            await self.pair.messaging.RegisterAgent(
                messaging_pb2.RegisterAgentRequest(), metadata=caller(agent_id, self.team_id)
            )
        return [self.worker(agent_id) for agent_id in agent_ids]

    async def waiting(self, worker: Worker, **fields: Any) -> asyncio.Task[list[pb.ClaimedTask]]:
        """A claim that waits at the server."""
        claim = asyncio.create_task(worker.claim(**{"max_wait": 30, **fields}))
        queue = (worker.team_id, queues.name(worker.agent_id))
        while queue not in self.pair.tasks_store.bells.watched():  # noqa: ASYNC110
            await asyncio.sleep(0)
        await worker.page(page_size=1)  # by then it has looked once
        return claim

    async def agents(self) -> list[messaging_pb2.Agent]:
        """Everybody who is known."""
        request = messaging_pb2.ListAgentsRequest(page_size=1_000)
        metadata = caller("", self.team_id)
        return list((await self.pair.messaging.ListAgents(request, metadata=metadata)).agents)

    async def message(self, message_id: str) -> messaging_pb2.MessageRecord:
        """One message, with its receipts."""
        request = messaging_pb2.GetMessageRequest(message_id=message_id)
        metadata = caller("", self.team_id)
        return (await self.pair.messaging.GetMessage(request, metadata=metadata)).record

    async def events(self, task_id: str) -> list[TaskEvent]:
        """The history of a task, as the store keeps it."""
        store, team_id = self.pair.tasks_store, self.team_id
        return await store.read(team_id, lambda s: events.of_task(s, task_id))

    async def row(self, task_id: str) -> Task | None:
        """A task, deleted or not, as the store keeps it."""
        store, team_id = self.pair.tasks_store, self.team_id
        return await store.read(team_id, lambda s: tasks.find(s, task_id))

    async def rows(self) -> list[Task]:
        """All tasks, as the store keeps them."""
        every = tasks.ListRequest(
            filter=TaskFilter(), newest_first=False, after=None, most=1_000, most_bytes=10**9
        )
        store, team_id = self.pair.tasks_store, self.team_id
        found, _ = await store.read(team_id, lambda s: tasks.page(s, every))
        return found

    async def verbs(self, task_id: str) -> list[str]:
        """What was done to a task, or happened to it, in order."""
        return [event.verb.words for event in await self.events(task_id)]

    async def picture(self, task_id: str) -> tuple[Any, ...]:
        """All that a change of a task could change: task, history, agents with their inboxes."""
        agents = [agent.SerializeToString(deterministic=True) for agent in await self.agents()]
        return await self.row(task_id), await self.events(task_id), agents


def seconds(number: float) -> Duration:
    """A length of time."""
    made = Duration()
    made.FromMicroseconds(round(number * 1_000_000))
    return made


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something that nobody announces."""
    while not await condition():  # noqa: ASYNC110
        await asyncio.sleep(0.02)


async def refusal(call: Any) -> tuple[grpc.StatusCode, str, dict[str, str]]:
    """Status, reason and metadata of the error of a call, which must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    info = error_info(caught.value)
    return caught.value.code(), info.reason, dict(info.metadata)


async def faults(call: Any) -> set[str]:
    """The fields for which a call is refused, as it must be."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    return set(bad_fields(caught.value))


def changed_fields(before: pb.Task, after: pb.Task) -> set[str]:
    """The names of the fields in which two tasks differ, set or unset."""
    names = (field.name for field in pb.Task.DESCRIPTOR.fields)
    return {name for name in names if _field(before, name) != _field(after, name)}


def ids(items: Iterable[pb.Task]) -> list[str]:
    """The ids of tasks, in order."""
    return [task.task_id for task in items]


def _field(task: pb.Task, name: str) -> Any:
    field: Any = pb.Task.DESCRIPTOR.fields_by_name[name]
    present = not field.has_presence or task.HasField(field.name)
    return getattr(task, name) if present else None
