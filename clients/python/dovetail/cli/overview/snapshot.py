"""What a team has at a moment, read with a fixed number of calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from dovetail.cli.output.render import is_ready
from dovetail.client import Agent
from dovetail.messaging.v1 import messaging_pb2 as talk
from dovetail.tasks.v1 import tasks_pb2 as work

T = TypeVar("T")

AGENTS_MAX = 1_000
TASKS_MAX = 50
"""How many agents and tasks are read: one page."""

THROUGHPUT_HOURS = 1


@dataclass(frozen=True, kw_only=True)
class Work:
    """The tasks of a team, read with three calls; four with the throughput."""

    report: work.Report
    under_way: Sequence[work.Task]
    """In progress, or waiting for an answer; the oldest ones, at most TASKS_MAX."""
    pending: Sequence[work.Task]
    """The oldest ones, at most TASKS_MAX."""
    completed_in_hour: int | None = None

    @property
    def oldest_ready(self) -> work.Task | None:
        """The oldest of those tasks that can be started."""
        return next(filter(is_ready, self.pending), None)

    @property
    def leases(self) -> Sequence[work.Task]:
        """The tasks that are held under a lease."""
        return [task for task in self.under_way if task.HasField("lease")]

    @property
    def questions(self) -> Sequence[work.Task]:
        """The tasks that wait for an answer."""
        return [task for task in self.under_way if task.state == work.TASK_STATE_INPUT_REQUIRED]


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A team at a moment. What could not be read is None."""

    time: datetime
    agents: Sequence[talk.Agent] | None = None
    work: Work | None = None
    faults: Sequence[Exception] = field(default_factory=tuple)


async def read_agents(caller: Agent) -> list[talk.Agent]:
    """The agents of the team, at most AGENTS_MAX, with one call."""
    found = await _first(caller.agents(page_size=AGENTS_MAX), AGENTS_MAX)
    return [agent.proto for agent in found]


async def read_work(caller: Agent, *, with_throughput: bool) -> Work:
    """What there is to do and under way."""
    report, under_way, pending = await asyncio.gather(
        caller.tasks.report(),
        _tasks(caller, work.TASK_STATE_IN_PROGRESS, work.TASK_STATE_INPUT_REQUIRED),
        _tasks(caller, work.TASK_STATE_PENDING),
    )
    completed = await _completed_in_hour(caller) if with_throughput else None
    return Work(
        report=report.proto, under_way=under_way, pending=pending, completed_in_hour=completed
    )


async def _completed_in_hour(caller: Agent) -> int:
    begin = datetime.now(UTC) - timedelta(hours=THROUGHPUT_HOURS)
    return (await caller.tasks.report(states="completed", ended_since=begin)).total_tasks


async def _tasks(caller: Agent, *states: work.TaskState.ValueType) -> list[work.Task]:
    chosen = caller.tasks.list(states=states, page_size=TASKS_MAX)
    return [task.proto for task in await _first(chosen, TASKS_MAX)]


async def _first(items: AsyncIterator[T], count: int) -> list[T]:
    """The first items, without reading the page after them."""
    found: list[T] = []
    async for item in items:
        found.append(item)
        if len(found) == count:
            break
    return found
