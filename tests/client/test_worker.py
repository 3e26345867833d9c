"""A worker: a handler run on many tasks at once, claimed and completed in batches."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Generator, Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from client.conftest import SHORT_LEASE
from client.working import all_of, cancelled, make, states, until_all, until_in_progress
from dovetail.client import (
    Agent,
    HeldTask,
    InvalidArgumentError,
    TaskState,
    WorkFailedError,
    claims,
    connect,
)
from support.processes import ServerProcess
from support.waiting import until

BRIEFLY = 0.2


async def test_what_the_handler_answers_is_the_result(alice: Agent, bob: Agent):
    answers: Iterable[str | Mapping[str, Any] | None] = ("text", {"n": 1}, None)
    await make(alice, 3)

    async def handle(task: HeldTask) -> str | Mapping[str, Any] | None:
        return list(answers)[int(task.title)]

    await bob.work(handle, idle_timeout=BRIEFLY)
    text, mapping, nothing = (task.result for task in await all_of(alice))
    assert (text.summary, text.data) == ("text", None)
    assert (mapping.summary, mapping.data) == ("", {"n": 1})
    assert (nothing.summary, nothing.data) == ("", None)
    assert (await states(alice)) == {"completed": 3}


async def test_it_works_on_as_many_tasks_at_once_as_it_may(alice: Agent, bob: Agent):
    await make(alice, 8)
    running, most = 0, 0
    together = asyncio.Barrier(4)

    async def handle(task: HeldTask) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await together.wait()
        running -= 1

    await bob.work(handle, concurrency=4, idle_timeout=BRIEFLY)
    assert most == 4
    assert await states(alice) == {"completed": 8}


async def test_handlers_without_a_coroutine_run_in_threads_at_once(alice: Agent, bob: Agent):
    await make(alice, 6)
    together = threading.Barrier(3, timeout=30)

    def handle(task: HeldTask) -> str:
        together.wait()
        task.progress(50)
        return threading.current_thread().name

    await bob.work(handle, concurrency=3, idle_timeout=BRIEFLY)
    names = {task.result.summary for task in await all_of(alice)}
    assert len(names) == 3
    assert threading.current_thread().name not in names


async def test_a_handler_may_be_an_object_or_a_function_that_makes_a_coroutine(
    alice: Agent, bob: Agent
):
    class Handler:
        async def __call__(self, task: HeldTask) -> str:
            return "object"

    await make(alice, 1)
    await bob.work(Handler(), idle_timeout=BRIEFLY)
    await make(alice, 1)
    await bob.work(lambda task: Handler()(task), idle_timeout=BRIEFLY)
    assert [task.result.summary for task in await all_of(alice)] == ["object", "object"]


class Calls:
    """How many tasks each call of a method was about. The calls are made as they are."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, agent: Agent, name: str) -> None:
        self.sizes: list[int] = []
        method = getattr(agent.tasks, name)

        async def call(*args: Any, **kwargs: Any) -> list[Any]:
            answer = await method(*args, **kwargs)
            self.sizes.append(len(answer))
            return answer

        monkeypatch.setattr(agent.tasks, name, call)


async def test_short_tasks_are_claimed_and_completed_in_batches(
    alice: Agent, bob: Agent, monkeypatch: pytest.MonkeyPatch
):
    await make(alice, 200)
    claims = Calls(monkeypatch, bob, "claim")
    completions = Calls(monkeypatch, bob, "complete_many")

    async def handle(task: HeldTask) -> str:
        return task.title

    await bob.work(handle, concurrency=50, idle_timeout=BRIEFLY)
    assert await states(alice) == {"completed": 200}
    assert sum(claims.sizes) == sum(completions.sizes) == 200
    assert max(claims.sizes) == max(completions.sizes) == 50
    assert len(completions.sizes) < 40


async def test_a_completion_waits_a_moment_for_the_next(
    alice: Agent, bob: Agent, monkeypatch: pytest.MonkeyPatch
):
    await make(alice, 40)
    completions = Calls(monkeypatch, bob, "complete_many")

    async def handle(task: HeldTask) -> None:
        for _ in range(int(task.title) % 2 * 5):
            await asyncio.sleep(0)

    await bob.work(handle, concurrency=2, idle_timeout=BRIEFLY)
    assert sum(completions.sizes) == 40
    assert max(completions.sizes) == 2


async def test_results_that_are_too_large_together_are_completed_one_by_one(
    alice: Agent, bob: Agent
):
    await make(alice, 20)

    async def handle(task: HeldTask) -> dict[str, str]:
        return {"text": "x" * 250_000}

    await bob.work(handle, concurrency=20, idle_timeout=BRIEFLY)
    assert await states(alice) == {"completed": 20}


