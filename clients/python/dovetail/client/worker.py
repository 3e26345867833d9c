"""A worker runs a handler on several tasks at once, and claims and completes them in batches."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import Any, Unpack

from dovetail.client.choices import TaskChoice, refuse_unknown
from dovetail.client.claims import ClaimOptions, TaskLease, WorkFailedError, claim_many
from dovetail.client.errors import (
    DovetailError,
    InvalidArgumentError,
    LeaseLostError,
    ResourceExhaustedError,
)
from dovetail.client.held import HeldTask
from dovetail.client.task_records import ClaimedTask, Task
from dovetail.client.tasks import Tasks
from dovetail.tasks.v1 import tasks_pb2 as pb

BATCH_SECONDS = 0.005
"""How long a completion waits for others; it does not wait if no other task is being worked on."""

CLAIMED_TASKS_MAX = 100
COMPLETED_TASKS_MAX = 1_000
IDLE_SECONDS_MIN = 0.1

Result = str | Mapping[str, Any] | None
"""What a handler returns: a summary for people, or data for programs, or None."""

Handler = Callable[[HeldTask], Result | Awaitable[Result]]

log = logging.getLogger("dovetail.client")


class WorkOptions(TaskChoice, total=False):
    """Options of `Agent.work`, with their defaults.

    `concurrency` (1) is the number of tasks at once; a thread counts until it ends, even when its
    task is lost. `lease_duration` (60 s) and what chooses tasks (TaskChoice) apply to each claim.
    When the worker is cancelled, handlers have `grace` seconds (0) to finish. The worker returns
    after `idle_timeout` seconds without a task (never).
    """

    concurrency: int
    lease_duration: timedelta | None
    grace: float
    idle_timeout: float | None


_CHOOSING = TaskChoice.__annotations__


class Worker:
    """Works on ready tasks until it is cancelled, or was idle for `idle_timeout` seconds."""

    def __init__(self, tasks: Tasks, handler: Handler, **options: Unpack[WorkOptions]) -> None:
        """Use `Agent.work`."""
        refuse_unknown(WorkOptions, options)
        if not callable(handler):
            raise TypeError(f"the handler must be a function, is {handler!r}")
        self._tasks = tasks
        self._concurrency = options.get("concurrency", 1)
        if self._concurrency < 1:
            raise ValueError(f"concurrency must be at least 1, is {self._concurrency}")
        self._choice: Any = {name: options[name] for name in _CHOOSING if name in options}
        self._lease_duration = options.get("lease_duration")
        self._grace = options.get("grace", 0.0)
        idle = options.get("idle_timeout")
        self._idle_timeout = None if idle is None else max(idle, IDLE_SECONDS_MIN)
        self._handler = handler
        self._threads = ThreadPoolExecutor(self._concurrency, thread_name_prefix="dovetail-work")
        self._working: set[asyncio.Task[None]] = set()
        self._abandoned: set[asyncio.Future[Any]] = set()
        self._completions = _Completions(tasks, lambda: len(self._working))

    async def run(self) -> None:
        """Work. Raises a DovetailError if a claim itself is refused."""
        try:
            while True:
                room = await self._wait_for_slots()
                options = ClaimOptions(
                    choice=self._choice, lease_duration=self._lease_duration, max_tasks=room
                )
                for each in await claim_many(self._tasks, options, self._idle_timeout):
                    self._begin(each)
                if not self._working:
                    return
        finally:
            await self._stop()

    async def _wait_for_slots(self) -> int:
        """Wait until another task may be claimed, and return how many may."""
        while len(busy := self._working | self._abandoned) >= self._concurrency:
            await asyncio.wait(busy, return_when=asyncio.FIRST_COMPLETED)
        return min(self._concurrency - len(busy), CLAIMED_TASKS_MAX)

    def _begin(self, claimed: ClaimedTask) -> None:
        working = asyncio.create_task(self._work(claimed))
        self._working.add(working)
        working.add_done_callback(self._working.discard)

    async def _work(self, claimed: ClaimedTask) -> None:
        """Work on one task. Its outcome is in the task; the log has the traceback of a failure."""
        task = HeldTask(self._tasks, claimed, self._completions.add)
        try:
            async with TaskLease(task):
                _set_result(task, await self._run_handler(task))
        except (LeaseLostError, WorkFailedError) as failure:
            log.warning("task %r: %s", task.task_id, failure)
        except Exception:
            log.exception("task %r failed", task.task_id)

    async def _run_handler(self, task: HeldTask) -> Result:
        """Run the handler and return its result. One that is not a coroutine runs in a thread."""
        if _is_async(self._handler):
            result = self._handler(task)
        else:
            result = await self._in_thread(task)
        return await result if inspect.isawaitable(result) else result

    async def _in_thread(self, task: HeldTask) -> Result | Awaitable[Result]:
        """Run the handler in a thread, which goes on when this coroutine is cancelled."""
        loop = asyncio.get_running_loop()
        thread = loop.run_in_executor(self._threads, self._handler, task)
        try:
            await asyncio.wait((thread,))
        except asyncio.CancelledError:
            self._abandon(thread)
            raise
        return thread.result()

    def _abandon(self, thread: asyncio.Future[Any]) -> None:
        """Count the thread as busy until it ends: a task claimed now would have to wait for it."""
        self._abandoned.add(thread)
        thread.add_done_callback(self._abandoned.discard)
        thread.add_done_callback(_retrieve_exception)

    async def _stop(self) -> None:
        """Let handlers finish within `grace`; cancel the others, which releases their tasks."""
        try:
            if self._working and self._grace:
                await asyncio.wait(self._working, timeout=self._grace)
        finally:
            for working in self._working:
                working.cancel()
            await asyncio.gather(*self._working, return_exceptions=True)
            for thread in self._abandoned:
                thread.cancel()  # Its end is not awaited: the loop may be closed by then.
            self._completions.close()
            self._threads.shutdown(wait=False, cancel_futures=True)


class _Completions:
    """Sends completions in batches: those of a short moment, or of the time of the last call."""

    def __init__(self, tasks: Tasks, held: Callable[[], int]) -> None:
        self._tasks = tasks
        self._held = held
        self._waiting: list[tuple[pb.CompleteTaskRequest, asyncio.Future[Task]]] = []
        self._all_waiting = asyncio.Event()
        self._sending: asyncio.Task[None] | None = None

    async def add(self, completion: pb.CompleteTaskRequest) -> Task:
        """Complete a task together with others."""
        completed: asyncio.Future[Task] = asyncio.get_running_loop().create_future()
        self._waiting.append((completion, completed))
        if len(self._waiting) >= self._held():
            self._all_waiting.set()
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send())
        return await completed

    def close(self) -> None:
        """Stop sending."""
        if self._sending:
            self._sending.cancel()

    async def _send(self) -> None:
        """Send the waiting completions, batch after batch."""
        while self._waiting:
            with suppress(TimeoutError):
                async with asyncio.timeout(BATCH_SECONDS):
                    await self._all_waiting.wait()
            self._all_waiting.clear()
            batch, self._waiting = (
                self._waiting[:COMPLETED_TASKS_MAX],
                self._waiting[COMPLETED_TASKS_MAX:],
            )
            outcomes = await self._outcomes([completion for completion, _ in batch])
            for (_, completed), outcome in zip(batch, outcomes, strict=True):
                _resolve(completed, outcome)

    async def _outcomes(
        self, completions: list[pb.CompleteTaskRequest]
    ) -> list[Task | DovetailError]:
        """The outcome of each. If one of them, or their size, fails the batch, send one by one."""
        try:
            return await self._tasks.complete_many(completions)
        except (InvalidArgumentError, ResourceExhaustedError) as refusal:
            if len(completions) == 1:
                return [refusal]
            return [outcome for each in completions for outcome in await self._outcomes([each])]
        except DovetailError as error:
            return [error] * len(completions)


def _resolve(completed: asyncio.Future[Task], outcome: Task | DovetailError) -> None:
    if completed.done():
        return  # Its caller was cancelled.
    if isinstance(outcome, DovetailError):
        completed.set_exception(outcome)
    else:
        completed.set_result(outcome)


def _retrieve_exception(thread: asyncio.Future[Any]) -> None:
    """Mark the exception as seen, or asyncio logs that it was never retrieved."""
    if not thread.cancelled():
        thread.exception()


def _is_async(handler: Handler) -> bool:
    called = getattr(handler, "__call__", None)  # noqa: B004 - of an object that can be called
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(called)


def _set_result(task: HeldTask, result: Result) -> None:
    if isinstance(result, str):
        task.result(result)
    elif isinstance(result, Mapping):
        task.result(data=result)
    elif result is not None:
        kind = type(result).__name__
        raise TypeError(f"a handler must return a str, a Mapping or None, not {kind}")
