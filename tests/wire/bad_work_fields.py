"""Bad fields of the work engine: claims, leases, retries, dependencies, batches."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.duration_pb2 import Duration

from dovetail.tasks.v1 import tasks_pb2 as t
from dovetail.types.v1.types_pb2 import InputOption
from wire.requests import (
    ACKNOWLEDGING,
    HOLDERS,
    SOME_CHANGES,
    Row,
    claim,
    claiming,
    create,
    creations,
    prefix,
    update,
)


def work() -> Iterator[Row]:
    """Claims, leases, retries, dependencies, batches, and acknowledging with the act."""
    yield from _claims_and_leases()
    yield from _making()
    yield from _questions()
    yield "BatchCreateTasks", t.BatchCreateTasksRequest(), "requests"
    yield (
        "BatchCreateTasks",
        creations(acknowledge_sequences=[1]),
        "requests[1].acknowledge_sequences",
    )
    yield "BatchCreateTasks", t.BatchCreateTasksRequest(requests=[create()] * 1_001), "requests"
    twins = [create(task_id="twin")] * 2
    yield "BatchCreateTasks", t.BatchCreateTasksRequest(requests=twins), "requests"
    yield "BatchCompleteTasks", t.BatchCompleteTasksRequest(), "requests"
    for name, make in ACKNOWLEDGING.items():
        field = f"{prefix(name)}acknowledge_sequences"
        yield name, make(acknowledge_sequences=[1] * 1_001), field
        for sequence in (0, -1):
            yield name, make(acknowledge_sequences=[1, sequence]), f"{field}[1]"


def _claims_and_leases() -> Iterator[Row]:
    for filter, field in (({"states": [1]}, "states"), ({"assignee_ids": ["bob"]}, "assignee_ids")):
        yield "ClaimTask", claiming(**filter), f"filter.{field}"
    yield "ClaimTask", claiming(unassigned=True), "filter.unassigned"
    for most in (-1, 101, 2**31 - 1):
        yield "ClaimTask", claim(max_tasks=most), "max_tasks"
    for wait in (Duration(seconds=-1), Duration(seconds=50, nanos=1_000), Duration(seconds=2**62)):
        yield "ClaimTask", claim(max_wait=wait), "max_wait"
    start = SOME_CHANGES["StartTask"]
    for lease in (Duration(), Duration(seconds=9), Duration(seconds=3_601), Duration(seconds=-10)):
        yield "ClaimTask", claim(lease_duration=lease), "lease_duration"
        yield "StartTask", start(lease_duration=lease), "lease_duration"
    for percent in (-1, 101):
        progress = t.TaskProgress(percent=percent)
        yield "HeartbeatTask", HOLDERS["HeartbeatTask"](progress=progress), "progress.percent"


def _making() -> Iterator[Row]:
    for most in (-1, 1_001):
        yield "CreateTask", create(max_attempts=most), "max_attempts"
        yield "BatchCreateTasks", creations(max_attempts=most), "requests[1].max_attempts"
        yield "UpdateTask", update("max_attempts", max_attempts=most), "task.max_attempts"
    yield "UpdateTask", update("max_attempts"), "task.max_attempts"
    for pause in (Duration(seconds=-1), Duration(seconds=86_400, nanos=1_000)):
        yield "CreateTask", create(initial_backoff=pause), "initial_backoff"
        yield "BatchCreateTasks", creations(initial_backoff=pause), "requests[1].initial_backoff"
        yield "UpdateTask", update("initial_backoff", initial_backoff=pause), "task.initial_backoff"
    for several in (["build", "build"], [f"t{number}" for number in range(101)]):
        yield "CreateTask", create(depends_on=several), "depends_on"
        yield "BatchCreateTasks", creations(depends_on=several), "requests[1].depends_on"
        yield "UpdateTask", update("depends_on", depends_on=several), "task.depends_on"


def _questions() -> Iterator[Row]:
    ask, answer = SOME_CHANGES["RequestTaskInput"], SOME_CHANGES["ProvideTaskInput"]
    some, minute = [InputOption(name="yes"), InputOption(name="no")], Duration(seconds=60)
    yield "RequestTaskInput", ask(options=[InputOption(name=f"{n}") for n in range(21)]), "options"
    yield "RequestTaskInput", ask(options=[*some, some[0]]), "options[2].name"
    for name in ("", "x" * 129, " x", "a\nb", "e\u0301", "\0"):
        yield "RequestTaskInput", ask(options=[some[0], InputOption(name=name)]), "options[1].name"
    for text in ("x" * 513, "\0"):
        option = InputOption(name="maybe", description=text)
        yield "RequestTaskInput", ask(options=[*some, option]), "options[2].description"
    for within in (
        Duration(),
        Duration(seconds=-1),
        Duration(nanos=999_999_000),
        Duration(seconds=1, nanos=1),
        Duration(seconds=30 * 86_400, nanos=1_000),
        Duration(seconds=2**62),
    ):
        yield "RequestTaskInput", ask(answer_within=within, default_answer="x"), "answer_within"
    for default in ("", "x" * 1_025, "\0"):
        asked = ask(answer_within=minute, default_answer=default)
        yield "RequestTaskInput", asked, "default_answer"
    for default in ("", "maybe", "Yes"):
        asked = ask(options=some, answer_within=minute, default_answer=default)
        yield "RequestTaskInput", asked, "default_answer"
    yield "RequestTaskInput", ask(default_answer="x"), "default_answer"
    yield "RequestTaskInput", ask(options=some, default_answer="yes"), "default_answer"
    for name in ("x" * 129, " x", "\0"):
        yield "ProvideTaskInput", answer(option=name), "option"
