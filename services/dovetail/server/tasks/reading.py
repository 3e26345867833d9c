"""Reads requests about tasks: protobuf to values that are already right. For the servicer only.

Every reader records all faults that it finds, of whatever kind; the servicer raises them together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dovetail.server.edge.convert import (
    idempotency_key,
    read_duration,
    read_struct,
    read_time_range,
    read_timestamp,
)
from dovetail.server.edge.paging import Order, Paging
from dovetail.server.edge.validation import Checks
from dovetail.server.store.tables.events import EventFilter, TaskVerb
from dovetail.server.store.tables.input_options import InputOption
from dovetail.server.store.tables.task_pages import TaskOrder
from dovetail.server.store.tables.tasks import TaskFilter, TaskLink, TaskState
from dovetail.server.store.transaction import MICROS
from dovetail.server.streams import StartPosition
from dovetail.server.tasks.attachments_wire import read_files
from dovetail.server.tasks.claims.matching import ClaimRequest
from dovetail.server.tasks.history import AttemptQuery, EventQuery
from dovetail.server.tasks.questions import Answer, Question
from dovetail.server.tasks.requests import (
    LEASE_MICROS_DEFAULT,
    SEQUENCE_MAX,
    ChangeOptions,
    Completion,
    Heartbeat,
    NewTask,
    Notify,
    Outcome,
    Progress,
    TaskQuery,
    TaskUpdate,
    check_filter,
    check_lease,
)
from dovetail.server.tasks.usage_wire import read_budget, read_usage
from dovetail.server.tasks.watching import WatchRequest
from dovetail.tasks.v1 import tasks_pb2 as pb

BATCH_TASKS_MAX = 1_000
CLAIMED_TASKS_MAX = 100
WAIT_MICROS_MAX = 50 * MICROS


def checked(check: Checks, options: ChangeOptions, prefix: str = "") -> ChangeOptions:
    """The options of a change, checked."""
    options.check(check, prefix)
    return options


CreatorsRequest = (
    pb.UpdateTaskRequest
    | pb.AssignTaskRequest
    | pb.UnassignTaskRequest
    | pb.FailTaskRequest
    | pb.CancelTaskRequest
    | pb.ReopenTaskRequest
)


def change_options(check: Checks, request: CreatorsRequest, more: ChangeOptions) -> ChangeOptions:
    """The options that all these requests have, checked with those that some have besides."""
    options = replace(
        more,
        etag=request.etag,
        notify=read_notify(check, request.notify),
        repeat=idempotency_key(request.request_id, request),
    )
    return checked(check, options)


def read_notify(check: Checks, number: int, prefix: str = "") -> Notify:
    """Whether a change writes notices."""
    return check.enum(f"{prefix}notify", number, Notify.ALL)


def read_new_task(check: Checks, request: pb.CreateTaskRequest, prefix: str = "") -> NewTask:
    """A task to make; its fields are named after `prefix`."""
    new = NewTask(
        task_id=request.task_id,
        title=request.title,
        description=request.description,
        assignee_id=request.assignee_id,
        priority=request.priority,
        labels=dict(request.labels),
        input_json=read_struct(check, f"{prefix}input", request, "input"),
        due_time=read_timestamp(check, f"{prefix}due_time", request, "due_time"),
        thread_id=request.thread_id,
        depends_on=tuple(request.depends_on),
        parent_task_id=request.parent_task_id,
        schedule_time=read_timestamp(check, f"{prefix}schedule_time", request, "schedule_time"),
        max_attempts=request.max_attempts,
        initial_backoff=read_duration(
            check, f"{prefix}initial_backoff", request, "initial_backoff"
        ),
        links=_read_links(request),
        max_tokens=request.max_tokens,
        max_cost=read_budget(check, f"{prefix}max_cost", request),
        attachments=read_files(check, f"{prefix}input_attachments", request.input_attachments),
    )
    new.check(check, prefix)
    return new


def read_new_tasks(check: Checks, requests: Sequence[pb.CreateTaskRequest]) -> list[NewTask]:
    """Tasks to make together; what the batch has for all of them must be unset in each."""
    count = len(requests)
    if not 1 <= count <= BATCH_TASKS_MAX:
        check.refuse("requests", f"must have 1 to {BATCH_TASKS_MAX:,}, has {count:,}")
        return []
    for index, request in enumerate(requests):
        for field in ("request_id", "notify", "acknowledge_sequences"):
            if getattr(request, field):
                check.refuse(
                    f"requests[{index}].{field}", f"must be unset: set {field} of the batch"
                )
    given = [request.task_id for request in requests if request.task_id]
    if len(set(given)) < len(given):
        twice = next(each for each in given if given.count(each) > 1)
        check.refuse("requests", f"task_id {twice!r} is given twice")
    return [
        read_new_task(check, request, f"requests[{index}].")
        for index, request in enumerate(requests)
    ]


def read_update(check: Checks, request: pb.UpdateTaskRequest) -> TaskUpdate:
    """New values for some fields of a task."""
    task = request.task
    backoff = read_duration(check, "task.initial_backoff", task, "initial_backoff")
    paths = tuple(request.update_mask.paths)
    update = TaskUpdate(
        task_id=task.task_id,
        paths=paths,
        title=task.title,
        description=task.description,
        priority=task.priority,
        labels=dict(task.labels),
        due_time=read_timestamp(check, "task.due_time", task, "due_time"),
        schedule_time=read_timestamp(check, "task.schedule_time", task, "schedule_time"),
        max_attempts=task.max_attempts,
        initial_backoff=backoff or 0,
        depends_on=tuple(task.depends_on),
        parent_task_id=task.parent_task_id,
        links=_read_links(task),
        max_tokens=task.max_tokens,
        max_cost=read_budget(check, "task.max_cost", task) if "max_cost" in paths else "",
    )
    update.check(check)
    return update


def _read_links(item: pb.Task | pb.CreateTaskRequest) -> tuple[TaskLink, ...]:
    return tuple(TaskLink(each.kind, each.task_id) for each in item.links)


def read_result(check: Checks, request: pb.CompleteTaskRequest, prefix: str = "") -> Outcome:
    """The result of a task."""
    result = request.result
    data_json = read_struct(check, f"{prefix}result.data", result, "data")
    used = read_usage(check, request, prefix)
    files = read_files(check, f"{prefix}result.attachments", result.attachments)
    outcome = Outcome(text=result.summary, data_json=data_json, usage=used, attachments=files)
    outcome.check(check, f"{prefix}result.summary", f"{prefix}result.data")
    return outcome


def read_completion(check: Checks, request: pb.CompleteTaskRequest, prefix: str = "") -> Completion:
    """A task to complete."""
    check.id(f"{prefix}task_id", request.task_id)
    options = ChangeOptions(
        etag=request.etag,
        notify=read_notify(check, request.notify, prefix),
        lease_token=request.lease_token,
        acknowledge=tuple(request.acknowledge_sequences),
        repeat=idempotency_key(request.request_id, request),
    )
    return Completion(
        task_id=request.task_id,
        outcome=read_result(check, request, prefix),
        options=checked(check, options, prefix),
    )


def read_completions(check: Checks, requests: Sequence[pb.CompleteTaskRequest]) -> list[Completion]:
    """Tasks to complete together."""
    count = len(requests)
    if not 1 <= count <= BATCH_TASKS_MAX:
        check.refuse("requests", f"must have 1 to {BATCH_TASKS_MAX:,}, has {count:,}")
        return []
    return [
        read_completion(check, request, f"requests[{index}].")
        for index, request in enumerate(requests)
    ]


def read_failure(check: Checks, request: pb.FailTaskRequest) -> Outcome:
    """Why an attempt failed."""
    failure = request.failure
    outcome = Outcome(
        text=failure.message,
        data_json=read_struct(check, "failure.data", failure, "data"),
        retryable=failure.retryable,
        usage=read_usage(check, request),
    )
    outcome.check(check, "failure.message", "failure.data")
    if not outcome.text:
        check.refuse("failure.message", "must say what went wrong")
    return outcome


def read_question(check: Checks, request: pb.RequestTaskInputRequest) -> Question:
    """A question about a task."""
    question = Question(
        agent_id=request.agent_id,
        text=request.text,
        data_json=read_struct(check, "data", request, "data"),
        options=[InputOption(each.name, each.description) for each in request.options],
        within=read_duration(check, "answer_within", request, "answer_within"),
        default_answer=request.default_answer,
    )
    question.check(check)
    return question


def read_answer(check: Checks, request: pb.ProvideTaskInputRequest) -> Answer:
    """The answer to a question."""
    answer = Answer(
        text=request.text,
        data_json=read_struct(check, "data", request, "data"),
        option=request.option,
    )
    answer.check(check)
    return answer


def read_lease(check: Checks, request: pb.StartTaskRequest, shortest: int) -> int | None:
    """The duration of a lease in microseconds; None: without a lease."""
    duration = read_duration(check, "lease_duration", request, "lease_duration")
    if duration is not None:
        check_lease(check, duration, shortest)
    return duration


def read_claim(check: Checks, request: pb.ClaimTaskRequest, shortest_lease: int) -> ClaimRequest:
    """What a caller wants to work on."""
    duration = read_duration(check, "lease_duration", request, "lease_duration")
    claim = ClaimRequest(
        max_wait=read_duration(check, "max_wait", request, "max_wait") or 0,
        most=request.max_tasks,
        filter=read_filter(check, request.filter) if request.HasField("filter") else None,
        lease_duration=LEASE_MICROS_DEFAULT if duration is None else duration,
        repeat=idempotency_key(request.request_id, _without_max_wait(request)),
    )
    if not 0 <= claim.max_wait <= WAIT_MICROS_MAX:
        check.refuse("max_wait", f"must be 0 to 50 s, is {claim.max_wait / MICROS:g} s")
    check.number("max_tasks", claim.most, 0, CLAIMED_TASKS_MAX)
    check_lease(check, claim.lease_duration, shortest_lease)
    check.optional_id("request_id", request.request_id)
    for field in ("states", "assignee_ids", "unassigned"):
        if claim.filter and getattr(claim.filter, field):
            check.refuse(f"filter.{field}", "must be empty: a claim takes what is ready")
    return claim


def read_heartbeat(check: Checks, request: pb.HeartbeatTaskRequest) -> Heartbeat:
    """What a heartbeat brings."""
    check.id("task_id", request.task_id)
    checked(check, ChangeOptions(lease_token=request.lease_token))
    return Heartbeat(
        token=request.lease_token,
        progress=read_progress(check, request),
        usage=read_usage(check, request),
    )


def read_progress(check: Checks, request: pb.HeartbeatTaskRequest) -> Progress | None:
    """How far the work is; None: as before."""
    if not request.HasField("progress"):
        return None
    progress = Progress(percent=request.progress.percent, note=request.progress.note)
    progress.check(check)
    return progress


def read_query(check: Checks, request: pb.ListTasksRequest, paging: Paging) -> TaskQuery:
    """Which tasks to list."""
    by = check.enum("order_by", request.order_by, TaskOrder.CREATE_TIME)
    by_time = by is TaskOrder.UPDATE_TIME
    return TaskQuery(
        filter=read_filter(check, request.filter),
        order=check.enum("order", request.order, Order.OLDEST_FIRST),
        by=by,
        after=paging.after_pair(check) if by_time else paging.after_number(check),
    )


def read_event_query(
    check: Checks, request: pb.ListTaskEventsRequest, paging: Paging
) -> EventQuery:
    """Which events to list."""
    return EventQuery(
        filter=_read_event_filter(check, request.filter),
        order=check.enum("order", request.order, Order.OLDEST_FIRST),
        after=paging.after_number(check),
    )


def read_attempt_query(
    check: Checks, request: pb.ListTaskAttemptsRequest, paging: Paging
) -> AttemptQuery:
    """Which attempts to list."""
    check.id("task_id", request.task_id)
    return AttemptQuery(
        task_id=request.task_id,
        order=check.enum("order", request.order, Order.OLDEST_FIRST),
        after=paging.after_number(check),
    )


def read_watch(check: Checks, request: pb.WatchTasksRequest) -> WatchRequest:
    """Which events to stream, and from where on."""
    resumes = request.WhichOneof("start") == "after_event"
    check.number("after_event", request.after_event, 0, SEQUENCE_MAX)
    return WatchRequest(
        position=check.enum("position", request.position, StartPosition.BEGINNING),
        after_event=request.after_event if resumes else None,
        filter=_read_event_filter(check, request.filter),
    )


def _read_event_filter(check: Checks, filter: pb.TaskEventFilter) -> EventFilter:
    check.optional_id("filter.task_id", filter.task_id)
    check.ids("filter.actor_ids", filter.actor_ids)
    return EventFilter(
        task_id=filter.task_id,
        actor_ids=tuple(filter.actor_ids),
        verbs=tuple(check.enums("filter.verbs", filter.verbs, TaskVerb)),
        create_time=read_time_range(check, "filter.create_time", filter.create_time),
    )


def read_filter(check: Checks, filter: pb.TaskFilter) -> TaskFilter:
    """Which tasks."""
    read = TaskFilter(
        states=check.enums("filter.states", filter.states, TaskState),
        assignee_ids=list(filter.assignee_ids),
        unassigned=filter.unassigned,
        creator_ids=list(filter.creator_ids),
        labels=dict(filter.labels),
        create_time=read_time_range(check, "filter.create_time", filter.create_time),
        end_time=read_time_range(check, "filter.end_time", filter.end_time),
        update_time=read_time_range(check, "filter.update_time", filter.update_time),
        thread_id=filter.thread_id,
        parent_task_id=filter.parent_task_id,
        linked_task_id=filter.linked_task_id,
    )
    check_filter(check, read)
    return read


def _without_max_wait(request: pb.ClaimTaskRequest) -> pb.ClaimTaskRequest:
    """What a repeat of a claim must have in common with it."""
    same = pb.ClaimTaskRequest()
    same.CopyFrom(request)
    same.ClearField("max_wait")
    return same
