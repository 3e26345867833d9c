"""Opening stores, and making units wait for each other."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Coroutine, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from dovetail.server.messaging.inboxes import OutgoingMessage
from dovetail.server.store.engines.base import Engine
from dovetail.server.store.engines.opening import open_engine
from dovetail.server.store.store import Store
from dovetail.server.store.tables import agents
from dovetail.server.store.tables.message_bytes import Content
from dovetail.server.store.tables.tasks import Task, TaskState
from dovetail.server.store.transaction import Transaction

TEAM = "default"


@asynccontextmanager
async def opened(url: str) -> AsyncGenerator[Store]:
    """A store, closed at the end of the block."""
    store = Store(url)
    try:
        yield store
    finally:
        await store.close()


@contextmanager
def migrated(url: str) -> Generator[Engine]:
    """A bare engine over an up-to-date schema, connected in this thread."""
    engine = open_engine(url)
    try:
        engine.migrate()
        yield engine
    finally:
        engine.close_connection()
        engine.close()


@asynccontextmanager
async def held(store: Store, team_id: str = TEAM) -> AsyncGenerator[None]:
    """Keep a team's writer busy: what is written inside the block waits together for its end."""
    started, go = threading.Event(), threading.Event()

    def hold(_: Transaction) -> None:
        started.set()
        assert go.wait(60)

    holding = asyncio.create_task(store.write(team_id, hold))
    await asyncio.to_thread(started.wait)
    try:
        yield
    finally:
        go.set()
        await holding


async def queued(*calls: Coroutine[Any, Any, Any]) -> list[asyncio.Task[Any]]:
    """Calls that now stand in the store's queue, in this order."""
    tasks = [asyncio.create_task(call) for call in calls]
    await asyncio.sleep(0)  # one turn of the loop: each has come to its first wait
    return tasks


async def known_agents(store: Store, team_id: str = TEAM) -> list[str]:
    """The ids of all agents of a team."""
    everybody = agents.ListRequest(labels={}, after="", most=1_000, most_bytes=1_000_000)
    found, _ = await store.read(team_id, lambda s: agents.page(s, everybody))
    return [agent.agent_id for agent in found]


def to_bob(body: str) -> OutgoingMessage:
    """A message to bob."""
    return OutgoingMessage(
        recipient_ids=["bob"],
        content=Content(body=body),
        thread_id="",
        in_reply_to="",
        task_id="",
        repeat=None,
    )


def pending_task(number: int) -> Task:
    """The task with this number, as it is created."""
    return Task(
        task_id=f"t{number}",
        number=number,
        version=1,
        title=f"task {number}",
        description="",
        state=TaskState.PENDING,
        assignee_id="",
        creator_id="",
        priority=0,
        labels={},
        thread_id=f"t{number}",
        input_json=None,
        outcome_text="",
        outcome_json=None,
        attempt=0,
        create_time=number,
        update_time=number,
        assign_time=None,
        start_time=None,
        end_time=None,
        due_time=None,
    )
