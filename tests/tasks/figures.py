"""A report worked out anew, in plain Python, from what ListTasks and the inboxes tell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from dovetail.messaging.v1 import messaging_pb2
from dovetail.tasks.v1 import tasks_pb2 as pb
from dovetail.types.v1 import types_pb2
from support.tables import (
    CANCELLED,
    COMPLETED,
    FAILED,
    IN_PROGRESS,
    INPUT_REQUIRED,
    PENDING,
    STATES,
)

MICROS = 1_000_000


@dataclass(kw_only=True)
class Load:
    """What an inbox holds: open deliveries, and how long each acknowledged one waited."""

    unacknowledged: int = 0
    waited: list[int] = field(default_factory=list[int])


def loads(records: Iterable[messaging_pb2.MessageRecord]) -> dict[str, Load]:
    """The message load of every agent, from all messages of the team."""
    found: dict[str, Load] = {}
    for record in records:
        for receipt in record.receipts:
            load = found.setdefault(receipt.recipient_id, Load())
            if receipt.state == types_pb2.DELIVERY_STATE_ACKNOWLEDGED:
                load.waited.append(at(receipt.state_time) - at(record.message.create_time))
            elif receipt.state == types_pb2.DELIVERY_STATE_UNACKNOWLEDGED:
                load.unacknowledged += 1
    return found


def matches(task: pb.Task, filter: pb.TaskFilter) -> bool:
    """Whether a filter chooses a task."""
    assigned = task.assignee_id in filter.assignee_ids
    unassigned = filter.unassigned and not task.assignee_id
    anyone = not filter.assignee_ids and not filter.unassigned
    return (
        (not filter.states or task.state in filter.states)
        and (anyone or assigned or unassigned)
        and (not filter.creator_ids or task.creator_id in filter.creator_ids)
        and (not filter.parent_task_id or task.parent_task_id == filter.parent_task_id)
        and dict(filter.labels).items() <= dict(task.labels).items()
        and _within(task, filter, "create_time")
        and _within(task, filter, "end_time")
    )


@dataclass(kw_only=True)
class Besides:
    """What a report tells besides its tasks: message loads by agent, and by task the microseconds
    that it waited for answers, where it got one.
    """

    loads: dict[str, Load] = field(default_factory=dict[str, Load])
    input_waits: dict[str, int]
    sent_messages: int = 0


def comparable(report: pb.Report, expected: pb.Report) -> pb.Report:
    """The figures of a report, with each estimate that is near enough replaced by what is exact."""
    figures = pb.Report()
    figures.CopyFrom(report)
    figures.ClearField("report_time")
    figures.ClearField("basis")
    for name in ("task_time", "queue_time", "input_wait_time") if is_kept(report) else ():
        found, right = getattr(figures, name), getattr(expected, name)
        for percentile in ("median", "p95"):
            if right.HasField(percentile) and is_near(found, right, percentile):
                getattr(found, percentile).CopyFrom(getattr(right, percentile))
    return figures


def is_kept(report: pb.Report) -> bool:
    """Whether it was made of figures that are kept."""
    return report.basis == pb.REPORT_BASIS_KEPT


def is_near(found: pb.DurationSummary, right: pb.DurationSummary, name: Any) -> bool:
    """Whether a percentile is there, and at most 1 % away."""
    if not found.HasField(name):
        return False
    micros: int = getattr(right, name).ToMicroseconds()
    return abs(getattr(found, name).ToMicroseconds() - micros) * 100 <= micros


def report(tasks: Sequence[pb.Task], besides: Besides, bucket: int | None) -> pb.Report:
    """The report over these tasks; `bucket` is in seconds, or None."""
    waits = besides.input_waits
    completed = [task for task in tasks if task.state == COMPLETED]
    asked = [at(task.question.ask_time) for task in tasks if task.state == INPUT_REQUIRED]
    started = [task for task in tasks if task.HasField("start_time")]
    return pb.Report(
        total_tasks=len(tasks),
        states=[pb.StateCount(state=s, count=count(tasks, s)) for s in STATES.values()],
        completed_tasks=len(completed),
        average_task_time=mean(times(completed)),
        task_time=summary(times(completed)),
        queue_time=summary([at(t.start_time) - at(t.create_time) for t in started]),
        input_wait_time=summary([waits[t.task_id] for t in tasks if t.task_id in waits]),
        assignees=[
            workload(agent_id, [t for t in tasks if t.assignee_id == agent_id], besides.loads)
            for agent_id in sorted({task.assignee_id for task in tasks})
        ],
        completions=buckets([at(task.end_time) for task in completed], bucket),
        series=series(tasks, bucket),
        total_assignees=len({task.assignee_id for task in tasks}),
        oldest_question_time=moment(min(asked)) if asked else None,
        sent_messages=besides.sent_messages,
    )


def workload(
    agent_id: str, tasks: Sequence[pb.Task], inboxes: dict[str, Load]
) -> pb.AssigneeWorkload:
    """The row of one assignee."""
    open_states = (PENDING, IN_PROGRESS, INPUT_REQUIRED)
    open_since = [at(task.create_time) for task in tasks if task.state in open_states]
    load = inboxes.get(agent_id, Load())
    return pb.AssigneeWorkload(
        assignee_id=agent_id,
        total_tasks=len(tasks),
        open_tasks=len(open_since),
        in_progress_tasks=count(tasks, IN_PROGRESS),
        completed_tasks=count(tasks, COMPLETED),
        failed_tasks=count(tasks, FAILED),
        cancelled_tasks=count(tasks, CANCELLED),
        average_task_time=mean(times([task for task in tasks if task.state == COMPLETED])),
        oldest_open_create_time=moment(min(open_since)) if open_since else None,
        unacknowledged_messages=load.unacknowledged,
        average_acknowledge_time=mean(load.waited),
        input_required_tasks=count(tasks, INPUT_REQUIRED),
    )


def buckets(ends: Sequence[int], bucket: int | None) -> list[pb.CompletionBucket]:
    """Every bucket from the first to the last."""
    if not bucket or not ends:
        return []
    numbers = [end // (bucket * MICROS) for end in ends]
    return [
        pb.CompletionBucket(
            start_time=moment(number * bucket * MICROS), completed_tasks=numbers.count(number)
        )
        for number in range(min(numbers), max(numbers) + 1)
    ]


def series(tasks: Sequence[pb.Task], bucket: int | None) -> list[pb.ReportBucket]:
    """Every bucket from the first creation to the last, or to the last end."""
    if not bucket or not tasks:
        return []
    length = bucket * MICROS
    created = [at(task.create_time) // length for task in tasks]
    ended = [(at(task.end_time) // length, task.state) for task in tasks if is_ended(task)]
    return [
        pb.ReportBucket(
            start_time=moment(number * length),
            created_tasks=created.count(number),
            completed_tasks=ended.count((number, COMPLETED)),
            failed_tasks=ended.count((number, FAILED)),
            cancelled_tasks=ended.count((number, CANCELLED)),
        )
        for number in range(min(created), max([*created, *(number for number, _ in ended)]) + 1)
    ]


def is_ended(task: pb.Task) -> bool:
    """Whether it has ended."""
    return task.HasField("end_time")


def summary(samples: Sequence[int]) -> pb.DurationSummary:
    """Count, mean, and percentiles by nearest rank."""
    return pb.DurationSummary(
        sample_count=len(samples),
        average=mean(samples),
        median=nearest_rank(samples, 50),
        p95=nearest_rank(samples, 95),
    )


def nearest_rank(samples: Sequence[int], percent: int) -> Duration | None:
    """The smallest sample that at least so many percent do not exceed."""
    for sample in sorted(samples):
        if sum(other <= sample for other in samples) * 100 >= percent * len(samples):
            return length(sample)
    return None


def mean(samples: Sequence[int]) -> Duration | None:
    """The mean, in whole microseconds."""
    return length(sum(samples) // len(samples)) if samples else None


def times(tasks: Iterable[pb.Task]) -> list[int]:
    """From start to end."""
    return [at(task.end_time) - at(task.start_time) for task in tasks]


def count(tasks: Iterable[pb.Task], state: pb.TaskState.ValueType) -> int:
    """How many are in a state."""
    return sum(task.state == state for task in tasks)


def at(time: Timestamp) -> int:
    """A time in microseconds since 1970 UTC."""
    return time.ToMicroseconds()


def moment(micros: int) -> Timestamp:
    """A time of microseconds since 1970 UTC."""
    made = Timestamp()
    made.FromMicroseconds(micros)
    return made


def length(micros: int) -> Duration:
    """A length of time of microseconds."""
    made = Duration()
    made.FromMicroseconds(micros)
    return made


def _within(task: pb.Task, filter: Any, name: str) -> bool:
    has: Any = task.HasField
    time = at(getattr(task, name)) if has(name) else None
    times: types_pb2.TimeRange = getattr(filter, name)
    if times.HasField("start_time") and (time is None or time < at(times.start_time)):
        return False
    return not times.HasField("end_time") or (time is not None and time < at(times.end_time))
