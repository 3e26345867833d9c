"""What both services promise, once more and as simply as can be: dictionaries and lists, no times.

It answers the requests of the contract. What the services choose freely (ids that they make, etags)
it learns from their answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from dovetail.messaging.v1 import messaging_pb2 as talk
from dovetail.tasks.v1 import tasks_pb2 as work

PENDING, IN_PROGRESS = work.TASK_STATE_PENDING, work.TASK_STATE_IN_PROGRESS
COMPLETED, FAILED, CANCELLED = (
    work.TASK_STATE_COMPLETED,
    work.TASK_STATE_FAILED,
    work.TASK_STATE_CANCELLED,
)
ENDED = (COMPLETED, FAILED, CANCELLED)
ENDINGS = {
    work.CompleteTaskRequest: COMPLETED,
    work.FailTaskRequest: FAILED,
    work.CancelTaskRequest: CANCELLED,
}
EVENTS: dict[type, talk.NoticeEvent.ValueType] = {
    work.CreateTaskRequest: talk.NOTICE_EVENT_TASK_ASSIGNED,
    work.AssignTaskRequest: talk.NOTICE_EVENT_TASK_ASSIGNED,
    work.UnassignTaskRequest: talk.NOTICE_EVENT_TASK_UNASSIGNED,
    work.UpdateTaskRequest: talk.NOTICE_EVENT_TASK_UPDATED,
    work.DeleteTaskRequest: talk.NOTICE_EVENT_TASK_DELETED,
    work.CompleteTaskRequest: talk.NOTICE_EVENT_TASK_COMPLETED,
    work.FailTaskRequest: talk.NOTICE_EVENT_TASK_FAILED,
    work.CancelTaskRequest: talk.NOTICE_EVENT_TASK_CANCELLED,
    work.ReopenTaskRequest: talk.NOTICE_EVENT_TASK_REOPENED,
}
CREATOR_TOLD = (*ENDINGS, work.ReopenTaskRequest)

Receipts = list[tuple[str, int]]


class RefusedError(Exception):
    """A refusal, by its reason."""


@dataclass
class Task:
    """A task as it is now."""

    task_id: str
    title: str
    creator_id: str
    assignee_id: str
    priority: int
    state: int = PENDING
    attempt: int = 0
    outcome: str = ""
    version: int = 0
    etag: str = ""
    deleted: bool = False


@dataclass
class Delivery:
    """A message in an inbox: who sent it, what it says, or which notice it is."""

    sender_id: str
    says: str = ""
    notice: talk.Notice | None = None
    acknowledged: bool = False


@dataclass
class Answer:
    """What a request is answered: a task, receipts, or counts."""

    task: Task | None = None
    receipts: Receipts = field(default_factory=Receipts)
    counts: tuple[int, int] | None = None


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
            return answer
        answer, wrote = self._method(type(request))(actor, request)
        if wrote and key[-1]:
            self.remembered[key] = payload, answer
        return answer

    def living(self) -> list[Task]:
        """The tasks that are not deleted, in order of creation."""
        return [task for task in self.tasks if not task.deleted]

    def workload(self, assignee_id: str) -> Counter[int]:
        """How many tasks of an assignee are in each state."""
        return Counter(task.state for task in self.living() if task.assignee_id == assignee_id)

    def unacknowledged(self, agent_id: str) -> int:
        """How many deliveries are not acknowledged."""
        return sum(not delivery.acknowledged for delivery in self.inboxes.get(agent_id, ()))

    def _method(self, kind: type) -> Callable[[str, Any], tuple[Answer, bool]]:
        methods: dict[type, Callable[[str, Any], tuple[Answer, bool]]] = {
            talk.RegisterAgentRequest: self._register,
            talk.SendMessageRequest: self._send,
            talk.AcknowledgeMessagesRequest: self._acknowledge,
            work.CreateTaskRequest: self._create,
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
            inbox[sequence - 1].acknowledged = True
        after = self.unacknowledged(actor)
        return Answer(counts=(before - after, after)), True

    def _create(self, actor: str, request: Any) -> tuple[Answer, bool]:
        taken = {task.task_id for task in self.tasks}
        require(request.task_id not in taken, "TASK_EXISTS")
        self._require_assignee(actor, request.assignee_id)
        task = Task(request.task_id, request.title, actor, request.assignee_id, request.priority)
        self.tasks.append(task)
        return self._written(actor, request, task, former=""), True

    def _change(self, actor: str, request: Any) -> tuple[Answer, bool]:
        deletes = isinstance(request, work.DeleteTaskRequest)
        updates = isinstance(request, work.UpdateTaskRequest)
        task_id = request.task.task_id if updates else request.task_id
        task = next((task for task in self.tasks if task.task_id == task_id), None)
        if deletes and task and task.deleted:
            return Answer(), False
        if task is None or task.deleted:
            raise RefusedError("TASK_NOT_FOUND")
        require(request.etag in ("", task.etag), "ETAG_MISMATCH")
        former = task.assignee_id
        if not self._alter(actor, request, task):
            return Answer(task), False
        return self._written(actor, request, task, former), True

    def _alter(self, actor: str, request: Any, task: Task) -> bool:
        """Change the task; answers whether there was anything to change."""
        match request:
            case work.UpdateTaskRequest():
                require(task.state not in ENDED, "TASK_STATE")
                before = task.priority
                task.priority = request.task.priority
                return task.priority != before
            case work.DeleteTaskRequest():
                require(task.state != IN_PROGRESS, "TASK_STATE")
                task.deleted = True
            case work.AssignTaskRequest() | work.UnassignTaskRequest():
                return self._assign(actor, request, task)
            case work.StartTaskRequest():
                require(task.state == PENDING, "TASK_STATE")
                mine = not actor or task.assignee_id in ("", actor)
                require(mine, "ASSIGNED_TO_ANOTHER")
                task.state = IN_PROGRESS
                task.assignee_id = task.assignee_id or actor
                task.attempt += 1
            case work.ReopenTaskRequest():
                require(task.state in ENDED, "TASK_STATE")
                task.state, task.attempt, task.outcome = PENDING, 0, ""
            case _:
                self._end(request, task)
        return True

    def _assign(self, actor: str, request: Any, task: Task) -> bool:
        assignee_id = getattr(request, "assignee_id", "")
        self._require_assignee(actor, assignee_id)
        taken_back = task.state == IN_PROGRESS and request.force
        if assignee_id == task.assignee_id and task.state not in ENDED and not taken_back:
            return False
        require(task.state == PENDING or taken_back, "TASK_STATE")
        task.state, task.assignee_id = PENDING, assignee_id
        return True

    def _end(self, request: Any, task: Task) -> None:
        from_pending = not isinstance(request, work.CompleteTaskRequest)
        ready = task.state == IN_PROGRESS or (from_pending and task.state == PENDING)
        require(ready, "TASK_STATE")
        task.state = ENDINGS[type(request)]
        if isinstance(request, work.CompleteTaskRequest):
            task.outcome = request.result.summary
        elif isinstance(request, work.FailTaskRequest):
            task.outcome = request.failure.message
        else:
            task.outcome = request.reason

    def _written(self, actor: str, request: Any, task: Task, former: str) -> Answer:
        """Count a change, and tell whom it concerns."""
        if actor:
            self.inboxes.setdefault(actor, [])
        self.changes += 1
        task.version += 1
        lost = former if former != task.assignee_id else ""
        told = [task.assignee_id]
        if isinstance(request, (work.AssignTaskRequest, work.UnassignTaskRequest)):
            told = [task.assignee_id, lost]
        if isinstance(request, CREATOR_TOLD):
            told.append(task.creator_id)
        recipients = [who for who in dict.fromkeys(told) if who not in ("", actor)]
        silent = isinstance(request, work.StartTaskRequest) or request.notify == work.NOTIFY_NONE
        if silent or not recipients:
            return Answer(task)
        notice = talk.Notice(
            event=EVENTS[type(request)],
            task_id=task.task_id,
            event_number=self.changes,
            actor_id=actor,
            assignee_id=task.assignee_id,
            former_assignee_id=lost,
        )
        return Answer(task, self._deliver(recipients, Delivery(actor, notice=notice)))

    def _deliver(self, recipients: Iterable[str], delivery: Delivery) -> Receipts:
        receipts: Receipts = []
        for agent_id in recipients:
            copy = Delivery(delivery.sender_id, delivery.says, delivery.notice)
            self.inboxes[agent_id].append(copy)
            receipts.append((agent_id, len(self.inboxes[agent_id])))
        return receipts

    def _require_assignee(self, actor: str, assignee_id: str) -> None:
        require(assignee_id in ("", actor, *self.inboxes), "AGENT_NOT_FOUND")


def require(holds: bool, reason: str) -> None:
    """Refuse for this reason unless the condition holds."""
    if not holds:
        raise RefusedError(reason)
