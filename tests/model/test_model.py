"""Random teams at work, on both services, against a model of what these promise."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from functools import partial
from typing import Any, cast

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
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
from dovetail.tasks.v1 import tasks_pb2 as work
from model.answers import Answer
from model.drawing import (
    AGENT,
    ANYBODY,
    CHANGES,
    LEASE,
    LIKELY,
    NOTIFY,
    NUMBER,
    REQUEST_ID,
    Drawing,
    dependencies,
)
from model.model import Model
from model.task import NEW_TOKEN, RefusedError, Task
from model.wire import Keeping, Wire, delivered, known, seen
from support.pair import running_pair
from support.refusals import error_info
from support.soak import SOAK
from support.tables import CANCELLED, COMPLETED, FAILED, HELD, IN_PROGRESS, PENDING
from tasks import figures


class Work(RuleBasedStateMachine):
    """One team: every request goes to the services and to the model, and both must agree."""

    wire: Wire

    def __init__(self) -> None:
        super().__init__()
        self.team_id = uuid.uuid4().hex
        self.model = Model()
        self.asked: list[tuple[str, Any]] = []
        self.etags: dict[str, dict[int, str]] = {}
        self.tokens: list[str] = []

    @initialize(agents=st.sets(AGENT, min_size=2), data=st.data())
    def begin(self, agents: set[str], data: st.DataObject) -> None:
        for agent in sorted(agents):
            self.ask(agent, talk.RegisterAgentRequest())
        for _ in range(data.draw(st.integers(0, 4), label="tasks")):
            actor, assignee = (data.draw(st.sampled_from((*agents, ""))) for _ in range(2))
            self.create(data, actor, assignee, task_id="", request_id="")

    @rule(data=st.data(), actor=ANYBODY, request_id=REQUEST_ID, number=NUMBER)
    def talk(self, data: st.DataObject, actor: str, request_id: str, number: int) -> None:
        kind = data.draw(st.sampled_from(("register", "send", "send", "acknowledge")))
        if kind == "register" and actor:
            self.ask(actor, talk.RegisterAgentRequest())
        elif kind == "acknowledge" and actor:
            self.acknowledge(data, actor)
        else:
            to = data.draw(st.lists(AGENT, min_size=1))
            body = f"message {number}"
            send = talk.SendMessageRequest(recipient_ids=to, body=body, request_id=request_id)
            self.ask(actor, send)

    def acknowledge(self, data: st.DataObject, agent: str) -> None:
        """Acknowledge some of an inbox, and now and then what it has not reached."""
        most = len(self.model.inboxes.get(agent, ())) + 1
        request = talk.AcknowledgeMessagesRequest(
            sequences=data.draw(st.sets(st.integers(1, most), min_size=1, max_size=4)),
            through_sequence=data.draw(st.sampled_from((0, 0, most // 2, most))),
        )
        self.ask(agent, request)

    @rule(
        data=st.data(),
        actor=ANYBODY,
        assignee=ANYBODY,
        task_id=st.sampled_from(("", "", "", "t2", "mine")),
        request_id=REQUEST_ID,
    )
    def create(
        self, data: st.DataObject, actor: str, assignee: str, task_id: str, request_id: str
    ) -> None:
        request = work.CreateTaskRequest(
            title="a title",
            assignee_id=assignee,
            task_id=task_id,
            notify=data.draw(st.sampled_from(NOTIFY)),
            request_id=request_id,
            depends_on=data.draw(dependencies([each.task_id for each in self.model.tasks])),
            max_attempts=data.draw(st.sampled_from((0, 1, 2))),
            initial_backoff=Duration(),
        )
        self.ask(actor, request)

    @precondition(lambda self: any(task.state == PENDING for task in self.model.living()))
    @rule(agent=AGENT, most=st.integers(0, 3))
    def claim(self, agent: str, most: int) -> None:
        self.ask(agent, work.ClaimTaskRequest(max_tasks=most, lease_duration=LEASE))

    @precondition(lambda self: self.held())
    @rule(data=st.data(), heartbeats=st.sampled_from((0, 0, 0, 1)))
    def lose_lease(self, data: st.DataObject, heartbeats: int) -> None:
        task = data.draw(st.sampled_from(self.held()))
        lost = self.wire.lose(task.task_id, self.team_id, heartbeats)
        assert lost == (task.state == IN_PROGRESS and not heartbeats)
        if lost:
            self.model.lose(task)
            self.learn_etags()

    @precondition(lambda self: self.model.tasks)
    @rule(data=st.data(), kind=st.sampled_from(CHANGES), actor=ANYBODY)
    def change(self, data: st.DataObject, kind: type, actor: str) -> None:
        self.change_task(data, kind, actor, data.draw(st.sampled_from(self.model.tasks)))

    @precondition(lambda self: self.model.living())
    @rule(data=st.data(), times=st.integers(1, 8))
    def advance(self, data: st.DataObject, times: int) -> None:
        for _ in range(times):
            if living := self.model.living():
                task = data.draw(st.sampled_from(living[:6]))
                kind = data.draw(st.sampled_from(LIKELY[task.state]))
                likely = (task.assignee_id, task.assignee_id, task.asked_id, task.creator_id)
                self.change_task(data, kind, data.draw(st.sampled_from(likely)), task)

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        self.ask(*data.draw(st.sampled_from(self.asked)))

    def held(self) -> list[Task]:
        """The tasks that somebody holds by a lease."""
        return [task for task in self.model.living() if task.leased]

    def change_task(self, data: st.DataObject, kind: type, actor: str, task: Task) -> None:
        """Ask for a change of a task, with what else it takes drawn."""
        etags = self.etags.get(task.task_id, {})
        drawing = Drawing(
            data,
            task,
            ids=[each.task_id for each in self.model.tasks],
            etags=[*etags.values()],
            tokens=self.tokens[-3:],
        )
        self.ask(actor, drawing.change(kind))

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
            assert counts(response) == expected.counts
        elif expected.claimed is not None:
            self.compare_claimed(expected.claimed, response)
        else:
            self.compare(expected, request, response)
        self.learn_etags()

    def compare(self, expected: Answer, request: Any, response: Any) -> None:
        """Compare receipts, the task, and the token of its lease."""
        receipts = getattr(response, "receipts", None) or getattr(response, "notices", ())
        assert [
            (each.recipient_id, each.sequence) for each in receipts
        ] == expected.receipts + expected.followed
        if expected.task and not isinstance(request, work.DeleteTaskRequest):
            self.learn(expected, response.task)
            assert seen(response.task) == known(expected.task)
        if isinstance(request, work.StartTaskRequest):
            task = cast(Task, expected.task)
            self.learn_token(task, response.lease_token)
            token = expected.token = expected.token or response.lease_token
            assert response.lease_token == (token if token == task.token else "")

    def compare_claimed(self, expected: list[Task], response: work.ClaimTaskResponse) -> None:
        """Compare the tasks of a claim."""
        for task, each in zip(expected, response.tasks, strict=True):
            self.learn(Answer(task), each.task)
            self.learn_token(task, each.lease_token)
            assert seen(each.task) == known(task)

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
        for recipient_id, sequence in expected.receipts:
            notice = self.model.inboxes[recipient_id][sequence - 1].notice
            # Of a repeat it was learned when it was asked.
            if notice and notice.HasField("question") and not notice.question.task_etag:
                notice.question.task_etag = answered.etag

    def learn_token(self, task: Task, token: str) -> None:
        """Take the token of a new lease: one that nobody had."""
        if task.token == NEW_TOKEN:
            assert token
            assert token not in self.tokens
            self.tokens.append(token)
            task.token = token

    def learn_etags(self) -> None:
        """Look at the tasks that were changed by what befell others."""
        for task in self.model.living():
            if not task.etag:
                answered = self.read(work.GetTaskRequest(task_id=task.task_id)).task
                self.learn(Answer(task), answered)
                assert seen(answered) == known(task)

    def teardown(self) -> None:
        """Compare everything that can be read: inboxes, agents, tasks, the report."""
        for agent_id, inbox in self.model.inboxes.items():
            deliveries = self.wire.inbox(agent_id, self.team_id)
            assert {each.receipt.sequence: delivered(each) for each in deliveries} == {
                number: each for number, each in enumerate(inbox, 1) if not each.withdrawn
            }
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
        self.compare_figures()

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
            assert row.open_tasks == sum(counts[state] for state in (PENDING, *HELD))
            assert row.in_progress_tasks == counts[IN_PROGRESS]
            assert row.completed_tasks == counts[COMPLETED]
            assert row.failed_tasks == counts[FAILED]
            assert row.cancelled_tasks == counts[CANCELLED]
            assert row.unacknowledged_messages == self.model.unacknowledged(row.assignee_id)

    def compare_figures(self) -> None:
        """Compare each figure of reports with an own scan of the events: kept ones, and others."""
        told = self.wire.scan(self.team_id)
        states = [PENDING, COMPLETED]
        for filter in (work.TaskFilter(), work.TaskFilter(states=states)):
            report = self.read(work.GetReportRequest(filter=filter)).report
            chosen = [t for t in told.tasks.values() if figures.matches(t, filter)]
            expected = figures.report(chosen, figures.Besides(input_waits=told.input_waits), None)
            report.ClearField("sent_messages")  # Events tell of no messages.
            for row in report.assignees:
                row.ClearField("unacknowledged_messages")
                row.ClearField("average_acknowledge_time")
            assert figures.comparable(report, expected) == expected

    def read(self, request: Any) -> Any:
        """Read something as a caller without an agent."""
        return self.wire.call(request, "", self.team_id)


def counts(response: Any) -> tuple[int, int]:
    """What an acknowledgement, or a heartbeat, is answered."""
    if isinstance(response, work.HeartbeatTaskResponse):
        return response.state, response.unacknowledged_count
    return response.acknowledged_count, response.unacknowledged_count


def run(wire: Wire, examples: int) -> None:
    """Let so many random teams work, each anew and all the same in every run."""
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
pytestmark = [pytest.mark.soak, pytest.mark.timeout(0 if SOAK else 600)]


async def test_services_on_sqlite_do_what_the_model_does(sqlite_url: str) -> None:
    await against_the_model(sqlite_url, 1_000 if SOAK else 40)


async def test_services_on_postgres_do_what_the_model_does(postgres_url: str) -> None:
    await against_the_model(postgres_url, 300 if SOAK else 6)


async def against_the_model(store_url: str, examples: int) -> None:
    """Run both services here, and the blocking callers on a thread of their own."""
    async with running_pair(store_url) as pair:
        keeping = Keeping(pair.tasks_store, asyncio.get_running_loop())
        wire = partial(Wire, pair.messaging_address, pair.tasks_address, keeping)
        await asyncio.to_thread(lambda: run(wire(), examples))
