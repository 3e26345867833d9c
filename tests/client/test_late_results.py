"""A worker that is cut off while it completes: its result is the task's, or kept as a late one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from dovetail.client import Agent, AttemptEnd, HeldTask, LeaseLostError, TaskState, connect
from dovetail.client.blocking import connect as connect_blocking
from dovetail.server.runtime import RunningServer
from support.soak import full_or_tenth
from support.waiting import until

RUNS = full_or_tenth(100)
LEASE = timedelta(seconds=1)


class Line:
    """The way to a server, which can be cut: what is on it is lost, and nothing gets through."""

    def __init__(self, server: str) -> None:
        self._server = server.split(":")
        self._writers: list[asyncio.StreamWriter] = []
        self._pumps: set[asyncio.Task[None]] = set()
        self._is_cut = False
        self.address = ""

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Line]:
        async with await asyncio.start_server(self._accept, "127.0.0.1", 0) as server:
            self.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            yield self
            self.cut()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    def cut(self) -> None:
        self._is_cut = True
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    def mend(self) -> None:
        self._is_cut = False

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection(*self._server)
        self._writers += (writer, far_writer)
        ways = (reader, far_writer), (far_reader, writer)
        self._pumps.update(asyncio.create_task(_pump(*way)) for way in ways)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while content := await reader.read(65_536):
        writer.write(content)
    writer.close()


@pytest.mark.soak
async def test_a_worker_that_is_cut_off_while_it_completes_loses_no_result(
    alice: Agent, tasks: RunningServer
):
    """Half of them complete while the line is cut, the others just before."""
    made = [await alice.tasks.create(f"work {number}") for number in range(RUNS)]
    line, begun, finish = Line(tasks.address), 0, [asyncio.Event(), asyncio.Event()]

    async def work(agent: Agent, number: int) -> HeldTask:
        nonlocal begun
        async with agent.claim(lease_duration=LEASE) as task:
            begun += 1
            await finish[number % 2].wait()
            task.result(f"done {task.task_id}", data={"task_id": task.task_id})
        return task

    async def is_settled() -> bool:
        states = {task.state async for task in alice.tasks.list()}
        return TaskState.IN_PROGRESS not in states

    async with line.open(), connect("bob", tasks=line.address) as bob:
        await bob.tasks.connection.watch.connected()
        works = [asyncio.create_task(work(bob, number)) for number in range(RUNS)]
        await until(lambda: begun == RUNS)
        finish[0].set()
        await asyncio.sleep(0)  # One turn of the loop: their calls are on the way.
        line.cut()
        finish[1].set()
        await until(is_settled)
        line.mend()
        ended = await asyncio.gather(*works, return_exceptions=True)
    completed = [each.task_id for each in ended if isinstance(each, HeldTask)]
    assert {type(each) for each in ended} <= {HeldTask, LeaseLostError}
    assert len(completed) <= RUNS // 2 + 1
    for each in made:
        task = await alice.tasks.get(each.task_id)
        (attempt,) = [found async for found in alice.tasks.attempts(each.task_id)]
        if task.task_id in completed:
            assert (attempt.end, attempt.late_result) == (AttemptEnd.COMPLETED, None)
            assert task.state == TaskState.COMPLETED
        else:
            assert (attempt.end, task.state) == (AttemptEnd.LEASE_LOST, TaskState.PENDING)
            assert attempt.late_result
            result = attempt.late_result.result
            assert result
            assert (result.summary, result.data) == (
                f"done {task.task_id}",
                {"task_id": task.task_id},
            )


async def test_attempts_are_frozen_values_in_both_clients(
    alice: Agent, bob: Agent, tasks: RunningServer
):
    made = await alice.tasks.create("x", initial_backoff=timedelta(0))
    async with bob.claim() as task:
        await task.fail("no luck", data={"exit_code": 3})
    async with bob.claim() as task:
        assert task.task.last_failure
        assert (task.task.last_failure.message, task.task.last_failure.data) == (
            "no luck",
            {"exit_code": 3},
        )
        await alice.tasks.unassign(made.task_id, force=True)
        with pytest.raises(LeaseLostError) as lost:
            await task.complete("late")
        task.over = True  # The test has ended it.
    assert lost.value.metadata["late_result_kept"] == "true"
    first, second = [each async for each in alice.tasks.attempts(made.task_id)]
    assert (first.attempt, first.holder_id, first.end) == (1, "bob", AttemptEnd.FAILED)
    assert first.failure
    assert (first.failure.message, first.failure.data) == ("no luck", {"exit_code": 3})
    assert second.end == "taken_away"
    assert second.late_result
    assert second.late_result.result
    assert (second.late_result.result.summary, second.late_result.failure) == ("late", None)

    def blocking() -> list[int]:
        with connect_blocking("alice", tasks=tasks.address) as agent:
            newest = agent.tasks.attempts(made.task_id, order="newest_first")
            return [each.attempt for each in newest]

    assert await asyncio.to_thread(blocking) == [2, 1]
