"""Random teams at work, on both services, against a model of what these promise."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from dataclasses import replace
from typing import Any, cast

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from dovetail.messaging.v1 import messaging_pb2 as talk
from dovetail.messaging.v1 import messaging_pb2_grpc as talk_grpc
from dovetail.server.main import ServerConfig, build, running
from dovetail.tasks.v1 import tasks_pb2 as work
from dovetail.tasks.v1 import tasks_pb2_grpc as work_grpc
from model.model import (
    CANCELLED,
    COMPLETED,
    ENDED,
    FAILED,
    IN_PROGRESS,
    PENDING,
    Answer,
    Delivery,
    Model,
    RefusedError,
    Task,
)
from support.pair import caller, error_info

AGENTS = ("ann", "bob", "cat", "dan")
ANYBODY = st.sampled_from((*AGENTS, ""))
AGENT = st.sampled_from(AGENTS)
REQUEST_ID = st.sampled_from((*[""] * 12, *(f"r{number}" for number in range(8))))
NUMBER = st.integers(0, 9)
CHANGES: tuple[type, ...] = (
    work.UpdateTaskRequest,
    work.DeleteTaskRequest,
    work.AssignTaskRequest,
    work.UnassignTaskRequest,
    work.StartTaskRequest,
    work.StartTaskRequest,
    work.CompleteTaskRequest,
    work.FailTaskRequest,
    work.CancelTaskRequest,
    work.ReopenTaskRequest,
)
# What is likely to be asked of a task, by its state.
LIKELY: dict[int, tuple[type, ...]] = {
    PENDING: (work.StartTaskRequest, work.StartTaskRequest, *CHANGES),
    IN_PROGRESS: (
        work.CompleteTaskRequest,
        work.CompleteTaskRequest,
        work.FailTaskRequest,
        work.CancelTaskRequest,
        work.UpdateTaskRequest,
        work.AssignTaskRequest,
        work.UnassignTaskRequest,
    ),
    **dict.fromkeys(ENDED, (work.ReopenTaskRequest, work.ReopenTaskRequest, *CHANGES)),
}


class Wire:
    """Both services as a blocking caller sees them."""

    def __init__(self, messaging_address: str, tasks_address: str) -> None:
        self._channels = [grpc.insecure_channel(a) for a in (messaging_address, tasks_address)]
        self._messaging = talk_grpc.MessagingServiceStub(self._channels[0])
        self._tasks = work_grpc.TaskServiceStub(self._channels[1])

    def call(self, request: Any, actor: str, team_id: str) -> Any:
        """Make the call that a request is for."""
        ours = request.DESCRIPTOR.file.package.startswith("dovetail.tasks")
        stub = cast(Any, self._tasks if ours else self._messaging)
        method = getattr(stub, request.DESCRIPTOR.name.removesuffix("Request"))
        return method(request, metadata=caller(actor, team_id), timeout=30)

    def inbox(self, agent_id: str, team_id: str) -> list[talk.Delivery]:
        """All of an inbox, as a subscription gives it."""
        stream = self.call(talk.SubscribeInboxRequest(include_acknowledged=True), agent_id, team_id)
        found: list[talk.Delivery] = []
        for response in stream:
            found.extend(response.deliveries)
            if response.mark == talk.STREAM_MARK_CAUGHT_UP:
                stream.cancel()
                return found
        raise AssertionError("the stream ended before it had caught up")

    def close(self) -> None:
        for channel in self._channels:
            channel.close()


class Work(RuleBasedStateMachine):
    """One team: every request goes to the services and to the model, and both must agree."""

    wire: Wire

    def __init__(self) -> None:
        super().__init__()
        self.team_id = uuid.uuid4().hex
        self.model = Model()
        self.asked: list[tuple[str, Any]] = []
        self.etags: dict[str, dict[int, str]] = {}

    @initialize(agents=st.sets(AGENT, min_size=1))
    def begin(self, agents: set[str]) -> None:
        for agent in sorted(agents):
            self.register(agent)

    @rule(agent=AGENT)
    def register(self, agent: str) -> None:
        self.ask(agent, talk.RegisterAgentRequest())

    @rule(actor=ANYBODY, to=st.lists(AGENT, min_size=1), request_id=REQUEST_ID, number=NUMBER)
    def send(self, actor: str, to: list[str], request_id: str, number: int) -> None:
        body = f"message {number}"
        self.ask(actor, talk.SendMessageRequest(recipient_ids=to, body=body, request_id=request_id))

    @rule(agent=AGENT, sequences=st.sets(st.integers(1, 6)), through=st.integers(0, 4))
    def acknowledge(self, agent: str, sequences: set[int], through: int) -> None:
        if sequences or through:
            request = talk.AcknowledgeMessagesRequest(sequences=sequences, through_sequence=through)
            self.ask(agent, request)

    @rule(
        actor=ANYBODY,
        assignee=ANYBODY,
        task_id=st.sampled_from(("", "", "", "t2", "mine")),
        request_id=REQUEST_ID,
        notify=st.sampled_from((0, 0, 1, 2)),
    )
    def create(self, actor: str, assignee: str, task_id: str, request_id: str, notify: Any) -> None:
        request = work.CreateTaskRequest(
            title="a title", assignee_id=assignee, task_id=task_id, notify=notify
        )
        request.request_id = request_id
        self.ask(actor, request)

    @precondition(lambda self: self.model.tasks)
    @rule(data=st.data(), kind=st.sampled_from(CHANGES), actor=ANYBODY)
    def change(self, data: st.DataObject, kind: type, actor: str) -> None:
        self.change_task(data, kind, actor, data.draw(st.sampled_from(self.model.tasks)))

    @precondition(lambda self: self.model.living())
    @rule(data=st.data())
    def advance(self, data: st.DataObject) -> None:
        task = data.draw(st.sampled_from(self.model.living()[-3:]))
        kind = data.draw(st.sampled_from(LIKELY[task.state]))
        actor = data.draw(st.sampled_from((task.assignee_id, task.assignee_id, task.creator_id)))
        self.change_task(data, kind, actor, task)

    @precondition(lambda self: self.model.living())
    @rule(data=st.data())
    def advance_more(self, data: st.DataObject) -> None:
        self.advance(data)
        if self.model.living():
            self.advance(data)

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        self.ask(*data.draw(st.sampled_from(self.asked)))

    def change_task(self, data: st.DataObject, kind: type, actor: str, task: Task) -> None:
        """Ask for a change of a task, with what else it takes drawn."""
        request = kind()
        if isinstance(request, work.UpdateTaskRequest):
            request.task.task_id = task.task_id
            request.task.priority = data.draw(st.integers(0, 2))
            request.update_mask.CopyFrom(FieldMask(paths=["priority"]))
        else:
            request.task_id = data.draw(st.sampled_from((*[task.task_id] * 9, "none")))
        drawn: dict[str, Any] = {
            "assignee_id": AGENT,
            "force": st.booleans(),
            "etag": st.sampled_from(
                ("", "", "", task.etag, *self.etags.get(task.task_id, {}).values())
            ),
            "notify": st.sampled_from((0, 0, 0, 2)),
            "request_id": REQUEST_ID,
            "reason": st.sampled_from(("", "a reason")),
        }
        for name in sorted({*kind.DESCRIPTOR.fields_by_name} & {*drawn}):
            setattr(request, name, data.draw(drawn[name], label=name))
        if isinstance(request, work.CompleteTaskRequest):
            request.result.summary = "well"
        if isinstance(request, work.FailTaskRequest):
            request.failure.message = "badly"
        self.ask(actor, request)

    def ask(self, actor: str, request: Any) -> None:
        """Send a request, and compare the answer with the model's."""
        if getattr(request, "request_id", ""):
            self.asked.append((actor, request))
        expected = self.expected(actor, request)
        if isinstance(expected, str):
            assert self.refusal(actor, request) == expected
            return
        response = self.wire.call(request, actor, self.team_id)
        if expected.counts is not None:
            counts = (response.acknowledged_count, response.unacknowledged_count)
            assert counts == expected.counts
            return
        receipts = getattr(response, "deliveries", None) or getattr(response, "notices", ())
        assert [(each.recipient_id, each.sequence) for each in receipts] == expected.receipts
        if expected.task and not isinstance(request, work.DeleteTaskRequest):
            self.learn(expected, response.task)
            assert seen(response.task) == known(expected.task)

    def expected(self, actor: str, request: Any) -> Answer | str:
        """The model's answer, or the reason for which it refuses."""
        try:
            return self.model.answer(actor, request)
        except RefusedError as refused:
            return str(refused)

    def refusal(self, actor: str, request: Any) -> str:
        """The reason for which a request is refused."""
        try:
            self.wire.call(request, actor, self.team_id)
        except grpc.RpcError as error:
            return error_info(cast(Any, error)).reason
        return "not refused"

    def learn(self, expected: Answer, answered: work.Task) -> None:
        """Take from an answer what the services choose: an id nobody has, an etag per version."""
        task = cast(Task, expected.task)
        if not task.task_id:
            assert answered.task_id not in {other.task_id for other in self.model.tasks}
            task.task_id = answered.task_id
            for recipient_id, sequence in expected.receipts:
                notice = self.model.inboxes[recipient_id][sequence - 1].notice
                cast(talk.Notice, notice).task_id = answered.task_id
        etags = self.etags.setdefault(task.task_id, {})
        assert etags.setdefault(task.version, answered.etag) == answered.etag
        assert len({*etags.values()}) == len(etags)
        task.etag = answered.etag

    def teardown(self) -> None:
        """Compare everything that can be read: inboxes, agents, tasks, the report."""
        for agent_id, inbox in self.model.inboxes.items():
            deliveries = self.wire.inbox(agent_id, self.team_id)
            assert [each.sequence for each in deliveries] == [*range(1, len(inbox) + 1)]
            assert [delivered(each) for each in deliveries] == inbox
        agents = self.read(talk.ListAgentsRequest()).agents
        assert {
            each.agent_id: (each.last_sequence, each.unacknowledged_count) for each in agents
        } == {
            agent_id: (len(inbox), self.model.unacknowledged(agent_id))
            for agent_id, inbox in self.model.inboxes.items()
        }
        listed = self.read(work.ListTasksRequest(page_size=1_000)).tasks
        assert [seen(task) for task in listed] == [known(task) for task in self.model.living()]
        self.compare_report(self.read(work.GetReportRequest()).report)

    def compare_report(self, report: work.Report) -> None:
        """Compare the counts of the report."""
        living = self.model.living()
        assert report.total_tasks == len(living)
        states = Counter(task.state for task in living)
        assert {each.state: each.count for each in report.states if each.count} == states
        assert report.completed_tasks == states[COMPLETED] == report.task_time.sample_count
        assert [row.assignee_id for row in report.assignees] == sorted(
            {task.assignee_id for task in living}
        )
        for row in report.assignees:
            counts = self.model.workload(row.assignee_id)
            assert row.total_tasks == counts.total()
            assert row.open_tasks == counts[PENDING] + counts[IN_PROGRESS]
            assert row.completed_tasks == counts[COMPLETED]
            assert row.failed_tasks == counts[FAILED]
            assert row.cancelled_tasks == counts[CANCELLED]
            assert row.unacknowledged_messages == self.model.unacknowledged(row.assignee_id)

    def read(self, request: Any) -> Any:
        """Read something as a caller without an agent."""
        return self.wire.call(request, "", self.team_id)


