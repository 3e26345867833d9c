"""The measures of streams: one message, a backlog, one message to many, idle ones."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import grpc

from bench.calls import (
    BODY,
    as_agent,
    caller,
    echo_message,
    message,
    open_inbox,
    register,
    until_caught_up,
)
from bench.cpu import Processes, Span, memory, settle
from bench.echo import TIMES_KEY
from bench.fixtures import Engine, Fixtures, pid_of, running_echo, started
from bench.peers.running import MessagePeer
from bench.size import Size
from bench.trials import ECHO, Case, Trial, closed_loop
from dovetail.messaging.v1 import messaging_pb2 as talk
from dovetail.messaging.v1 import messaging_pb2_grpc
from dovetail.tasks.v1 import tasks_pb2 as work

KIBIBYTE = 1024


async def deliver(fixtures: Fixtures, size: Size) -> list[Case]:
    """From the call to the message on an open stream: in one process, and across the two."""
    for engine in fixtures.engines.values():
        await register(engine, ("sender", "reader"))
    echo, peers = fixtures.echo, fixtures.peers.messages
    names = {"SendMessage to stream": _begin_send, "task assigned to stream": _begin_task}
    return [
        Case(
            measure="deliver",
            name=name,
            unit="messages",
            targets={
                ECHO: partial(
                    closed_loop, echo.processes, 1, size.seconds, partial(echo_message, echo)
                ),
                **{
                    target: partial(_until_delivered, engine, size.seconds, begin)
                    for target, engine in fixtures.engines.items()
                },
                **{
                    target: partial(_until_received, peer, size.seconds)
                    for target, peer in peers.items()
                    if begin is _begin_send
                },
            },
            peers=[*peers] if begin is _begin_send else [],
        )
        for name, begin in names.items()
    ]


async def backlog(fixtures: Fixtures, size: Size) -> list[Case]:
    """How fast a subscriber reads the backlog of its inbox.

    Beside it, the same bytes from memory: in pages as large as ours, and one message in each.
    """
    page = talk.SubscribeInboxResponse()
    for engine in fixtures.engines.values():
        await engine.code.fill("backlog", engine.store.url, "collector", BODY, size.backlog)
        stream = open_inbox(engine.messaging, "collector", talk.START_POSITION_BEGINNING)
        page = await stream.read()
        stream.cancel()
    single = talk.SubscribeInboxResponse(deliveries=page.deliveries[:1])
    copies = {f"pages of {len(page.deliveries)}": page, "one in each response": single}
    return [
        Case(
            measure="backlog",
            name=f"{size.backlog:,} beside {name}",
            unit="messages",
            targets={
                ECHO: partial(_read_copies, fixtures, response, size.backlog),
                **{
                    target: partial(_read_backlog, engine)
                    for target, engine in fixtures.engines.items()
                },
            },
        )
        for name, response in copies.items()
    ]


async def fanout(fixtures: Fixtures, size: Size) -> list[Case]:
    """From one SendMessage to many agents to the message on all of their open streams."""
    for engine in fixtures.engines.values():
        await register(engine, map(caller, range(size.streams)))
    return [
        Case(
            measure="fanout",
            name=f"{size.streams:,} streams",
            unit="deliveries",
            targets={
                ECHO: partial(_fan_out_echo, fixtures, size),
                **{
                    target: partial(_fan_out, engine, size)
                    for target, engine in fixtures.engines.items()
                },
            },
        )
    ]


async def idle(fixtures: Fixtures, size: Size) -> list[Case]:
    """The memory that an open stream without traffic keeps in a new server.

    Once only, as a server that has had streams before has room for others.
    """
    for engine in fixtures.engines.values():
        await register(engine, map(caller, range(size.streams)))
    return [
        Case(
            measure="idle",
            name=f"{size.streams:,} streams",
            unit="streams opened",
            targets={
                ECHO: partial(_keep_echo_streams, size.streams),
                **{
                    target: partial(_keep_streams, engine, fixtures, size.streams)
                    for target, engine in fixtures.engines.items()
                },
            },
            rounds=1,
        )
    ]


def _begin_send(engine: Engine) -> Awaitable[object]:
    return engine.messaging.SendMessage(message("reader"), metadata=as_agent("sender"))


def _begin_task(engine: Engine) -> Awaitable[object]:
    request = work.CreateTaskRequest(title="A task", assignee_id="reader")
    return engine.tasks.CreateTask(request, metadata=as_agent("sender"))


async def _until_delivered(
    engine: Engine, seconds: float, begin: Callable[[Engine], Awaitable[object]]
) -> Trial:
    stream = open_inbox(engine.messaging, "reader", talk.START_POSITION_NOW)
    await until_caught_up(stream)
    taken: list[float] = []
    with Span(engine.processes) as span:
        start = time.perf_counter()
        while (before := time.perf_counter()) < start + seconds:
            call = begin(engine)
            while not (await stream.read()).deliveries:
                pass
            taken.append(time.perf_counter() - before)
            await call
    stream.cancel()
    return Trial.of(span, taken)


async def _until_received(peer: MessagePeer, seconds: float) -> Trial:
    receive = await peer.listen(0)
    taken: list[float] = []
    with Span(peer.processes) as span:
        start = time.perf_counter()
        while (before := time.perf_counter()) < start + seconds:
            call = asyncio.ensure_future(peer.send(0, BODY.encode()))
            await receive()
            taken.append(time.perf_counter() - before)
            await call
    return Trial.of(span, taken)


async def _read_backlog(engine: Engine) -> Trial:
    with Span(engine.processes) as span:
        stream = open_inbox(engine.messaging, "collector", talk.START_POSITION_BEGINNING)
        messages = await until_caught_up(stream)
    stream.cancel()
    return Trial.of_count(span, messages)


async def _read_copies(
    fixtures: Fixtures, response: talk.SubscribeInboxResponse, messages: int
) -> Trial:
    times, read = -(-messages // len(response.deliveries)), 0
    with Span(fixtures.echo.processes) as span:
        stream = fixtures.echo.stub.Repeat(response, metadata=((TIMES_KEY, str(times)),))
        async for each in stream:
            read += len(each.deliveries)
    return Trial.of_count(span, read)


class Audience:
    """Open streams, and what is still missing on them."""

    def __init__(self, streams: list[Any]) -> None:
        """Take streams that have nothing to deliver yet."""
        self._streams = streams
        self._missing = 0
        self._complete = asyncio.Event()

    async def measure(
        self, processes: Processes, seconds: float, tell: Callable[[], Awaitable[object]]
    ) -> Trial:
        """Tell all, again and again, each time until the last one has it."""
        readers = [asyncio.create_task(self._read(stream)) for stream in self._streams]
        taken: list[float] = []
        with Span(processes) as span:
            start = time.perf_counter()
            while (before := time.perf_counter()) < start + seconds:
                self._missing = len(self._streams)
                self._complete.clear()
                await tell()
                await self._complete.wait()
                taken.append(time.perf_counter() - before)
        for reader in readers:
            reader.cancel()
        for stream in self._streams:
            stream.cancel()
        await settle(processes)  # Or the next target would be measured beside the end of these.
        return Trial.of(span, taken, len(self._streams))

    async def _read(self, stream: Any) -> None:
        while True:
            response = await stream.read()
            self._missing -= len(response.deliveries)
            if not self._missing:
                self._complete.set()


async def _fan_out(engine: Engine, size: Size) -> Trial:
    streams = await _open_streams(engine.messaging, size.streams)
    recipient_ids = [caller(number) for number in range(size.streams)]

    def tell() -> Awaitable[object]:
        request = message(*recipient_ids)
        return engine.messaging.SendMessage(request, metadata=as_agent(caller(0)))

    return await Audience(streams).measure(engine.processes, size.seconds, tell)


async def _fan_out_echo(fixtures: Fixtures, size: Size) -> Trial:
    echo = fixtures.echo
    streams = await _open_echo_streams(echo.stub, size.streams)
    delivery = talk.Delivery(message=talk.Message(body=BODY, sender_id=caller(0)))
    response = talk.SubscribeInboxResponse(deliveries=[delivery])
    tell = partial(echo.stub.Tell, response)
    return await Audience(streams).measure(echo.processes, size.seconds, tell)


async def _open_streams(stub: Any, count: int) -> list[Any]:
    streams = [open_inbox(stub, caller(n), talk.START_POSITION_NOW) for n in range(count)]
    await asyncio.gather(*map(until_caught_up, streams))
    return streams


async def _open_echo_streams(stub: Any, count: int) -> list[Any]:
    streams = [stub.Listen(message(caller(number))) for number in range(count)]
    await asyncio.gather(*map(until_caught_up, streams))
    return streams


async def _keep_streams(engine: Engine, fixtures: Fixtures, count: int) -> Trial:
    log = fixtures.folder / "idle.log"
    with started("messaging", engine.store, engine.code, log) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            stub = messaging_pb2_grpc.MessagingServiceStub(channel)
            await stub.GetAgent(talk.GetAgentRequest(agent_id=caller(0)))
            processes = Processes(server=(pid_of(server),))
            return await _keep(processes, partial(_open_streams, stub, count), count)


async def _keep_echo_streams(count: int) -> Trial:
    async with running_echo() as echo:
        await echo.stub.Echo(message(caller(0)))
        return await _keep(echo.processes, partial(_open_echo_streams, echo.stub, count), count)


async def _keep(
    processes: Processes, open_streams: Callable[[], Awaitable[list[Any]]], count: int
) -> Trial:
    await settle(processes)
    before = memory(processes)
    with Span(processes) as span:
        streams = await open_streams()
    await settle(processes)
    kept = memory(processes) - before
    for stream in streams:
        stream.cancel()
    return Trial.of_count(span, count, kib=kept / count / KIBIBYTE)
