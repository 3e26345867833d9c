"""Work that is claimed: a task is held for the length of a block, its lease kept by itself."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import Any

from dovetail.client.connection import pauses
from dovetail.client.drafts import new_id
from dovetail.client.errors import (
    AbortedError,
    DeadlineExceededError,
    DovetailError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from dovetail.client.held import HeldTask, through_outages
from dovetail.client.tasks import Tasks
from dovetail.tasks.v1 import tasks_pb2 as pb

LONGEST_WAIT = 50.0
LONGEST_FAILURE = 4_096
LAST_SECONDS = 5.0
"""How long a block that is broken off takes to give its task back. A lease that stays is lost."""

LAST_MOMENT = 0.1
"""How long a claim that is broken off waits for an answer that is on its way."""

BROKEN_OFF = "the work was broken off"
REFUSALS = (
    AbortedError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    UnauthenticatedError,
)
"""What ends a hold: another heartbeat would be refused too."""


class WorkFailedError(Exception):
    """Raise it where you work: the task has failed, for good unless it is `retryable`."""

    def __init__(
        self, message: str, *, data: Mapping[str, Any] | None = None, retryable: bool = False
    ) -> None:
        """Say what went wrong: for people, and for programs."""
        super().__init__(message)
        self.data = data
        self.retryable = retryable


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimOptions:
    """What is claimed: at most so many, of those that the filter chooses, for so long a lease."""

    filter: pb.TaskFilter | None = None
    lease_duration: timedelta | None = None
    max_tasks: int = 1


class TaskLease:
    """A block that holds a task: heartbeats while it lasts, and how it ends is how the task ends.

    It completes the task at its end, fails it when an exception leaves it, and releases it when it
    is cancelled or interrupted. When the task is lost, the block is cancelled, and raises why.
    """

    def __init__(self, task: HeldTask) -> None:
        """Hold a task that was claimed just now."""
        self.task = task
        self._refusal: DovetailError | None = None
        self._cancelled = False

    async def __aenter__(self) -> HeldTask:
        """Begin to send heartbeats."""
        self._holder = asyncio.current_task()
        self._cancelling = self._holder.cancelling() if self._holder else 0
        self._beating = asyncio.create_task(self._beat())
        return self.task

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the task as the block ended."""
        self._beating.cancel()
        if self._refusal is not None:
            if not self._cancelled_by_others():
                raise self._refusal from error
        elif not self.task.over:
            await seen_through(self._end(error))

    async def _beat(self) -> None:
        """A heartbeat each third of the lease's duration, through outages of any length.

        After an outage the server gives a whole duration more, of which the pauses must use little.
        """
        third = self.task.task.lease.duration.ToTimedelta().total_seconds() / 3
        pause, retries = third, pauses()
        while True:
            await asyncio.sleep(pause)
            try:
                if not self.task.over:
                    async with asyncio.timeout(third):
                        await self.task.heartbeat()
                pause, retries = third, pauses()
            except REFUSALS as refusal:
                if not self.task.over:
                    self._break_off(refusal)
                    return
            except (DovetailError, TimeoutError):
                pause = min(next(retries), third / 4)

    def _break_off(self, refusal: DovetailError) -> None:
        """Cancel the block. A thread cannot be cancelled: there the end of the block tells."""
        self._refusal = refusal
        self.task.lost = refusal
        self._cancelled = bool(self._holder and self._holder.cancel())

    def _cancelled_by_others(self) -> bool:
        """Whether the block was cancelled from outside as well: that goes first."""
        holder = self._holder
        return bool(self._cancelled and holder and holder.uncancel() > self._cancelling)

    async def _end(self, error: BaseException | None) -> None:
        if error is None:
            await self._complete()
        elif isinstance(error, WorkFailedError):
            await self.task.fail(_told(error), data=error.data, retryable=error.retryable)
        elif isinstance(error, Exception):
            await self.task.fail(_told(error))
        else:
            with suppress(DovetailError, TimeoutError):
                async with asyncio.timeout(LAST_SECONDS):
                    await self.task.release(BROKEN_OFF)

    async def _complete(self) -> None:
        """Complete the task; a result that cannot be one, or comes too early, fails it."""
        try:
            await self.task.complete()
        except (InvalidArgumentError, FailedPreconditionError) as refusal:
            await self.task.fail(_told(refusal))
            raise


async def claim_many(
    tasks: Tasks,
    options: ClaimOptions,
    timeout: float | None = None,  # noqa: ASYNC109 - of all its calls
) -> list[pb.ClaimedTask]:
    """Tasks, as soon as there are some; none after `timeout` seconds.

    One who is cancelled waits a moment longer: tasks that are on their way would else be held by
    nobody, until their lease is lost. They are given back.
    """
    calls = asyncio.create_task(_claim_until(tasks, options, timeout))
    try:
        return await asyncio.shield(calls)
    except asyncio.CancelledError:
        await asyncio.wait((calls,), timeout=LAST_MOMENT)
        calls.cancel()
        (found,) = await asyncio.gather(calls, return_exceptions=True)
        if isinstance(found, list):
            await _give_back(tasks, found)
        raise


async def _claim_until(
    tasks: Tasks,
    options: ClaimOptions,
    timeout: float | None,  # noqa: ASYNC109 - as above
) -> list[pb.ClaimedTask]:
    clock = asyncio.get_running_loop().time
    end = clock() + (math.inf if timeout is None else timeout)

    async def claim(request_id: str) -> list[pb.ClaimedTask]:
        max_wait = min(LONGEST_WAIT, max(0.0, end - clock()))
        return await tasks.claim(
            max_wait=max_wait,
            max_tasks=options.max_tasks,
            filter=options.filter,
            lease_duration=options.lease_duration,
            request_id=request_id,
        )

    while True:
        # One id until there is an answer: what was claimed as the servers went is then held still.
        found = await through_outages(partial(claim, new_id()), end)
        if found or clock() >= end:
            return found


async def _give_back(tasks: Tasks, found: list[pb.ClaimedTask]) -> None:
    with suppress(DovetailError, TimeoutError):
        async with asyncio.timeout(LAST_SECONDS):
            for each in found:
                await tasks.release(each.task.task_id, BROKEN_OFF, lease_token=each.lease_token)


@asynccontextmanager
async def claim_one(
    tasks: Tasks,
    options: ClaimOptions,
    timeout: float | None,  # noqa: ASYNC109 - as above
) -> AsyncGenerator[HeldTask]:
    """Wait for a task, and hold it for the length of the block."""
    found = await claim_many(tasks, options, timeout)
    if not found:
        raise DeadlineExceededError(f"no task to claim in {timeout:g} s")
    async with TaskLease(HeldTask(tasks, found[0], tasks.complete_as)) as task:
        yield task


async def seen_through(ending: Coroutine[Any, Any, None]) -> None:
    """Finish what has begun: one who is cancelled meanwhile waits for it a few seconds longer."""
    task = asyncio.create_task(ending)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait((task,), timeout=LAST_SECONDS)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise


def _told(error: Exception) -> str:
    """What an exception says, as the text of a failure."""
    kind = "" if isinstance(error, WorkFailedError) else f"{type(error).__name__}: "
    text = f"{kind}{error}"[:LONGEST_FAILURE].replace("\0", "\N{REPLACEMENT CHARACTER}")
    return text.encode(errors="replace").decode() or type(error).__name__
