"""The measure of work: how fast tasks are claimed and completed, beside other durable queues."""

from __future__ import annotations

import asyncio
import time
from functools import partial

from bench.calls import as_agent, new_request_id
from bench.cpu import Span
from bench.fixtures import Engine, Fixtures
from bench.programs import run_trial
from bench.size import Size
from bench.stores import OpenStore
from bench.trials import ECHO, Case, Run, Trial, closed_loop
from dovetail.messaging.v1 import messaging_pb2 as talk
from dovetail.tasks.v1 import tasks_pb2 as work

WORKERS = 16
BATCH = 50
CREATED_TASKS_MAX = 1_000
WORKERS_TRIED = (1, 2, 4, 8, 16)


async def claim(fixtures: Fixtures, size: Size) -> list[Case]:
    """ClaimTask and CompleteTask by many workers, until there is nothing left to do."""
    echo = partial(_two_echoes, fixtures)
    echoes = partial(closed_loop, fixtures.echo.processes, WORKERS, size.seconds, echo)
    peers = dict(
        [
            await _with_best_workers(name, store, size.claims)
            for name, store in fixtures.peers.queues.items()
        ]
    )
    return [
        Case(
            measure="claim",
            name=f"{WORKERS} workers, {what}",
            unit="tasks",
            targets={
                ECHO: echoes,
                **{
                    target: partial(_drain, engine, size.claims * times, batch)
                    for target, engine in fixtures.engines.items()
                },
                **peers,
            },
            peers=[*peers],
        )
        # More of them where they are claimed together, or some workers would find none.
        for what, batch, times in (("one by one", 1, 1), (f"{BATCH} at once", BATCH, 4))
    ]


async def _two_echoes(fixtures: Fixtures, _: int) -> None:
    for _ in range(2):
        await fixtures.echo.stub.Echo(talk.SendMessageRequest(body="A task"))


async def _drain(engine: Engine, tasks: int, batch: int) -> Trial:
    """Create tasks; then claim and complete all of them with several workers."""
    for first in range(0, tasks, CREATED_TASKS_MAX):
        made = [work.CreateTaskRequest(title="A task")] * min(CREATED_TASKS_MAX, tasks - first)
        await engine.tasks.BatchCreateTasks(work.BatchCreateTasksRequest(requests=made))
    taken: list[float] = []
    with Span(engine.processes) as span:
        await asyncio.gather(*(_work(engine, number, batch, taken) for number in range(WORKERS)))
    if len(taken) != tasks:
        raise RuntimeError(f"{len(taken)} tasks were completed, not {tasks}")
    return Trial.of(span, taken)


async def _work(engine: Engine, number: int, batch: int, taken: list[float]) -> None:
    """Claim and complete until nothing is left."""
    stub, metadata = engine.tasks, as_agent(f"worker-{number}")
    request = work.ClaimTaskRequest(max_tasks=batch)
    while True:
        before = time.perf_counter()
        claimed = (await stub.ClaimTask(request, metadata=metadata)).tasks
        if not claimed:
            return
        completions = [_completion(each) for each in claimed]
        if batch == 1:
            await stub.CompleteTask(completions[0], metadata=metadata)
        else:
            completion = work.BatchCompleteTasksRequest(requests=completions)
            await stub.BatchCompleteTasks(completion, metadata=metadata)
        taken += [time.perf_counter() - before] * len(claimed)


def _completion(each: work.ClaimedTask) -> work.CompleteTaskRequest:
    """A completion as the Python client sends it."""
    return work.CompleteTaskRequest(
        task_id=each.task.task_id,
        lease_token=each.lease_token,
        result=work.TaskResult(summary="done"),
        request_id=new_request_id(),
    )


async def _with_best_workers(name: str, store: OpenStore, tasks: int) -> tuple[str, Run]:
    """Another queue with the number of workers that is fastest here, which its name tells."""
    rates = {
        workers: (await _other_queue(name, store, tasks, workers)).rate for workers in WORKERS_TRIED
    }
    best = max(rates, key=lambda workers: rates[workers])
    return f"{name}, {best} workers", partial(_other_queue, name, store, tasks, best)


async def _other_queue(name: str, store: OpenStore, tasks: int, workers: int) -> Trial:
    """Run another queue with as many tasks, in a process of its own."""
    module = "bench.peers.queues"
    return await run_trial(module, name, store.url, tasks, workers, *store.database)
