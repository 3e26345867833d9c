"""The tasks that a session holds, each with its lease renewed: a model may think for longer.

A task is kept from its claim until it ends, is given back, or is lost to others; the end of the
session gives back what is left. If the process is killed, the leases expire.
"""

from __future__ import annotations

import asyncio

from dovetail.bridges.mcp.steps import RefusedError
from dovetail.client import DovetailError, HeldTask
from dovetail.client.claims import TaskLease
from dovetail.client.task_records import ClaimedTask
from dovetail.client.tasks import Tasks

HELD_TASKS_MAX = 20


class HeldTasks:
    """What this session holds, by id."""

    def __init__(self, tasks: Tasks) -> None:
        """Hold nothing yet."""
        self._tasks = tasks
        self._held: dict[str, HeldTask] = {}
        self._keeping: dict[str, asyncio.Task[None]] = {}
        self._lost: list[str] = []

    @property
    def task_ids(self) -> list[str]:
        """The tasks that it holds, in the order of their claims."""
        return [*self._held]

    def get(self, task_id: str) -> HeldTask | None:
        """The held task, if this session holds it."""
        return self._held.get(task_id)

    def token(self, task_id: str) -> str:
        """The token that proves that this session holds it; empty if it does not."""
        held = self._held.get(task_id)
        return held.lease_token if held else ""

    def refuse_more(self) -> None:
        """Raise RefusedError if it holds as many as it may."""
        if len(self._held) >= HELD_TASKS_MAX:
            raise RefusedError(
                f"this session holds {HELD_TASKS_MAX} tasks, which is the most."
                f" Finish or release one first: {', '.join(self.task_ids)}"
            )

    def hold(self, claimed: ClaimedTask) -> HeldTask:
        """Keep a claimed task from now on."""
        held = HeldTask(self._tasks, claimed, self._tasks.complete_as)
        self._held[held.task_id] = held
        self._keeping[held.task_id] = asyncio.create_task(self._keep(held))
        return held

    async def let_go(self, task_id: str) -> None:
        """Keep a task no longer: it ended, or was taken away. Releases it if it is still held."""
        if keeping := self._keeping.get(task_id):
            await asyncio.sleep(0)  # Cancelled before it began, it would release nothing.
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)

    def take_lost(self) -> list[str]:
        """The tasks that were lost since the last look: told once."""
        lost, self._lost = self._lost, []
        return lost

    async def close(self) -> None:
        """Release everything."""
        await asyncio.gather(*(self.let_go(task_id) for task_id in self.task_ids))

    async def _keep(self, held: HeldTask) -> None:
        try:
            async with TaskLease(held):
                await asyncio.Event().wait()  # Cancelled when the task is let go, or lost.
        except DovetailError:
            self._lost = [*self._lost, held.task_id][-HELD_TASKS_MAX:]
        finally:
            if self._held.get(held.task_id) is held:
                del self._held[held.task_id], self._keeping[held.task_id]
