"""A program: an agent that holds tasks, and after a line of input uses every verb of holders.

`python holder.py MESSAGING TASKS AGENT LEASE_SECONDS` claims a task for each verb, and one more in
a block of the Python client; it keeps them all by heartbeats, and prints "holding". After a line of
input it prints for each verb, and for the block, a JSON array: what it was, by which error it
ended ("" for none), and the metadata of that error.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from dovetail.client import Agent, ClaimedTask, LeaseLostError, connect

VERBS = ("heartbeat", "release", "ask", "complete", "fail")
WORDS = {"ask": ("which one?",), "fail": ("it broke",)}
BLOCK = "block"


async def hold(agent: Agent, lease: timedelta) -> None:
    """Claim, keep, and see what becomes of it."""
    claimed = await agent.tasks.claim(max_wait=30, max_tasks=len(VERBS), lease_duration=lease)
    began = asyncio.Event()
    block = asyncio.create_task(_outcome(BLOCK, lambda: _block(agent, lease, began)))
    keeping = [asyncio.create_task(_keep(agent, each, lease / 4)) for each in claimed]
    await began.wait()
    print("holding", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    for verb, each in zip(VERBS, claimed, strict=True):
        await _outcome(verb, lambda verb=verb, each=each: _use(agent, verb, each))
    await block
    await asyncio.gather(*keeping)


async def _keep(agent: Agent, each: ClaimedTask, pause: timedelta) -> None:
    """Send heartbeats until the lease is lost."""
    with contextlib.suppress(LeaseLostError):
        while True:
            await _use(agent, "heartbeat", each)
            await asyncio.sleep(pause.total_seconds())


async def _block(agent: Agent, lease: timedelta, began: asyncio.Event) -> None:
    async with agent.claim(lease_duration=lease):
        began.set()
        await asyncio.Event().wait()


async def _use(agent: Agent, verb: str, each: ClaimedTask) -> None:
    method = getattr(agent.tasks, verb)
    await method(each.task.task_id, *WORDS.get(verb, ()), lease_token=each.lease_token)


async def _outcome(what: str, act: Callable[[], Awaitable[None]]) -> None:
    """Do something, and print how it ended."""
    reason, metadata = "", dict[str, Any]()
    try:
        await act()
    except LeaseLostError as error:
        reason, metadata = error.reason, dict(error.metadata)
    print(json.dumps([what, reason, metadata]), flush=True)


async def main(messaging: str, tasks: str, agent_id: str, seconds: str) -> None:
    """Be an agent."""
    async with connect(agent_id, messaging=messaging, tasks=tasks) as agent:
        await hold(agent, timedelta(seconds=float(seconds)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
