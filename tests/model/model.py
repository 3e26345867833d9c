"""What both services promise, once more and as simply as can be: dictionaries and lists, no times.

It answers the requests of the contract. What the services choose freely (ids that they make, etags,
tokens of leases) it learns from their answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from dovetail.messaging.v1 import messaging_pb2 as talk
from dovetail.tasks.v1 import tasks_pb2 as work
from dovetail.types.v1 import types_pb2
from model.answers import Answer, Delivery, Receipts
from model.task import LEASE_LOST, RefusedError, Task, require
from support.tables import (
    CANCELLED,
    COMPLETED,
    ENDED,
    HELD,
    IN_PROGRESS,
    LEASE_VERBS,
    NOTICES,
    PENDING,
    REQUESTS,
    WITHDRAWN_BY_CANCEL,
)
from support.waiting_model import ModelTask, WaitingModel

Told = list[tuple[str, list[str]]]
"""The notices of a change: each its verb, and who gets it."""

TOLD: dict[type, Told] = {kind: NOTICES[verb] for verb, kind in REQUESTS.items()}
HOLDERS: tuple[type[Any], ...] = tuple(
    REQUESTS[verb] for verb in LEASE_VERBS if verb != "heartbeat"
)

ASKING = {types_pb2.TaskVerb.Value(f"TASK_VERB_{verb}") for verb in WITHDRAWN_BY_CANCEL}


@dataclass
class Model:
    """One team."""

    inboxes: dict[str, list[Delivery]] = field(default_factory=dict[str, list[Delivery]])
    tasks: list[Task] = field(default_factory=list[Task])
    changes: int = 0
    remembered: dict[tuple[str, str, str], tuple[bytes, Answer]] = field(
        default_factory=dict[tuple[str, str, str], tuple[bytes, Answer]]
    )

    def answer(self, actor: str, request: Any) -> Answer:
        """Do what a request asks for. Raises RefusedError."""
        key = self._key(actor, request)
        payload = request.DESCRIPTOR.name.encode() + request.SerializeToString(deterministic=True)
        if key in self.remembered:
            first, answer = self.remembered[key]
            require(first == payload, "REQUEST_ID_REUSED")
            require(not answer.task or not answer.task.deleted, "TASK_NOT_FOUND")
            return replace(answer, followed=[])
        answer, wrote = self._method(type(request))(actor, request)
        if wrote and key[-1]:
            self.remembered[key] = payload, answer
        return answer

    def lose(self, task: Task) -> None:
        """Take the lease of one who was not heard of."""
        former, was = task.assignee_id, task.state
        task.part()
        task.fail(LEASE_LOST, retryable=True)
        self._written("", NOTICES["expire-lease"], task, former)
        self._follow("", task, was, silent=False)

    def living(self) -> list[Task]:
        """The tasks that are not deleted, in order of creation."""
        return [task for task in self.tasks if not task.deleted]

    def workload(self, assignee_id: str) -> Counter[int]:
        """How many tasks of an assignee are in each state."""
        return Counter(task.state for task in self.living() if task.assignee_id == assignee_id)

    def unacknowledged(self, agent_id: str) -> int:
        """How many deliveries are not acknowledged."""
        return sum(delivery.is_open for delivery in self.inboxes.get(agent_id, ()))

    def _method(self, kind: type) -> Callable[[str, Any], tuple[Answer, bool]]:
        methods: dict[type, Callable[[str, Any], tuple[Answer, bool]]] = {
            talk.RegisterAgentRequest: self._register,
            talk.SendMessageRequest: self._send,
            talk.AcknowledgeMessagesRequest: self._acknowledge,
            work.CreateTaskRequest: self._create,
            work.ClaimTaskRequest: self._claim,
            work.HeartbeatTaskRequest: self._beat,
        }
        return methods.get(kind, self._change)

    def _key(self, actor: str, request: Any) -> tuple[str, str, str]:
        service = request.DESCRIPTOR.file.package
        return service, actor, getattr(request, "request_id", "") or ""

    def _register(self, actor: str, request: Any) -> tuple[Answer, bool]:
        self.inboxes.setdefault(actor, [])
        return Answer(), True

    def _send(self, actor: str, request: Any) -> tuple[Answer, bool]:
        require(bool(actor), "CALLER_AGENT_REQUIRED")
        recipients = [*dict.fromkeys(request.recipient_ids)]
        known = {actor, *self.inboxes}
        require(known.issuperset(recipients), "AGENT_NOT_FOUND")
        self.inboxes.setdefault(actor, [])
        return Answer(receipts=self._deliver(recipients, Delivery(actor, says=request.body))), True

    def _acknowledge(self, actor: str, request: Any) -> tuple[Answer, bool]:
        require(actor in self.inboxes, "AGENT_NOT_FOUND")
        inbox = self.inboxes[actor]
        sequences = {*request.sequences, *range(1, request.through_sequence + 1)}
        require(max(sequences) <= len(inbox), "CURSOR_IN_FUTURE")
        before = self.unacknowledged(actor)
        for sequence in sequences:
            inbox[sequence - 1].acknowledged |= inbox[sequence - 1].is_open
        after = self.unacknowledged(actor)
        return Answer(counts=(before - after, after)), True

    def _create(self, actor: str, request: Any) -> tuple[Answer, bool]:
        taken = {task.task_id for task in self.tasks}
        require(request.task_id not in taken, "TASK_EXISTS")
        self._require_agent(actor, request.assignee_id)
        self._require_tasks(request.depends_on)
        task = Task(request.task_id, request.title, actor, request.assignee_id, request.priority)
        task.depends_on = tuple(request.depends_on)
        task.max_attempts = request.max_attempts or task.max_attempts
        self.tasks.append(task)
        self._count()
        told = None if request.notify == work.NOTIFY_NONE else NOTICES["create"]
        return Answer(task, self._written(actor, told, task, former="")), True

    def _claim(self, actor: str, request: Any) -> tuple[Answer, bool]:
        """The first ready tasks: the caller's own, then the pool's."""
        require(bool(actor), "CALLER_AGENT_REQUIRED")
        ready = [t for t in self.living() if t.state == PENDING and not t.waiting_for_count]
        mine = [task for task in ready if task.assignee_id in (actor, "")]
        mine.sort(key=lambda task: (not task.assignee_id, -task.priority))
        claimed = mine[: request.max_tasks or 1]
        for task in claimed:
            former = task.assignee_id
            task.start(actor, leased=True)
            self._written(actor, None, task, former)
        return Answer(claimed=claimed), True

    def _beat(self, actor: str, request: Any) -> tuple[Answer, bool]:
        task = self._existing(request.task_id)
        task.check_lease(request.lease_token)
        require(task.state in HELD, "TASK_STATE")
        if request.HasField("progress") and task.progress != request.progress.percent:
            task.progress = request.progress.percent
            self.changes += 1
        if actor:
            self.inboxes.setdefault(actor, [])
        return Answer(counts=(task.state, self.unacknowledged(actor))), True

    def _change(self, actor: str, request: Any) -> tuple[Answer, bool]:
        kind = type(request)
        updates = kind is work.UpdateTaskRequest
        task_id = request.task.task_id if updates else request.task_id
        deleted = next((task for task in self.tasks if task.task_id == task_id), None)
        if kind is work.DeleteTaskRequest and deleted and deleted.deleted:
            return Answer(), False
        task = self._existing(task_id)
        if kind in HOLDERS:
            try:
                task.check_lease(request.lease_token)
            except RefusedError:
                self._keep_late(actor, request, task)
                raise
        require(request.etag in ("", task.etag), "ETAG_MISMATCH")
        former, was = task.assignee_id, task.state
        if not self._alter(actor, request, task):
            return Answer(task), False
        if kind is work.CancelTaskRequest:
            self._withdraw_notices(task)
        silent = getattr(request, "notify", 0) == work.NOTIFY_NONE
        retried = kind is work.FailTaskRequest and task.state not in ENDED
        told = NOTICES["fail~"] if retried else TOLD[kind]
        receipts = self._written(actor, None if silent else told, task, former)
        if kind is work.RequestTaskInputRequest:
            self._tell_circle(task)
        return Answer(task, receipts, self._follow(actor, task, was, silent)), True

    def _tell_circle(self, task: Task) -> None:
        """Tell all agents in the circles of waits that a question closed."""
        waits = WaitingModel({each.task_id: _waiting(each) for each in self.tasks})
        members = waits.circle_members(task.assignee_id) if task.assignee_id else ()
        self._deliver(members, Delivery("", mail_event=talk.MAIL_EVENT_MUTUAL_WAIT))

    def _keep_late(self, actor: str, request: Any, task: Task) -> None:
        """Keep what a holder brings after others ended its attempt: an event, and a notice."""
        ends = isinstance(request, work.CompleteTaskRequest | work.FailTaskRequest)
        if ends and task.former.get(request.lease_token) == actor:
            del task.former[request.lease_token]
            etag, version = task.etag, task.version
            silent = request.notify == work.NOTIFY_NONE
            told = None if silent else NOTICES["keep-late-result"]
            self._written(actor, told, task, task.assignee_id)
            task.etag, task.version = etag, version

    def _alter(self, actor: str, request: Any, task: Task) -> bool:
        """Change the task; answers whether there was anything to change."""
        match request:
            case work.UpdateTaskRequest():
                return self._update(request, task)
            case work.DeleteTaskRequest():
                require(task.state not in HELD, "TASK_STATE")
                require(not self._waiters(task), "TASK_DEPENDED_ON")
                task.deleted = True
            case work.AssignTaskRequest() | work.UnassignTaskRequest():
                return self._assign(actor, request, task)
            case work.StartTaskRequest():
                task.start(actor, request.HasField("lease_duration"))
            case work.ReleaseTaskRequest():
                require(task.state in HELD, "TASK_STATE")
                task.wait()
            case work.RequestTaskInputRequest():
                require(task.state == IN_PROGRESS, "TASK_STATE")
                asked_id = request.agent_id or task.creator_id
                require(asked_id not in ("", actor), "INVALID_FIELDS")
                self._require_agent(actor, asked_id)
                task.ask(asked_id, tuple(option.name for option in request.options))
            case work.ProvideTaskInputRequest():
                task.go_on(request.text, request.option)
            case work.ReopenTaskRequest():
                task.reopen()
            case _:
                self._end(request, task)
        return True

    def _update(self, request: Any, task: Task) -> bool:
        require(task.state not in ENDED, "TASK_STATE")
        if "depends_on" not in request.update_mask.paths:
            changes = task.priority != request.task.priority
            task.priority = request.task.priority
            return changes
        wanted = tuple(request.task.depends_on)
        if wanted == task.depends_on:
            return False
        require(task.state == PENDING, "TASK_STATE")
        self._require_tasks(wanted)
        require(not self._leads(wanted, task.task_id), "DEPENDENCY_CYCLE")
        task.depends_on = wanted
        return True

    def _assign(self, actor: str, request: Any, task: Task) -> bool:
        assignee_id = getattr(request, "assignee_id", "")
        self._require_agent(actor, assignee_id)
        taken_back = task.state in HELD and request.force
        if assignee_id == task.assignee_id and task.state not in ENDED and not taken_back:
            return False
        require(task.state == PENDING or taken_back, "TASK_STATE")
        task.part()
        task.wait()
        task.assign(assignee_id)
        return True

    def _end(self, request: Any, task: Task) -> None:
        match request:
            case work.CompleteTaskRequest():
                require(task.state == IN_PROGRESS, "TASK_STATE")
                task.end(COMPLETED, request.result.summary)
            case work.FailTaskRequest():
                require(task.state not in ENDED, "TASK_STATE")
                task.fail(request.failure.message, request.failure.retryable)
            case _:
                require(task.state not in ENDED, "TASK_STATE")
                task.part()
                task.end(CANCELLED, request.reason)

    def _written(self, actor: str, told: Told | None, task: Task, former: str) -> Receipts:
        """Count a change, and tell whom it concerns."""
        if actor:
            self.inboxes.setdefault(actor, [])
        self.changes += 1
        task.version += 1
        task.etag = ""
        if told is None:
            return []
        lost = former if former != task.assignee_id else ""
        parts = {
            "assignee": task.assignee_id,
            "former": lost,
            "creator": task.creator_id,
            "asked": task.asked_id,
        }
        receipts: Receipts = []
        options = [types_pb2.InputOption(name=name) for name in task.options]
        asked = talk.AskedQuestion(options=options)
        for verb, audience in told:
            ids = dict.fromkeys(parts[part] for part in audience)
            notice = talk.Notice(
                verb=types_pb2.TaskVerb.Value(f"TASK_VERB_{verb}"),
                task_id=task.task_id,
                event_number=self.changes,
                actor_id=actor,
                assignee_id=task.assignee_id,
                former_assignee_id=lost,
                question=asked if verb == "REQUEST_INPUT" else None,
                answer=talk.GivenAnswer(option=task.chosen) if verb == "PROVIDE_INPUT" else None,
            )
            others = [agent_id for agent_id in ids if agent_id and agent_id != actor]
            receipts += self._deliver(others, Delivery(actor, notice=notice))
        return receipts

    def _withdraw_notices(self, task: Task) -> None:
        """Take back what asks agents to do something for a task, and is still open."""
        for inbox in self.inboxes.values():
            for delivery in inbox:
                notice = delivery.notice
                if notice and notice.task_id == task.task_id and notice.verb in ASKING:
                    delivery.withdrawn |= delivery.is_open

    def _follow(self, actor: str, task: Task, was: int, silent: bool) -> Receipts:
        """What a change means for the tasks that wait for this one."""
        self._count()
        if task.state == was or task.state not in ENDED:
            return []
        well = task.state == COMPLETED
        told = NOTICES["become-ready" if well else "fail-dependency"]
        receipts: Receipts = []
        for waiter in self._waiters(task):
            if not well or (waiter.state == PENDING and not waiter.waiting_for_count):
                told_of = None if silent else told
                receipts += self._written(actor, told_of, waiter, waiter.assignee_id)
        return receipts

    def _waiters(self, task: Task) -> list[Task]:
        """The tasks that wait for one, and have not ended."""
        return [
            each
            for each in self.living()
            if task.task_id in each.depends_on and each.state not in ENDED
        ]

    def _count(self) -> None:
        """Count anew for all tasks what they wait for."""
        done = {task.task_id for task in self.tasks if task.state == COMPLETED}
        for task in self.tasks:
            task.waiting_for_count = len({*task.depends_on} - done)

    def _leads(self, begin: Iterable[str], end: str) -> bool:
        """Whether there is a way from some tasks to another, by what they wait for."""
        edges = {task.task_id: task.depends_on for task in self.tasks}
        seen, frontier = set[str](), {*begin}
        while frontier - seen:
            seen |= frontier
            frontier = {other for task_id in frontier for other in edges[task_id]}
        return end in seen

    def _deliver(self, recipients: Iterable[str], delivery: Delivery) -> Receipts:
        receipts: Receipts = []
        for agent_id in recipients:
            self.inboxes[agent_id].append(replace(delivery))
            receipts.append((agent_id, len(self.inboxes[agent_id])))
        return receipts

    def _existing(self, task_id: str) -> Task:
        task = next((task for task in self.living() if task.task_id == task_id), None)
        if task is None:
            raise RefusedError("TASK_NOT_FOUND")
        return task

    def _require_tasks(self, task_ids: Iterable[str]) -> None:
        living = {task.task_id for task in self.living()}
        require(living.issuperset(task_ids), "TASK_NOT_FOUND")

    def _require_agent(self, actor: str, agent_id: str) -> None:
        require(agent_id in ("", actor, *self.inboxes), "AGENT_NOT_FOUND")


def _waiting(task: Task) -> ModelTask:
    """A task as far as it has others wait; a deleted one is nobody's."""
    state = work.TaskState.Name(work.TaskState.ValueType(task.state))
    assignee_id = "" if task.deleted else task.assignee_id
    name = state.removeprefix("TASK_STATE_")
    return ModelTask(name, assignee_id, task.asked_id, task.depends_on)