async def test_one_result_that_is_refused_leaves_the_others(alice: Agent, bob: Agent):
    await make(alice, 3, max_attempts=1)

    async def handle(task: HeldTask) -> str:
        return "x" * 100_000 if task.title == "1" else "fine"

    await bob.work(handle, concurrency=3, idle_timeout=BRIEFLY)
    first, second, third = await all_of(alice)
    assert [first.result.summary, third.result.summary] == ["fine", "fine"]
    assert second.failure.message.startswith("InvalidArgumentError: ")


async def test_what_is_lost_while_it_is_completed_leaves_the_others(alice: Agent, bob: Agent):
    await make(alice, 3)
    together = asyncio.Barrier(3)

    async def handle(task: HeldTask) -> str:
        if task.title == "1":
            await alice.tasks.cancel(task.task_id)
        await together.wait()
        return "fine"

    await bob.work(handle, concurrency=3, idle_timeout=BRIEFLY)
    found = [task.state for task in await all_of(alice)]
    completed, called_off = TaskState.COMPLETED, TaskState.CANCELLED
    assert found == [completed, called_off, completed]


async def test_exceptions_fail_their_tasks_and_work_goes_on(
    alice: Agent, bob: Agent, caplog: pytest.LogCaptureFixture
):
    await make(alice, 4, initial_backoff=timedelta(0), max_attempts=2)
    attempts: Counter[str] = Counter()

    async def handle(task: HeldTask) -> Any:
        attempts[task.title] += 1
        match task.title:
            case "0":
                raise ValueError("no disk")
            case "1":
                raise WorkFailedError("impossible", data={"n": 1})
            case "2":
                return 3
            case _:
                return "fine"

    await bob.work(handle, idle_timeout=BRIEFLY)
    failures = [task.failure and task.failure.message for task in await all_of(alice)]
    assert failures == [
        "ValueError: no disk",
        "impossible",
        "TypeError: a handler must return a str, a Mapping or None, not int",
        None,
    ]
    assert attempts == {"0": 2, "1": 1, "2": 2, "3": 1}
    assert "ValueError: no disk" in caplog.text


async def test_a_task_that_is_lost_breaks_its_handler_off_and_work_goes_on(
    alice: Agent, bob: Agent
):
    (task,) = await make(alice, 1)
    broken_off = asyncio.Event()

    async def handle(task: HeldTask) -> None:
        try:
            if task.title == "0":
                await asyncio.Event().wait()
        finally:
            broken_off.set()

    working = asyncio.create_task(bob.work(handle, lease_duration=SHORT_LEASE))
    await until_all(alice, lambda task: task.state == TaskState.IN_PROGRESS)
    await alice.tasks.cancel(task.task_id)
    await broken_off.wait()
    await alice.tasks.create("next")
    await until_all(alice, lambda task: task.end_time is not None)
    await cancelled(working)
    assert await states(alice) == {"cancelled": 1, "completed": 1}


async def test_heartbeats_keep_all_that_it_holds(alice: Agent, bob: Agent):
    made = await make(alice, 5)
    enough = asyncio.Event()

    async def handle(task: HeldTask) -> None:
        await enough.wait()

    working = asyncio.create_task(bob.work(handle, concurrency=5, lease_duration=SHORT_LEASE))
    end = made[0].create_time + 4 * SHORT_LEASE
    await until_all(alice, lambda task: task.lease is not None and task.lease.expire_time > end)
    enough.set()
    await until_all(alice, lambda task: task.end_time is not None)
    await cancelled(working)
    assert [task.attempt for task in await all_of(alice)] == [1] * 5


async def test_a_worker_that_is_cancelled_gives_back_what_it_holds(alice: Agent, bob: Agent):
    await make(alice, 4)

    async def handle(task: HeldTask) -> None:
        await asyncio.Event().wait()

    working = asyncio.create_task(bob.work(handle, concurrency=3))
    await until_in_progress(alice, 3)
    await cancelled(working)
    assert await states(alice) == {"pending": 4}
    assert not any(task.failed_attempts or task.assignee_id for task in await all_of(alice))


async def test_in_its_time_of_grace_a_worker_finishes_what_it_holds_and_takes_nothing_new(
    alice: Agent, bob: Agent
):
    await make(alice, 3)
    go_on = asyncio.Event()
    begun: list[str] = []

    async def handle(task: HeldTask) -> None:
        begun.append(task.task_id)
        await go_on.wait()

    working = asyncio.create_task(bob.work(handle, concurrency=2, grace=30))
    await until(lambda: len(begun) == 2)
    working.cancel()
    asyncio.get_running_loop().call_soon(go_on.set)
    with pytest.raises(asyncio.CancelledError):
        await working
    assert await states(alice) == {"completed": 2, "pending": 1}


