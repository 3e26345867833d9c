"""What is measured: a function for each measure, which makes its cases over the servers."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from itertools import count
from typing import Any

from bench import fill
from bench.claiming import claim
from bench.echo import TIMES_KEY
from bench.fixtures import Fixtures, Guarded
from bench.size import Size
from bench.trials import ECHO, GUARDED, OPEN, Case, Trial, closed_loop
from dovetail.admin.v1 import admin_pb2 as admin
from dovetail.messaging.v1 import messaging_pb2 as talk
from dovetail.tasks.v1 import tasks_pb2 as work
from support.servers import Servers

BODY = "x" * 200
Metadata = tuple[tuple[str, str], ...]
Call = Callable[[int], Awaitable[object]]
_numbers = count(1)


async def send(fixtures: Fixtures, size: Size) -> list[Case]:
    """SendMessage from many callers, each of which calls again after each response."""
    for servers in fixtures.engines.values():
        await servers.register(*(f"caller-{number}" for number in range(max(size.callers))))
    calls = {engine: partial(_send, servers) for engine, servers in fixtures.engines.items()}
    return [
        Case(
            measure="send",
            name=f"{callers} callers" if callers > 1 else "1 caller",
            unit="messages",
            targets={
                target: partial(closed_loop, callers, size.seconds, call)
                for target, call in {ECHO: partial(_echo, fixtures), **calls}.items()
            },
        )
        for callers in size.callers
    ]


async def deliver(fixtures: Fixtures, size: Size) -> list[Case]:
    """From the call to the message on an open stream: in one process, and across the two."""
    for servers in fixtures.engines.values():
        await servers.register("sender", "reader")
    names = {"SendMessage to stream": _begin_send, "task assigned to stream": _begin_task}
    return [
        Case(
            measure="deliver",
            name=name,
            unit="messages",
            targets={
                ECHO: partial(closed_loop, 1, size.seconds, partial(_echo, fixtures)),
                **{
                    engine: partial(_until_delivered, servers, size.seconds, begin)
                    for engine, servers in fixtures.engines.items()
                },
            },
        )
        for name, begin in names.items()
    ]


async def backlog(fixtures: Fixtures, size: Size) -> list[Case]:
    """How fast a subscriber reads the backlog of its inbox; beside it, the bytes from memory."""
    page = talk.SubscribeInboxResponse()
    for servers in fixtures.engines.values():
        await fill.backlog(servers.store_url, "collector", BODY, size.backlog)
        page = await anext(aiter(_open(servers, "collector", talk.START_POSITION_BEGINNING)))
    return [
        Case(
            measure="backlog",
            name=f"{size.backlog:,} messages",
            unit="messages",
            targets={
                ECHO: partial(_read_copies, fixtures, page, size.backlog),
                **{
                    engine: partial(_read_backlog, servers, "collector")
                    for engine, servers in fixtures.engines.items()
                },
            },
        )
    ]


async def life(fixtures: Fixtures, size: Size) -> list[Case]:
    """CreateTask, StartTask, CompleteTask, one after another; beside it, three calls of echo."""

    async def three_echoes(number: int) -> None:
        for _ in range(3):
            await _echo(fixtures, number)

    calls: dict[str, Call] = {engine: partial(_live, s) for engine, s in fixtures.engines.items()}
    return [
        Case(
            measure="life",
            name=f"{callers} callers" if callers > 1 else "1 caller",
            unit="tasks",
            targets={
                target: partial(closed_loop, callers, size.seconds, call)
                for target, call in {ECHO: three_echoes, **calls}.items()
            },
        )
        for callers in (1, 64)
    ]


async def report(fixtures: Fixtures, size: Size) -> list[Case]:
    """GetReport over a whole team, one call at a time."""
    for servers in fixtures.engines.values():
        for tasks in size.tasks:
            await fill.team_with_tasks(servers.store_url, f"team-{tasks}", tasks)
    return [
        Case(
            measure="report",
            name=f"{tasks:,} tasks",
            unit="reports",
            targets={
                ECHO: partial(closed_loop, 1, size.seconds, partial(_echo, fixtures)),
                **{
                    engine: partial(closed_loop, 1, size.seconds, partial(_report, servers, tasks))
                    for engine, servers in fixtures.engines.items()
                },
            },
        )
        for tasks in size.tasks
    ]


async def guard(fixtures: Fixtures, size: Size) -> list[Case]:
    """SendMessage with credentials and TLS; beside it, without. Each caller has its own token."""
    callers, cases = 64, list[Case]()
    for engine, servers in fixtures.engines.items():
        guarded = fixtures.guarded[engine]
        await servers.register(*(f"caller-{number}" for number in range(callers)))
        calls: dict[str, Call] = {
            OPEN: partial(_send, servers),
            GUARDED: partial(_send_guarded, guarded, await _tokens(guarded, callers)),
        }
        cases.append(
            Case(
                measure="guard",
                name=f"{callers} callers, {engine}",
                unit="messages",
                targets={
                    target: partial(closed_loop, callers, size.seconds, call)
                    for target, call in calls.items()
                },
                base=OPEN,
            )
        )
    return cases


MEASURES = {each.__name__: each for each in (send, deliver, backlog, life, claim, report, guard)}


def message(recipient_id: str) -> talk.SendMessageRequest:
    """A message as the Python client sends it."""
    return talk.SendMessageRequest(
        recipient_ids=[recipient_id], body=BODY, request_id=f"request-{next(_numbers)}"
    )


def as_agent(agent_id: str) -> Metadata:
    """The metadata of a caller."""
    return (("dovetail-agent", agent_id),)


async def _echo(fixtures: Fixtures, number: int) -> None:
    agent_id = f"caller-{number}"
    await fixtures.echo.Echo(message(agent_id), metadata=as_agent(agent_id))


async def _send(servers: Servers, number: int) -> None:
    agent_id = f"caller-{number}"
    await servers.messaging_stub.SendMessage(message(agent_id), metadata=as_agent(agent_id))


async def _tokens(guarded: Guarded, callers: int) -> list[Metadata]:
    """The metadata of this many callers of a new team."""
    call, team_id = guarded.administration, "team"
    await call.CreateTeam(admin.CreateTeamRequest(team_id=team_id), metadata=guarded.admin)
    tokens: list[Metadata] = []
    for number in range(callers):
        request = admin.CreateCredentialRequest(
            team_id=team_id, agent_id=f"caller-{number}", role=admin.ROLE_AGENT
        )
        response = await call.CreateCredential(request, metadata=guarded.admin)
        tokens.append((("authorization", f"Bearer {response.token}"),))
    return tokens


async def _send_guarded(guarded: Guarded, tokens: list[Metadata], number: int) -> None:
    await guarded.messaging.SendMessage(message(f"caller-{number}"), metadata=tokens[number])


async def _live(servers: Servers, number: int) -> None:
    stub, metadata = servers.tasks_stub, as_agent(f"caller-{number}")

    def request_id() -> str:
        return f"request-{next(_numbers)}"

    create = work.CreateTaskRequest(title="A task", request_id=request_id())
    task_id = (await stub.CreateTask(create, metadata=metadata)).task.task_id
    start = work.StartTaskRequest(task_id=task_id, request_id=request_id())
    await stub.StartTask(start, metadata=metadata)
    complete = work.CompleteTaskRequest(task_id=task_id, request_id=request_id())
    await stub.CompleteTask(complete, metadata=metadata)


async def _report(servers: Servers, tasks: int, _: int) -> None:
    metadata = (("dovetail-team", f"team-{tasks}"),)
    response = await servers.tasks_stub.GetReport(work.GetReportRequest(), metadata=metadata)
    if response.report.total_tasks != tasks:
        raise RuntimeError(f"a report of {response.report.total_tasks} tasks, not {tasks}")


def _begin_send(servers: Servers) -> Awaitable[object]:
    return servers.messaging_stub.SendMessage(message("reader"), metadata=as_agent("sender"))


def _begin_task(servers: Servers) -> Awaitable[object]:
    request = work.CreateTaskRequest(title="A task", assignee_id="reader")
    return servers.tasks_stub.CreateTask(request, metadata=as_agent("sender"))


def _open(servers: Servers, agent_id: str, position: Any) -> Any:
    request = talk.SubscribeInboxRequest(agent_id=agent_id, position=position)
    return servers.messaging_stub.SubscribeInbox(request, metadata=as_agent(agent_id))


async def _until_delivered(
    servers: Servers, seconds: float, begin: Callable[[Servers], Awaitable[object]]
) -> Trial:
    stream = _open(servers, "reader", talk.START_POSITION_NOW)
    while (await stream.read()).mark != talk.STREAM_MARK_CAUGHT_UP:
        pass
    taken: list[float] = []
    start = time.perf_counter()
    while (before := time.perf_counter()) < start + seconds:
        call = begin(servers)
        while not (await stream.read()).deliveries:
            pass
        taken.append(time.perf_counter() - before)
        await call
    elapsed = time.perf_counter() - start
    stream.cancel()
    return Trial.of(elapsed, taken)


async def _read_backlog(servers: Servers, agent_id: str) -> Trial:
    stream = _open(servers, agent_id, talk.START_POSITION_BEGINNING)
    trial = await _read(stream)
    stream.cancel()
    return trial


async def _read_copies(
    fixtures: Fixtures, page: talk.SubscribeInboxResponse, messages: int
) -> Trial:
    times = -(-messages // len(page.deliveries))
    return await _read(fixtures.echo.Repeat(page, metadata=((TIMES_KEY, str(times)),)))


async def _read(stream: AsyncIterator[talk.SubscribeInboxResponse]) -> Trial:
    messages, begin = 0, time.perf_counter()
    async for response in stream:
        messages += len(response.deliveries)
        if response.mark == talk.STREAM_MARK_CAUGHT_UP:
            break
    return Trial(rate=messages / (time.perf_counter() - begin))
