"""A holder that lost its task learns it: its block ends, and all its calls are refused."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable

import pytest

from client.conftest import SHORT_LEASE, is_in, seen
from dovetail.client import (
    Agent,
    HeldTask,
    LeaseLostError,
    TaskState,
)
from dovetail.server.runtime import RunningServer


async def test_a_block_whose_task_is_cancelled_ends(alice: Agent, bob: Agent):
    await alice.tasks.create("x")
    held: list[HeldTask] = []
    broken_off = asyncio.Event()

    async def work() -> None:
        async with bob.claim(lease_duration=SHORT_LEASE) as task:
            held.append(task)
            await alice.tasks.cancel(task.task_id)
            try:
                await asyncio.Event().wait()
            finally:
                broken_off.set()

    with pytest.raises(LeaseLostError) as lost:
        await work()
    assert broken_off.is_set()
    assert lost.value.metadata["state"] == "CANCELLED"
    assert lost.value.metadata["last_actor_id"] == "alice"
    assert held[0].lost is lost.value
    assert (await alice.tasks.get(held[0].task_id)).state == TaskState.CANCELLED


async def test_a_block_that_will_not_stop_is_told_at_its_end(alice: Agent, bob: Agent):
    await alice.tasks.create("x")
    refused: list[LeaseLostError] = []

    async def work() -> None:
        async with bob.claim(lease_duration=SHORT_LEASE) as task:
            await alice.tasks.cancel(task.task_id)
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                with pytest.raises(LeaseLostError) as lost:
                    task.progress(90)
                refused.append(lost.value)

    with pytest.raises(LeaseLostError) as lost:
        await work()
    assert refused == [lost.value]
    # The cancellation was for the block alone.
    assert not asyncio.current_task().cancelling()  # type: ignore[union-attr]


async def test_what_was_lost_before_the_end_is_told_at_the_end(alice: Agent, bob: Agent):
    made = await alice.tasks.create("x")
    with pytest.raises(LeaseLostError):
        async with bob.claim():
            await alice.tasks.cancel(made.task_id)
    assert (await alice.tasks.get(made.task_id)).state == TaskState.CANCELLED


async def test_a_block_that_is_lost_and_cancelled_from_outside_is_cancelled(
    alice: Agent, bob: Agent
):
    made = await alice.tasks.create("x")

    async def work() -> None:
        async with bob.claim(lease_duration=SHORT_LEASE):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                working.cancel()
                raise

    working = asyncio.create_task(work())
    await seen(alice, made.task_id, is_in(TaskState.IN_PROGRESS))
    await alice.tasks.cancel(made.task_id)
    with pytest.raises(asyncio.CancelledError):
        await working


async def test_what_another_lost_fails_this_task_as_any_error(alice: Agent, bob: Agent):
    made = await alice.tasks.create("x", max_attempts=1)

    async def work() -> None:
        async with bob.claim():
            raise LeaseLostError("of another task")

    with pytest.raises(LeaseLostError, match="another"):
        await work()
    failed = await alice.tasks.get(made.task_id)
    assert failed.failure.message == "LeaseLostError: of another task"


async def test_one_who_knows_of_the_loss_and_is_cancelled_is_cancelled(alice: Agent, bob: Agent):
    await alice.tasks.create("x")
    known = asyncio.Event()

    async def work() -> None:
        async with bob.claim() as task:
            await alice.tasks.cancel(task.task_id)
            with pytest.raises(LeaseLostError):
                await task.heartbeat()
            known.set()
            await asyncio.Event().wait()

    working = asyncio.create_task(work())
    await known.wait()
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working


VERBS: dict[str, Callable[[HeldTask], Awaitable[object]]] = {
    "heartbeat": lambda task: task.heartbeat(),
    "ask": lambda task: task.ask("When?"),
    "complete": lambda task: task.complete("done"),
    "fail": lambda task: task.fail("no"),
    "release": lambda task: task.release(),
}


@pytest.mark.parametrize("verb", VERBS)
async def test_every_verb_of_one_who_lost_its_task_is_refused(alice: Agent, bob: Agent, verb: str):
    await alice.tasks.create("x")

    async def work() -> None:
        async with bob.claim() as task:
            await alice.tasks.assign(task.task_id, "alice", force=True)
            with pytest.raises(LeaseLostError):
                await VERBS[verb](task)
            with pytest.raises(LeaseLostError):
                task.check()

    with pytest.raises(LeaseLostError):
        await work()
    (task,) = [task async for task in alice.tasks.list()]
    assert (task.state, task.assignee_id) == (TaskState.PENDING, "alice")


async def test_one_who_waits_for_an_answer_learns_that_the_task_was_cancelled(
    alice: Agent, bob: Agent
):
    made = await alice.tasks.create("x")

    async def work() -> None:
        async with bob.claim() as task:
            await task.ask("Which one?")

    working = asyncio.create_task(work())
    await seen(alice, made.task_id, is_in(TaskState.INPUT_REQUIRED))
    await alice.tasks.cancel(made.task_id)
    with pytest.raises(LeaseLostError):
        await working


HOLDER = """
import asyncio, sys
from datetime import timedelta
from dovetail.client import LeaseLostError, connect

async def main():
    async with connect("bob", messaging=sys.argv[1], tasks=sys.argv[2]) as bob:
        try:
            async with bob.claim(lease_duration=timedelta(seconds=0.6)):
                await asyncio.Event().wait()
        except LeaseLostError as lost:
            print(lost.metadata["last_verb"])

asyncio.run(main())
"""


async def test_a_holder_that_stood_still_past_its_lease_learns_that_it_lost(
    messaging: RunningServer, tasks: RunningServer, alice: Agent
):
    made = await alice.tasks.create("x", max_attempts=1)
    words = (sys.executable, "-c", HOLDER, messaging.address, tasks.address)
    holder = await asyncio.create_subprocess_exec(*words, stdout=subprocess.PIPE)
    try:
        await seen(alice, made.task_id, is_in(TaskState.IN_PROGRESS))
        holder.send_signal(signal.SIGSTOP)
        await seen(alice, made.task_id, is_in(TaskState.FAILED))
        holder.send_signal(signal.SIGCONT)
        printed, _ = await holder.communicate()
        assert printed.decode().split() == ["EXPIRE_LEASE"]
    finally:
        if holder.returncode is None:
            holder.kill()
            await holder.wait()
