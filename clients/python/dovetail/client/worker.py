"""A worker: runs a handler on many tasks at once, and claims and completes them in batches."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypedDict, Unpack

from dovetail.client.claims import ClaimOptions, TaskLease, WorkFailedError, claim_many
from dovetail.client.errors import (
    DovetailError,
    InvalidArgumentError,
    LeaseLostError,
    ResourceExhaustedError,
)
from dovetail.client.held import HeldTask
from dovetail.client.tasks import Tasks
from dovetail.tasks.v1 import tasks_pb2 as pb

MOMENT = 0.005
"""How long a completion waits for others; not at all when there are no others to wait for."""

MOST_CLAIMED = 100
MOST_COMPLETED = 1_000
SHORTEST_IDLE = 0.1

Result = str | Mapping[str, Any] | None
"""What a handler answers: a summary for people, or data for programs, or nothing."""

Handler = Callable[[HeldTask], Result | Awaitable[Result]]

log = logging.getLogger("dovetail.client")


class WorkOptions(TypedDict, total=False):
    """How `Agent.work` works.

    `concurrency` (1) is how many tasks at once; a thread counts until it ends, even when its task
    is lost. `filter` and `lease_duration` (60 s) are of the claims. When the worker is cancelled
    its handlers have `grace` seconds (0) to finish. After `idle_timeout` seconds without a task it
    returns (default: never).
    """

    concurrency: int
    filter: pb.TaskFilter | None
    lease_duration: timedelta | None
    grace: float
    idle_timeout: float | None


class Worker:
    """Works on what is ready, until it is cancelled or has long had nothing to do."""

    def __init__(self, tasks: Tasks, handler: Handler, **options: Unpack[WorkOptions]) -> None:
        """Use `Agent.work`."""
        self._tasks = tasks
        self._concurrency = options.get("concurrency", 1)
        if self._concurrency < 1:
            raise ValueError(f"concurrency must be at least 1, is {self._concurrency}")
        self._filter = options.get("filter")
        self._lease_duration = options.get("lease_duration")
        self._grace = options.get("grace", 0.0)
        idle = options.get("idle_timeout")
        self._idle_timeout = None if idle is None else max(idle, SHORTEST_IDLE)
        self._handler = handler
        self._threads = ThreadPoolExecutor(self._concurrency, thread_name_prefix="dovetail-work")
        self._working: set[asyncio.Task[None]] = set()
        self._left_behind: set[asyncio.Future[Any]] = set()
        self._completions = _Completions(tasks, lambda: len(self._working))

    async def run(self) -> None:
        """Work. Raises a DovetailError where the claims themselves are refused."""
        try:
            while True:
                room = await self._room()
                options = ClaimOptions(
                    filter=self._filter, lease_duration=self._lease_duration, max_tasks=room
                )
                for each in await claim_many(self._tasks, options, self._idle_timeout):
                    self._begin(each)
                if not self._working:
                    return
        finally:
            await self._stop()

    async def _room(self) -> int:
        """Wait until there is room for another task; for how many there is."""
        while len(busy := self._working | self._left_behind) >= self._concurrency:
            await asyncio.wait(busy, return_when=asyncio.FIRST_COMPLETED)
        return min(self._concurrency - len(busy), MOST_CLAIMED)

    def _begin(self, claimed: pb.ClaimedTask) -> None:
        working = asyncio.create_task(self._work(claimed))
        self._working.add(working)
        working.add_done_callback(self._working.discard)

    async def _work(self, claimed: pb.ClaimedTask) -> None:
        """Work on one task. How that went is for the task to tell; the log has the traceback."""
        task = HeldTask(self._tasks, claimed, self._completions.add)
        try:
            async with TaskLease(task):
                _say(task, await self._handled(task))
        except (LeaseLostError, WorkFailedError) as failure:
            log.warning("task %r: %s", task.task_id, failure)
        except Exception:
            log.exception("task %r failed", task.task_id)

    async def _handled(self, task: HeldTask) -> Result:
        """What the handler answers. One that is no coroutine runs in a thread."""
        if _is_async(self._handler):
            answer = self._handler(task)
        else:
            answer = await self._in_thread(task)
        return await answer if inspect.isawaitable(answer) else answer

    async def _in_thread(self, task: HeldTask) -> Result | Awaitable[Result]:
        """What the handler answers in a thread, which goes on when this is broken off."""
        loop = asyncio.get_running_loop()
        thread = loop.run_in_executor(self._threads, self._handler, task)
        try:
            await asyncio.wait((thread,))
        except asyncio.CancelledError:
            self._leave_behind(thread)
            raise
        return thread.result()

    def _leave_behind(self, thread: asyncio.Future[Any]) -> None:
        """A task claimed now would wait for this thread, and be held from those who are free."""
        self._left_behind.add(thread)
        thread.add_done_callback(self._left_behind.discard)
        thread.add_done_callback(_ignore)

    async def _stop(self) -> None:
        """Let handlers finish for the time of grace; cancel the others, which gives back theirs."""
        try:
            if self._working and self._grace:
                await asyncio.wait(self._working, timeout=self._grace)
        finally:
            for working in self._working:
                working.cancel()
            await asyncio.gather(*self._working, return_exceptions=True)
            for thread in self._left_behind:
                thread.cancel()  # Nobody waits for its end: the loop may be closed by then.
            self._completions.close()
            self._threads.shutdown(wait=False, cancel_futures=True)


class _Completions:
    """Completes in one call what is completed within a moment, and while a call is under way."""

    def __init__(self, tasks: Tasks, held: Callable[[], int]) -> None:
        self._tasks = tasks
        self._held = held
        self._waiting: list[tuple[pb.CompleteTaskRequest, asyncio.Future[pb.Task]]] = []
        self._all_are_here = asyncio.Event()
        self._sending: asyncio.Task[None] | None = None

    async def add(self, completion: pb.CompleteTaskRequest) -> pb.Task:
        """Complete a task together with others."""
        answer: asyncio.Future[pb.Task] = asyncio.get_running_loop().create_future()
        self._waiting.append((completion, answer))
        if len(self._waiting) >= self._held():
            self._all_are_here.set()
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send())
        return await answer

    def close(self) -> None:
        """Send no more."""
        if self._sending:
            self._sending.cancel()

    async def _send(self) -> None:
        """Send what waits, batch after batch."""
        while self._waiting:
            with suppress(TimeoutError):
                async with asyncio.timeout(MOMENT):
                    await self._all_are_here.wait()
            self._all_are_here.clear()
            batch, self._waiting = self._waiting[:MOST_COMPLETED], self._waiting[MOST_COMPLETED:]
            outcomes = await self._outcomes([completion for completion, _ in batch])
            for (_, answer), outcome in zip(batch, outcomes, strict=True):
                _settle(answer, outcome)

    async def _outcomes(
        self, completions: list[pb.CompleteTaskRequest]
    ) -> list[pb.Task | DovetailError]:
        """What became of each. Where the whole is refused, for one or for its size, one by one."""
        try:
            return await self._tasks.complete_many(completions)
        except (InvalidArgumentError, ResourceExhaustedError) as refusal:
            if len(completions) == 1:
                return [refusal]
            return [outcome for each in completions for outcome in await self._outcomes([each])]
        except DovetailError as error:
            return [error] * len(completions)


def _settle(answer: asyncio.Future[pb.Task], outcome: pb.Task | DovetailError) -> None:
    if answer.done():
        return  # Nobody waits for it any more.
    if isinstance(outcome, DovetailError):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)


def _ignore(thread: asyncio.Future[Any]) -> None:
    """What it raises is of no use; a future is to be asked all the same."""
    if not thread.cancelled():
        thread.exception()


def _is_async(handler: Handler) -> bool:
    called = getattr(handler, "__call__", None)  # noqa: B004 - of an object that can be called
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(called)


def _say(task: HeldTask, answer: Result) -> None:
    if isinstance(answer, str):
        task.result(answer)
    elif isinstance(answer, Mapping):
        task.result(data=answer)
    elif answer is not None:
        kind = type(answer).__name__
        raise TypeError(f"a handler answers a str, a Mapping or None, not {kind}")
