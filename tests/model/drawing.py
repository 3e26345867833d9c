"""Requests that change tasks, drawn at random: likely ones, and some that must be refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from hypothesis import strategies as st

from dovetail.tasks.v1 import tasks_pb2 as work
from dovetail.types.v1.types_pb2 import InputOption
from model.task import Task
from support.tables import ENDED, IN_PROGRESS, INPUT_REQUIRED, PENDING

AGENTS = ("ann", "bob", "cat", "dan")
ANYBODY = st.sampled_from((*AGENTS, ""))
AGENT = st.sampled_from(AGENTS)
REQUEST_ID = st.sampled_from((*[""] * 12, *(f"r{number}" for number in range(8))))
NUMBER = st.integers(0, 9)
NOTIFY = (work.NOTIFY_UNSPECIFIED, work.NOTIFY_UNSPECIFIED, work.NOTIFY_ALL, work.NOTIFY_NONE)
LEASE = Duration(seconds=3_600)
CHANGES: tuple[type, ...] = (
    work.UpdateTaskRequest,
    work.DeleteTaskRequest,
    work.AssignTaskRequest,
    work.UnassignTaskRequest,
    work.StartTaskRequest,
    work.StartTaskRequest,
    work.HeartbeatTaskRequest,
    work.ReleaseTaskRequest,
    work.RequestTaskInputRequest,
    work.ProvideTaskInputRequest,
    work.CompleteTaskRequest,
    work.FailTaskRequest,
    work.CancelTaskRequest,
    work.ReopenTaskRequest,
)
# What is likely to be asked of a task, by its state.
LIKELY: dict[int, tuple[type, ...]] = {
    PENDING: (*[work.StartTaskRequest] * 4, *CHANGES),
    IN_PROGRESS: (
        *[work.CompleteTaskRequest] * 4,
        work.FailTaskRequest,
        work.FailTaskRequest,
        work.RequestTaskInputRequest,
        work.RequestTaskInputRequest,
        work.HeartbeatTaskRequest,
        work.ReleaseTaskRequest,
        work.CancelTaskRequest,
        work.UpdateTaskRequest,
        work.AssignTaskRequest,
        work.UnassignTaskRequest,
    ),
    INPUT_REQUIRED: (*[work.ProvideTaskInputRequest] * 12, *CHANGES),
    **dict.fromkeys(ENDED, (work.ReopenTaskRequest, work.ReopenTaskRequest, *CHANGES)),
}


def dependencies(ids: Sequence[str]) -> st.SearchStrategy[list[str]]:
    """What a task may wait for: mostly few, mostly known."""
    if not ids:
        return st.just([])
    return st.lists(st.sampled_from((*[*ids] * 9, "none")), max_size=2, unique=True)


@dataclass(frozen=True)
class Drawing:
    """Draws changes of a task: `ids` are all there are, `etags` and `tokens` what once was good."""

    data: st.DataObject
    task: Task
    ids: Sequence[str]
    etags: Sequence[str]
    tokens: Sequence[str]

    def change(self, kind: type) -> Any:
        """A request of a kind."""
        request, task = kind(), self.task
        if isinstance(request, work.UpdateTaskRequest):
            self._update(request)
        else:
            request.task_id = self.data.draw(st.sampled_from((*[task.task_id] * 29, "none")))
        drawn: dict[str, st.SearchStrategy[Any]] = {
            "assignee_id": AGENT,
            "force": st.booleans(),
            "etag": st.sampled_from((*[""] * 15, *[task.etag] * 4, *self.etags)),
            "lease_token": st.sampled_from((*[task.token] * 20, "", *self.tokens)),
            "notify": st.sampled_from((0, 0, 0, 2)),
            "request_id": REQUEST_ID,
            "reason": st.sampled_from(("", "a reason")),
        }
        for name in sorted({*kind.DESCRIPTOR.fields_by_name} & {*drawn}):
            setattr(request, name, self.data.draw(drawn[name], label=name))
        self._rest(request)
        return request

    def _update(self, request: Any) -> None:
        """Draw which field gets which value."""
        request.task.task_id = self.task.task_id
        field = self.data.draw(st.sampled_from(("priority", "depends_on")))
        request.update_mask.CopyFrom(FieldMask(paths=[field]))
        if field == "priority":
            request.task.priority = self.data.draw(st.integers(0, 2))
        else:
            request.task.depends_on.extend(self.data.draw(dependencies(self.ids)))

    def _rest(self, request: Any) -> None:
        """Draw what one kind of request alone has."""
        match request:
            case work.StartTaskRequest():
                if self.data.draw(st.booleans(), label="leased"):
                    request.lease_duration.CopyFrom(LEASE)
            case work.HeartbeatTaskRequest():
                if self.data.draw(st.booleans(), label="progress"):
                    request.progress.percent = self.data.draw(NUMBER)
            case work.RequestTaskInputRequest():
                request.agent_id, request.text = self.data.draw(ANYBODY), "which one?"
                names = self.data.draw(st.sampled_from(((), ("left", "right"))), label="options")
                request.options.extend(InputOption(name=name) for name in names)
            case work.ProvideTaskInputRequest():
                request.text = "this one"
                names = ("", "", "left", "right", "up")
                request.option = self.data.draw(st.sampled_from(names), label="option")
            case work.CompleteTaskRequest():
                request.result.summary = "well"
            case work.FailTaskRequest():
                request.failure.message = "badly"
                request.failure.retryable = self.data.draw(st.booleans(), label="retryable")
            case _:
                pass
