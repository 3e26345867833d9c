"""A program without a line of error handling, through restarts and kill -9s of both servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count, cycle, islice
from pathlib import Path
from typing import Any

import pytest

from dovetail.client import Agent, connect
from support.processes import ServerProcess, process_pair
from support.soak import full_or_tenth
from support.waiting import until

pytestmark = pytest.mark.soak

RESTARTS = full_or_tenth(20)
TURNS_BETWEEN = 5
PATIENCE_SECONDS = 60.0
END = "end"


@dataclass
class Program:
    """What a small team does, and what it remembers of it."""

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    asked: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    sent: list[str] = field(default_factory=list[str])
    read: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    received: list[str] = field(default_factory=list[str])
    done: list[str] = field(default_factory=list[str])

    def turns(self) -> list[int]:
        """How often each of its parts has come round."""
        return [*map(len, (self.asked, self.sent, self.read, self.received, self.done))]

    async def ask(self, asker: Agent) -> None:
        """Ask one question after the other."""
        for number in count():
            if self.stop.is_set():
                await asker.send("oracle", END)
                return
            answer = await asker.ask("oracle", str(number))
            self.asked.append((str(number), answer.body))

    async def answer(self, oracle: Agent) -> None:
        """Answer every question."""
        async with oracle.inbox() as inbox:
            async for question in inbox:
                if question.body != END:
                    await question.reply(f"answer to {question.body}")
                await question.acknowledge()
                if question.body == END:
                    return

    async def write(self, writer: Agent) -> None:
        """Send letters to two readers."""
        for number in count():
            body = END if self.stop.is_set() else str(number)
            await writer.send(["reader", "receiver"], body)
            self.sent.append(body)
            if body == END:
                return

    async def follow(self, reader: Agent) -> None:
        """Read letters on a stream."""
        async with reader.inbox() as inbox:
            async for message in inbox:
                self.read.append((message.sequence, message.body))
                await message.acknowledge()
                if message.body == END:
                    return

    async def receive(self, receiver: Agent) -> None:
        """Read letters without a stream."""
        done_with: list[int] = []
        while END not in self.received:
            messages = await receiver.receive(max_wait=20, max_messages=3, acknowledge=done_with)
            self.received += [message.body for message in messages]
            done_with = [message.sequence for message in messages]
        await receiver.acknowledge(done_with)

    async def work(self, worker: Agent) -> None:
        """Do one task after the other, each for oneself."""
        while not self.stop.is_set():
            task = await worker.tasks.create("work")
            await worker.tasks.assign(task.task_id, "worker")
            await worker.tasks.start(task.task_id)
            await worker.tasks.complete(task.task_id, "done")
            self.done.append(task.task_id)


@asynccontextmanager
async def team(servers: tuple[ServerProcess, ServerProcess]) -> AsyncGenerator[dict[str, Agent]]:
    messaging, tasks = (server.address for server in servers)
    async with AsyncExitStack() as stack:
        agents = {
            name: await stack.enter_async_context(
                connect(name, messaging=messaging, tasks=tasks, timeout=PATIENCE_SECONDS)
            )
            for name in ("asker", "oracle", "writer", "reader", "receiver", "worker")
        }
        for agent in agents.values():
            await agent.register()
        yield agents


async def test_a_program_without_error_handling_goes_on_and_loses_nothing(
    store_url: str, tmp_path: Path, report_figures: Callable[[str], None]
) -> None:
    with process_pair(store_url, tmp_path) as (messaging, tasks):
        program, servers = Program(), (messaging, tasks)
        async with team(servers) as agents:
            parts: dict[str, Callable[[Agent], Coroutine[Any, Any, None]]] = {
                "asker": program.ask,
                "oracle": program.answer,
                "writer": program.write,
                "reader": program.follow,
                "receiver": program.receive,
                "worker": program.work,
            }
            async with asyncio.TaskGroup() as running:
                for name, part in parts.items():
                    running.create_task(part(agents[name]))
                for end in islice(cycle((ServerProcess.kill, ServerProcess.stop)), RESTARTS):
                    await _goes_on(program)
                    await asyncio.gather(*(_restart(server, end) for server in servers))
                await _goes_on(program)
                program.stop.set()
            await _check(program, agents)
    asked, sent, _, _, done = program.turns()
    report_figures(
        f"{RESTARTS} restarts of both servers: {asked:,} questions, {sent:,} letters to two,"
        f" {done:,} tasks; lost 0, twice 0"
    )


async def _restart(server: ServerProcess, end: Callable[[ServerProcess], object]) -> None:
    await asyncio.to_thread(end, server)
    await asyncio.to_thread(server.start)


async def _goes_on(program: Program) -> None:
    """Every part of it comes round a few times more."""
    enough = [turns + TURNS_BETWEEN for turns in program.turns()]
    await until(lambda: all(now >= then for now, then in zip(program.turns(), enough, strict=True)))


async def _check(program: Program, agents: dict[str, Agent]) -> None:
    assert program.asked == [(str(n), f"answer to {n}") for n in range(len(program.asked))]
    assert program.sent == [*map(str, range(len(program.sent) - 1)), END]
    assert program.read == list(enumerate(program.sent, 1))
    assert program.received == program.sent
    for name, agent in agents.items():
        unread = agent.messages(recipient_id=name, states="unacknowledged")
        assert [record async for record in unread] == [], name
    worker = agents["worker"].tasks
    assert [(task.task_id, task.attempt) async for task in worker.list()] == [
        (task_id, 1) for task_id in program.done
    ]
    report = await worker.report()
    assert report.total_tasks == report.completed_tasks == len(program.done)
