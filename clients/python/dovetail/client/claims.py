"""Claimed work: a task is held for the length of a block, its lease renewed in the background."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import Any

from dovetail.client.choices import TaskChoice
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
from dovetail.client.reconnecting import pauses
from dovetail.client.task_records import ClaimedTask
from dovetail.client.tasks import Tasks

CLAIM_WAIT_SECONDS_MAX = 50.0
FAILURE_CHARACTERS_MAX = 4_096
RELEASE_SECONDS = 5.0
"""How long an interrupted block may take to release its task; after that the lease expires."""

CANCELLED_CLAIM_SECONDS = 0.1
"""How long a cancelled claim waits for a response that is on its way."""

INTERRUPTED = "the work was interrupted"
REFUSALS = (
    AbortedError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    UnauthenticatedError,
)
"""Errors of a heartbeat after which the client gives up: the next would be refused too."""


class WorkFailedError(Exception):
    """Raise it in your handler or block to fail the task, for good unless it is `retryable`."""

    def __init__(
        self, message: str, *, data: Mapping[str, Any] | None = None, retryable: bool = False
    ) -> None:
        """Describe the failure: `message` for people, `data` for programs."""
        super().__init__(message)
        self.data = data
        self.retryable = retryable


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimOptions:
    """Which tasks to claim, at most how many, and the duration of each lease."""

    choice: TaskChoice = field(default_factory=TaskChoice)
    lease_duration: timedelta | None = None
    max_tasks: int = 1


class TaskLease:
    """A block that holds a task: it sends heartbeats, and its end decides the end of the task.

    A block that ends normally completes the task; an exception fails it; cancellation or an
    interrupt releases it. When the lease is lost, the block is cancelled and raises the reason.
    """

    def __init__(self, task: HeldTask) -> None:
        """Hold a task that was just claimed."""
        self.task = task
        self._refusal: DovetailError | None = None
        self._cancelled = False

    async def __aenter__(self) -> HeldTask:
        """Start the heartbeats."""
        self._holder = asyncio.current_task()
        self._cancelling = self._holder.cancelling() if self._holder else 0
        self._heartbeats = asyncio.create_task(self._send_heartbeats())
        return self.task

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the task as the block ended."""
        self._heartbeats.cancel()
        if self._refusal is not None:
            if not self._cancelled_by_others():
                raise self._refusal from (error if isinstance(error, Exception) else None)
        elif not self.task.over:
            await finish_shielded(self._end(error))

    async def _send_heartbeats(self) -> None:
        """Send a heartbeat every third of the lease's duration, through outages of any length.

        After an outage the server measures the lease anew; the pauses between attempts must use
        little of it.
        """
        third = _lease_seconds(self.task) / 3
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
                    self._cancel_block(refusal)
                    return
            except (DovetailError, TimeoutError):
                pause = min(next(retries), third / 4)

    def _cancel_block(self, refusal: DovetailError) -> None:
        """Cancel the block. A thread cannot be cancelled: there the end of the block raises."""
        self._refusal = refusal
        self.task.lost = refusal
        self._cancelled = bool(self._holder and self._holder.cancel())

    def _cancelled_by_others(self) -> bool:
        """Whether the block was also cancelled from outside, which takes precedence."""
        holder = self._holder
        return bool(self._cancelled and holder and holder.uncancel() > self._cancelling)

    async def _end(self, error: BaseException | None) -> None:
        if error is None:
            await self._complete()
        elif isinstance(error, WorkFailedError):
            await self.task.fail(_failure_text(error), data=error.data, retryable=error.retryable)
        elif isinstance(error, Exception):
            await self.task.fail(_failure_text(error))
        else:
            with suppress(DovetailError, TimeoutError):
                async with asyncio.timeout(RELEASE_SECONDS):
                    await self.task.release(INTERRUPTED)

    async def _complete(self) -> None:
        """Complete the task; fail it if the server refuses the result, or completing it now."""
        try:
            await self.task.complete()
        except (InvalidArgumentError, FailedPreconditionError) as refusal:
            await self.task.fail(_failure_text(refusal))
            raise


def _lease_seconds(held: HeldTask) -> float:
    lease = held.task.lease
    return lease.duration.total_seconds() if lease else math.inf


async def claim_many(
    tasks: Tasks,
    options: ClaimOptions,
    timeout: float | None = None,  # noqa: ASYNC109 - of all its calls
) -> list[ClaimedTask]:
    """Wait until tasks can be claimed, and return them; an empty list after `timeout` seconds.

    A cancelled call waits a moment longer and releases what it still gets: tasks whose response is
    on its way would otherwise be held without a worker until their lease expires.
    """
    calls = asyncio.create_task(_claim_until(tasks, options, timeout))
    try:
        return await asyncio.shield(calls)
    except asyncio.CancelledError:
        await asyncio.wait((calls,), timeout=CANCELLED_CLAIM_SECONDS)
        calls.cancel()
        (found,) = await asyncio.gather(calls, return_exceptions=True)
        if isinstance(found, list):
            await _release_all(tasks, found)
        raise


async def _claim_until(
    tasks: Tasks,
    options: ClaimOptions,
    timeout: float | None,  # noqa: ASYNC109 - as above
) -> list[ClaimedTask]:
    clock = asyncio.get_running_loop().time
    end = clock() + (math.inf if timeout is None else timeout)

    async def claim(request_id: str) -> list[ClaimedTask]:
        max_wait = min(CLAIM_WAIT_SECONDS_MAX, max(0.0, end - clock()))
        return await tasks.claim(
            max_wait=max_wait,
            max_tasks=options.max_tasks,
            lease_duration=options.lease_duration,
            request_id=request_id,
            **options.choice,
        )

    while True:
        # One id until a response arrives: a repeat then returns what a lost response had claimed.
        found = await through_outages(tasks, partial(claim, new_id()), end)
        if found or clock() >= end:
            return found


async def _release_all(tasks: Tasks, found: list[ClaimedTask]) -> None:
    with suppress(DovetailError, TimeoutError):
        async with asyncio.timeout(RELEASE_SECONDS):
            for each in found:
                await tasks.release(each.task.task_id, INTERRUPTED, lease_token=each.lease_token)


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


async def finish_shielded(ending: Coroutine[Any, Any, None]) -> None:
    """Run `ending` to its end; a caller that is cancelled meanwhile waits a few seconds for it."""
    task = asyncio.create_task(ending)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait((task,), timeout=RELEASE_SECONDS)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise


def _failure_text(error: Exception) -> str:
    """The text of an exception as the message of a failure, within the server's limits."""
    kind = "" if isinstance(error, WorkFailedError) else f"{type(error).__name__}: "
    text = f"{kind}{error}"[:FAILURE_CHARACTERS_MAX].replace("\0", "\N{REPLACEMENT CHARACTER}")
    return text.encode(errors="replace").decode() or type(error).__name__