def seen(task: work.Task) -> Task:
    """A task of an answer, as the model sees tasks."""
    return Task(
        task_id=task.task_id,
        title=task.title,
        creator_id=task.creator_id,
        assignee_id=task.assignee_id,
        priority=task.priority,
        state=task.state,
        attempt=task.attempt,
        outcome=task.result.summary or task.failure.message or task.cancel_reason,
        etag=task.etag,
    )


def known(task: Task) -> Task:
    """A task of the model, without what no answer tells."""
    return replace(task, version=0)


def delivered(delivery: talk.Delivery) -> Delivery:
    """A delivery of a stream, as the model sees deliveries."""
    message = delivery.message
    notice = message.notice if message.HasField("notice") else None
    assert (message.kind == talk.MESSAGE_KIND_NOTICE) == (notice is not None)
    return Delivery(
        sender_id=message.sender_id,
        says="" if notice else message.body,
        notice=notice,
        acknowledged=delivery.state == talk.DELIVERY_STATE_ACKNOWLEDGED,
    )


def run(messaging_address: str, tasks_address: str, examples: int) -> None:
    """Let so many random teams work, each anew and all the same in every run."""
    wire = Wire(messaging_address, tasks_address)
    machine = type("Work", (Work,), {"wire": wire})
    try:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=examples,
                stateful_step_count=40,
                deadline=None,
                database=None,
                derandomize=True,
                phases=(Phase.generate, Phase.shrink),
                suppress_health_check=[HealthCheck.too_slow],
            ),
        )
    finally:
        wire.close()


# A failure is made small before it is told, which takes its time.
pytestmark = pytest.mark.timeout(600)


async def test_services_on_sqlite_do_what_the_model_does(sqlite_url: str) -> None:
    await against_the_model(sqlite_url, 60)


async def test_services_on_postgres_do_what_the_model_does(postgres_url: str) -> None:
    await against_the_model(postgres_url, 10)


async def against_the_model(store_url: str, examples: int) -> None:
    """Run both services here, and the blocking callers on a thread of their own."""
    async with (
        running(config(store_url, "messaging"), build) as messaging,
        running(config(store_url, "tasks"), build) as tasks,
    ):
        await asyncio.to_thread(run, messaging.address, tasks.address, examples)


def config(store_url: str, service: str) -> ServerConfig:
    return ServerConfig(service=service, store=store_url, listen="127.0.0.1:0", drain_seconds=2.0)
