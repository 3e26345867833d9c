"""The measure of work: how fast tasks are claimed and completed, beside other durable queues."""

from __future__ import annotations

import asyncio
import sys
import time
from functools import partial
from itertools import count

from bench.fixtures import Fixtures
from bench.size import Size
from bench.trials import ECHO, Case, Trial, closed_loop
from dovetail.messaging.v1 import messaging_pb2 as talk
from dovetail.tasks.v1 import tasks_pb2 as work
from support.servers import Servers

WORKERS = 16
BATCH = 50
CREATED_TASKS_MAX = 1_000
_numbers = count(1)


async def claim(fixtures: Fixtures, size: Size) -> list[Case]:
    """ClaimTask and CompleteTask by many workers, until there is nothing left to do."""
    echoes = {ECHO: partial(closed_loop, WORKERS, size.seconds, partial(_two_echoes, fixtures))}
    other_queues = {
        name: partial(_other_queue, name, store, size.claims)
        for name, store in fixtures.other_queues.items()
    }
    return [
        Case(
            measure="claim",
            name=f"{WORKERS} workers, {what}",
            unit="tasks",
            targets={
                **echoes,
                **{
                    engine: partial(_drain, servers, size.claims, batch)
                    for engine, servers in fixtures.engines.items()
                },
                **others,
            },
        )
        for what, batch, others in (
            ("one by one", 1, other_queues),
            (f"{BATCH} at once", BATCH, {}),
        )
    ]


async def _two_echoes(fixtures: Fixtures, _: int) -> None:
    for _ in range(2):
        await fixtures.echo.Echo(talk.SendMessageRequest(body="A task"))


async def _drain(servers: Servers, tasks: int, batch: int) -> Trial:
    """Create tasks; then claim and complete all of them with several workers."""
    for first in range(0, tasks, CREATED_TASKS_MAX):
        made = [work.CreateTaskRequest(title="A task")] * min(CREATED_TASKS_MAX, tasks - first)
        await servers.tasks_stub.BatchCreateTasks(work.BatchCreateTasksRequest(requests=made))
    taken: list[float] = []
    begin = time.perf_counter()
    await asyncio.gather(*(_work(servers, number, batch, taken) for number in range(WORKERS)))
    elapsed = time.perf_counter() - begin
    if len(taken) != tasks:
        raise RuntimeError(f"{len(taken)} tasks were completed, not {tasks}")
    return Trial.of(elapsed, taken)


async def _work(servers: Servers, number: int, batch: int, taken: list[float]) -> None:
    """Claim and complete until nothing is left."""
    stub, metadata = servers.tasks_stub, (("dovetail-agent", f"worker-{number}"),)
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
        request_id=f"completion-{next(_numbers)}",
    )


async def _other_queue(name: str, store: str, tasks: int) -> Trial:
    """Run another queue with as many tasks and workers, in a process of its own."""
    command = (sys.executable, "-m", "bench.other_queues", name, store, str(tasks), str(WORKERS))
    program = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await program.communicate()
    if program.returncode:
        raise RuntimeError(f"{name} failed")
    return Trial(rate=tasks / float(output))
