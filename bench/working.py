"""The measures of tasks: the life of a task, and the report over a whole team."""

from __future__ import annotations

from functools import partial

from bench.calls import Call, as_agent, caller, echo_message, new_request_id
from bench.cpu import Processes
from bench.fixtures import Echo, Engine, Fixtures
from bench.size import Size
from bench.trials import ECHO, Case, closed_loop
from dovetail.tasks.v1 import tasks_pb2 as work


async def life(fixtures: Fixtures, size: Size) -> list[Case]:
    """CreateTask, StartTask, CompleteTask, one after another; beside it, three calls of echo."""
    echo = fixtures.echo
    calls: dict[str, tuple[Processes, Call]] = {
        ECHO: (echo.processes, partial(_three_echoes, echo)),
        **{
            target: (engine.processes, partial(_live, engine))
            for target, engine in fixtures.engines.items()
        },
    }
    return [
        Case(
            measure="life",
            name=f"{callers} callers" if callers > 1 else "1 caller",
            unit="tasks",
            targets={
                target: partial(closed_loop, processes, callers, size.seconds, call)
                for target, (processes, call) in calls.items()
            },
        )
        for callers in (1, 64)
    ]


async def report(fixtures: Fixtures, size: Size) -> list[Case]:
    """GetReport over a whole team, one call at a time."""
    for engine in fixtures.engines.values():
        for tasks in size.tasks:
            await engine.code.fill("team_with_tasks", engine.store.url, _team(tasks), tasks)
    echo = fixtures.echo
    return [
        Case(
            measure="report",
            name=f"{tasks:,} tasks",
            unit="reports",
            targets={
                ECHO: partial(
                    closed_loop, echo.processes, 1, size.seconds, partial(echo_message, echo)
                ),
                **{
                    target: partial(
                        closed_loop,
                        engine.processes,
                        1,
                        size.seconds,
                        partial(_report, engine, tasks),
                    )
                    for target, engine in fixtures.engines.items()
                },
            },
        )
        for tasks in size.tasks
    ]


async def _three_echoes(echo: Echo, number: int) -> None:
    for _ in range(3):
        await echo_message(echo, number)


async def _live(engine: Engine, number: int) -> None:
    stub, metadata = engine.tasks, as_agent(caller(number))
    create = work.CreateTaskRequest(title="A task", request_id=new_request_id())
    task_id = (await stub.CreateTask(create, metadata=metadata)).task.task_id
    start = work.StartTaskRequest(task_id=task_id, request_id=new_request_id())
    await stub.StartTask(start, metadata=metadata)
    complete = work.CompleteTaskRequest(task_id=task_id, request_id=new_request_id())
    await stub.CompleteTask(complete, metadata=metadata)


async def _report(engine: Engine, tasks: int, _: int) -> None:
    metadata = (("dovetail-team", _team(tasks)),)
    response = await engine.tasks.GetReport(work.GetReportRequest(), metadata=metadata)
    if response.report.total_tasks != tasks:
        raise RuntimeError(f"a report of {response.report.total_tasks} tasks, not {tasks}")


def _team(tasks: int) -> str:
    return f"team-of-{tasks}"