async def test_a_thread_that_is_broken_off_learns_it_when_it_tells_of_its_progress(
    alice: Agent, bob: Agent
):
    (task,) = await make(alice, 1)
    lost, never = threading.Event(), threading.Event()

    def handle(task: HeldTask) -> None:
        try:
            while not never.wait(0.01):
                task.progress(1)
        finally:
            lost.set()

    working = asyncio.create_task(bob.work(handle, lease_duration=SHORT_LEASE))
    await until_all(alice, lambda task: task.state == TaskState.IN_PROGRESS)
    await alice.tasks.cancel(task.task_id)
    assert await asyncio.to_thread(lost.wait, 30)
    await cancelled(working)


async def test_while_the_thread_of_a_lost_task_runs_others_may_take_the_next(
    alice: Agent, bob: Agent, caplog: pytest.LogCaptureFixture
):
    (lost,) = await make(alice, 1)
    go_on = threading.Event()

    def handle(task: HeldTask) -> None:
        go_on.wait(60)
        task.check()

    working = asyncio.create_task(bob.work(handle, lease_duration=SHORT_LEASE))
    try:
        await until_all(alice, lambda task: task.state == TaskState.IN_PROGRESS)
        await make(alice, 2)
        await alice.tasks.cancel(lost.task_id)
        await until(lambda: repr(lost.task_id) in caplog.text)
        for _ in range(20):  # Long enough for a claim.
            assert (await states(alice))["pending"] == 2
        (taken,) = await alice.tasks.claim()
    finally:
        go_on.set()
    await alice.tasks.complete(taken.task.task_id, lease_token=taken.lease_token)
    await until_all(alice, lambda task: task.end_time is not None)
    await cancelled(working)
    assert [task.assignee_id for task in await all_of(alice)][1:] == ["alice", "bob"]


async def test_claims_that_are_refused_end_the_work(bob: Agent):
    async def handle(task: HeldTask) -> None:
        raise AssertionError("there is no task")

    with pytest.raises(InvalidArgumentError, match="lease"):
        await bob.work(handle, lease_duration=timedelta(days=1))
    with pytest.raises(ValueError, match="concurrency"):
        await bob.work(handle, concurrency=0)


@pytest.fixture
def server(sqlite_url: str, tmp_path: Path) -> Generator[ServerProcess]:
    with ServerProcess("tasks", sqlite_url, tmp_path / "tasks.log") as server:
        yield server


async def test_a_worker_that_is_cancelled_at_any_moment_leaves_nothing_held(
    server: ServerProcess, monkeypatch: pytest.MonkeyPatch
):
    # On a busy machine a response that is on its way takes longer than usual.
    monkeypatch.setattr(claims, "CANCELLED_CLAIM_SECONDS", 30.0)
    done: list[str] = []

    async def handle(task: HeldTask) -> None:
        done.append(task.title)

    async with connect("bob", tasks=server.address) as bob:
        await make(bob, 1_000)
        for moment in range(60):
            enough = len(done) + 3
            working = asyncio.create_task(bob.work(handle, concurrency=2))
            while len(done) < enough:  # noqa: ASYNC110
                await asyncio.sleep(0)
            for _ in range(25 * moment):
                await asyncio.sleep(0)
            await cancelled(working)
        # Where an answer was lost, a lease that nobody keeps is still there.
        assert not (await states(bob))["in_progress"]


@pytest.mark.parametrize("kill", [True, False], ids=["killed", "stopped"])
async def test_work_goes_on_through_restarts_and_each_task_is_done_once(
    server: ServerProcess, kill: bool
):
    async with (
        connect("alice", tasks=server.address, timeout=60) as alice,
        connect("bob", tasks=server.address, patience=0) as bob,
    ):
        await make(alice, 60)
        done: Counter[str] = Counter()
        restarted, waiting = asyncio.Event(), asyncio.Barrier(8 + 1)

        async def handle(task: HeldTask) -> None:
            done[task.title] += 1
            if 20 < len(done) <= 28:
                await waiting.wait()
                await restarted.wait()

        working = asyncio.create_task(bob.work(handle, concurrency=8))
        await waiting.wait()  # Its hands are full: no answer to a claim can be lost.
        await asyncio.to_thread(server.kill if kill else server.stop)
        restarted.set()
        await asyncio.to_thread(server.start)
        await until_all(alice, lambda task: task.state == TaskState.COMPLETED)
        await cancelled(working)
        assert {task.attempt for task in await all_of(alice)} == {1}
        assert done == dict.fromkeys(map(str, range(60)), 1)
