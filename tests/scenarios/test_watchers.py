"""Watchers that are stopped, killed and resumed while others write: each event once, in order."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import grpc
import pytest

from cli.shell import PROGRAM
from dovetail.tasks.v1 import tasks_pb2 as pb
from dovetail.tasks.v1 import tasks_pb2_grpc
from support.audit import faults, rows
from support.callers import Caller
from support.pair import Stubs, identity
from support.processes import ServerProcess
from support.servers import OUTCOME_UNKNOWN, channel, insist
from support.soak import SOAK, full_or_tenth
from support.waiting import until

pytestmark = [pytest.mark.soak, pytest.mark.timeout(0 if SOAK else 300)]

WRITERS = 4
TASKS_EACH = full_or_tenth(300)
WATCHERS = full_or_tenth(30)
RESPONSES_MAX = 20
"""After at most so many a watcher leaves, and resumes after its cursor."""

SERVER_KILLS = full_or_tenth(10)
WATCHER_KILLS = full_or_tenth(10)
HISTORY = "SELECT number, actor_id FROM task_events ORDER BY number"


@dataclass
class Watcher:
    """What one watcher saw, through all its streams. With an actor it wants those events alone."""

    actor_id: str = ""
    numbers: list[int] = field(default_factory=list[int])
    streams: int = 0

    @property
    def filter(self) -> pb.TaskEventFilter | None:
        return pb.TaskEventFilter(actor_ids=[self.actor_id]) if self.actor_id else None


Stub: TypeAlias = "tasks_pb2_grpc.TaskServiceAsyncStub"


async def test_every_watcher_sees_every_event_once_and_in_order(
    store_url: str, tmp_path: Path, report_figures: Callable[[str], None]
) -> None:
    last = asyncio.get_running_loop().create_future()
    watchers = [Watcher(writer_id(0) if number % 3 == 2 else "") for number in range(WATCHERS)]
    async with two_servers(store_url, tmp_path) as (servers, stubs):
        async with asyncio.TaskGroup() as group:
            for number, watcher in enumerate(watchers):
                group.create_task(watch(watcher, stubs, last, random.Random(number)))
            shell = group.create_task(watch_in_a_shell(servers[0].address, tmp_path, last))
            killing = group.create_task(kill(servers))
            await asyncio.gather(*(write(number, stubs) for number in range(WRITERS)))
            await killing
            await make(stubs[0], 0, "the last")
            last.set_result(rows(store_url, HISTORY)[-1][0])
        history = rows(store_url, HISTORY)
        await resume_at_any_event(stubs[0], len(history))
    assert [number for number, _ in history] == list(range(1, last.result() + 1))
    for watcher in watchers:
        wanted = [number for number, actor in history if watcher.actor_id in ("", actor)]
        assert watcher.numbers == wanted
    assert shell.result() == [number for number, _ in history]
    assert faults(store_url) == []
    streams = sum(each.streams for each in watchers)
    report_figures(
        f"{len(history):,} events of {WRITERS} writers at two servers, {SERVER_KILLS} kills of"
        f" servers and {WATCHER_KILLS} of a watcher, {streams:,} streams of {WATCHERS} watchers:"
        " missing 0, twice 0, out of order 0"
    )


def writer_id(number: int) -> str:
    return f"writer-{number}"


@asynccontextmanager
async def two_servers(
    store_url: str, logs: Path
) -> AsyncGenerator[tuple[list[ServerProcess], list[Stub]]]:
    """Two task servers over one store."""
    # Who has read the last event before it is known to be the last learns so at the next heartbeat.
    often = ("--heartbeat-seconds", "1")
    servers = [
        ServerProcess("tasks", store_url, logs / f"tasks-{number}.log", options=often)
        for number in (1, 2)
    ]
    async with AsyncExitStack() as stack:
        for each in servers:
            stack.enter_context(each)
        channels = [await stack.enter_async_context(channel(each)) for each in servers]
        yield servers, [tasks_pb2_grpc.TaskServiceStub(each) for each in channels]


async def make(stub: Stub, writer: int, title: str) -> pb.Task:
    request = pb.CreateTaskRequest(title=title, request_id=f"{writer} {title}")
    return (await insist(stub.CreateTask, request, writer_id(writer))).task


async def write(writer: int, stubs: Sequence[Stub]) -> None:
    """Create and cancel tasks, at one server and then at the other."""
    for number in range(TASKS_EACH):
        task = await make(stubs[number % 2], writer, f"task {number}")
        request = pb.CancelTaskRequest(task_id=task.task_id, request_id=f"cancel {writer} {number}")
        await insist(stubs[(number + writer) % 2].CancelTask, request, writer_id(writer))


async def kill(servers: Sequence[ServerProcess]) -> None:
    """kill -9 a server, and start it again, now and then."""
    chance = random.Random(8)
    for _ in range(SERVER_KILLS):
        await asyncio.sleep(chance.uniform(0.1, 0.5))
        server = chance.choice(servers)
        await asyncio.to_thread(server.kill)
        server.start(wait=False)
        await asyncio.to_thread(server.wait_until_serving)


async def watch(
    watcher: Watcher, stubs: Sequence[Stub], last: asyncio.Future[int], chance: random.Random
) -> None:
    """Read some responses at a server, leave, and resume at any server, up to the last event."""
    cursor = 0
    while not (last.done() and cursor >= last.result()):
        request = pb.WatchTasksRequest(after_event=cursor, filter=watcher.filter)
        stream = chance.choice(stubs).WatchTasks(
            request, metadata=identity("watcher"), wait_for_ready=True
        )
        watcher.streams += 1
        try:
            for _ in range(chance.randint(1, RESPONSES_MAX)):
                response = await stream.read()
                if not isinstance(response, pb.WatchTasksResponse):
                    break
                numbers = [event.event_number for event in response.events]
                assert numbers == sorted({*numbers})
                assert all(cursor < number <= response.through_event for number in numbers)
                watcher.numbers += numbers
                cursor = response.through_event
                if last.done() and cursor >= last.result():
                    break
        except grpc.aio.AioRpcError as error:
            if error.code() not in OUTCOME_UNKNOWN:
                raise
        finally:
            stream.cancel()


async def watch_in_a_shell(address: str, folder: Path, last: asyncio.Future[int]) -> list[int]:
    """The same by the command line, which is stopped, killed, and started again where it was."""
    printed, chance = folder / "printed", random.Random(5)
    printed.touch()
    for _ in range(WATCHER_KILLS):
        with following(address, printed) as process:
            await asyncio.sleep(chance.uniform(0.5, 1.0))
            process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(chance.uniform(0.1, 0.3))
            process.send_signal(signal.SIGCONT)
            process.kill()
    with following(address, printed) as process:
        try:
            end = await last

            def is_done() -> bool:
                assert process.poll() is None
                return whole_lines(printed)[-1:] == [end]

            await until(is_done)
        finally:
            process.kill()
    return whole_lines(printed)


def following(address: str, printed: Path) -> subprocess.Popen[bytes]:
    """A watch that goes on after the last line that was printed whole."""
    numbers = whole_lines(printed)
    # A line that a kill cut off is taken away.
    os.truncate(printed, printed.read_bytes().rfind(b"\n") + 1)
    words = ("task", "watch", "--json", "--after", str(numbers[-1] if numbers else 0))
    environment = {**os.environ, "DOVETAIL_TASKS": address, "DOVETAIL_PATIENCE": "30"}
    with printed.open("ab") as out:
        return subprocess.Popen([*PROGRAM, *words], stdout=out, env=environment)


def whole_lines(printed: Path) -> list[int]:
    """The numbers of the events that were printed."""
    lines, _, _ = printed.read_bytes().rpartition(b"\n")
    return [json.loads(line)["event_number"] for line in lines.splitlines()]


async def resume_at_any_event(stub: Stub, count: int) -> None:
    """A new watcher after any event begins with the next."""
    caller = Caller(Stubs(messaging=None, tasks=stub), "late")  # type: ignore[arg-type]
    for cursor in range(0, count, 1 + count // 20):
        async with caller.watch(after_event=cursor) as stream:
            assert (await stream.next()).events[0].event_number == cursor + 1
