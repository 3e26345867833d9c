"""The first start: both servers find nothing, make the store together, and come up."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from statistics import median

import grpc
import pytest

from dovetail.messaging.v1 import messaging_pb2 as messaging_pb
from dovetail.messaging.v1 import messaging_pb2_grpc
from dovetail.tasks.v1 import tasks_pb2 as tasks_pb
from dovetail.tasks.v1 import tasks_pb2_grpc
from support.databases import empty_database
from support.pair import identity
from support.processes import ServerProcess, process_pair
from support.soak import full_or_tenth

pytestmark = pytest.mark.soak

TIMES = full_or_tenth(100)


@pytest.fixture(params=["sqlite", "postgres"])
def nothing_yet(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Callable[[int], AbstractContextManager[str]]:
    """The nth of many stores in which there is nothing yet, on each engine."""
    if request.param == "sqlite":
        return lambda number: nullcontext(f"sqlite:///{tmp_path}/{number}.db")
    postgres = str(request.getfixturevalue("postgres"))
    return lambda _: empty_database(postgres)


def test_two_servers_that_start_at_once_on_nothing_both_come_up_every_time(
    nothing_yet: Callable[[int], AbstractContextManager[str]],
    tmp_path: Path,
    report_figures: Callable[[str], None],
) -> None:
    seconds: list[float] = []
    for number in range(TIMES):
        with nothing_yet(number) as store_url:
            seconds.append(_start_both(store_url, tmp_path))
    report_figures(
        f"{TIMES} of {TIMES} times both came up;"
        f" until both served: median {median(seconds):.2f} s, longest {max(seconds):.2f} s"
    )


def _start_both(store_url: str, folder: Path) -> float:
    """Start both at once, use both, kill both; how long it took until both served."""
    begin = time.perf_counter()
    with process_pair(store_url, folder) as (messaging, tasks):
        seconds = time.perf_counter() - begin
        _use(messaging, tasks)
    return seconds


def _use(messaging: ServerProcess, tasks: ServerProcess) -> None:
    """What one server writes the other knows: both made the same store."""
    with grpc.insecure_channel(messaging.address) as channel:
        directory = messaging_pb2_grpc.MessagingServiceStub(channel)
        directory.RegisterAgent(messaging_pb.RegisterAgentRequest(), metadata=identity("alice"))
    with grpc.insecure_channel(tasks.address) as channel:
        request = tasks_pb.CreateTaskRequest(title="first", assignee_id="alice")
        response = tasks_pb2_grpc.TaskServiceStub(channel).CreateTask(request)
    assert [notice.recipient_id for notice in response.notices] == ["alice"]
