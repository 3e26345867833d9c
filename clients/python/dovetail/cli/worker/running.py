"""A worker: claims tasks, runs its program on each, and shows what happens."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from dovetail.cli.options.calling import Session
from dovetail.cli.output.exit_codes import CommandError
from dovetail.cli.output.failures import describe
from dovetail.cli.worker import programs, task_programs
from dovetail.cli.worker.display import Display, Shown
from dovetail.cli.worker.preparing import ProgramOptions, prepared
from dovetail.cli.worker.programs import Program
from dovetail.cli.worker.stopping import Stopping
from dovetail.client import (
    DovetailError,
    FailedPreconditionError,
    HeldTask,
    InvalidArgumentError,
    LeaseLostError,
    TaskState,
    WorkFailedError,
)

UNLIMITED_SECONDS = 10.0**9
MARKS = {
    "claimed": ("▶", "blue"),
    "completed": ("✔", "green"),
    "failed": ("✘", "red"),
    "retried": ("↻", "yellow"),
    "released": ("○", "yellow"),
    "lost": ("!", "red"),
}
"""The events of a task, as people see them."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """The program of a worker, and the tasks that it runs it on: the options of the command."""

    program: ProgramOptions
    concurrency: int
    labels: Mapping[str, str]
    lease_duration: timedelta | None
    max_tasks: int | None
    until_idle: timedelta | None
    grace: timedelta


async def run_worker(session: Session, work: Work) -> None:
    """Work until a signal, or one of the limits, ends it."""
    with prepared(session, work.program, MARKS) as (program, display):
        runner = _TaskRunner(program, display, work)
        await runner.run(
            session.agent.work(
                runner.do,
                concurrency=min(work.concurrency, work.max_tasks or work.concurrency),
                labels=work.labels,
                lease_duration=work.lease_duration,
                idle_timeout=work.until_idle.total_seconds() if work.until_idle else None,
                grace=UNLIMITED_SECONDS,  # Signals start the real one.
            )
        )


class _TaskRunner:
    """Runs a program on tasks, until a signal or the number of tasks ends it."""

    def __init__(self, program: Program, display: Display, work: Work) -> None:
        self._program = program
        self._display = display
        self._left = work.max_tasks
        self._doing = set[asyncio.Task[Any]]()
        self._stopping = self._is_releasing = False
        self._signals = Stopping(work.grace.total_seconds(), self._signalled, self._release_all)
        self._fault: CommandError | None = None

    async def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Work. Raises CommandError if the program cannot be started."""
        loop = asyncio.get_running_loop()
        self._work = loop.create_task(work)
        self._signals.listen()
        reaping = loop.create_task(self._program.families.keep_reaping())
        try:
            await self._work
        except asyncio.CancelledError:
            if not self._stopping:
                raise
        finally:
            reaping.cancel()
        if self._fault:
            raise self._fault

    async def do(self, task: HeldTask) -> None:
        """Run the program on a task, and end the task as the program ended."""
        if not self._may_begin():
            await task.release("the worker has done its number of tasks")
            return
        doing = asyncio.current_task()
        assert doing is not None
        self._doing.add(doing)
        self._display.begin("claimed", _shown(task))
        try:
            await self._do(task)
        except asyncio.CancelledError:
            self._display.end("lost" if task.lost else "released", _shown(task))
            raise
        except DovetailError as error:  # Not even its failure was reported: the lease will expire.
            self._display.end("lost", _shown(task), str(error))
            raise
        finally:
            self._doing.discard(doing)

    async def _do(self, task: HeldTask) -> None:
        try:
            result = await task_programs.run(self._program, task)
            await task.complete(result.summary, data=result.data)
            self._display.end("completed", _shown(task), result.summary)
        except WorkFailedError as failure:
            await self._fail(task, failure)
        except programs.NotStartedError as error:
            self._fault = CommandError(str(error))
            self._stop()
            await task.release("the program cannot be started")
            self._display.end("released", _shown(task), str(error))
        except (InvalidArgumentError, FailedPreconditionError) as refusal:
            await self._fail(task, WorkFailedError(describe(refusal)))
        except LeaseLostError:
            raise
        except Exception as error:  # noqa: BLE001 - any error must fail the task
            message = f"{type(error).__name__}: {error}"
            await self._fail(task, WorkFailedError(message, retryable=True))

    async def _fail(self, task: HeldTask, failure: WorkFailedError) -> None:
        message = str(failure)
        if failure.retryable and await self._signals.has_ended(failure):
            await task.release(f"the worker was stopped: {message.splitlines()[0]}")
            self._display.end("released", _shown(task), message)
            return
        after = await task.fail(message, data=failure.data, retryable=failure.retryable)
        again = after.state == TaskState.PENDING
        self._display.end("retried" if again else "failed", _shown(task), message)

    def _may_begin(self) -> bool:
        """Whether a task may be started; after the last one no more are claimed."""
        if self._left is None or self._is_releasing:
            return not self._is_releasing
        self._left -= 1
        if self._left == 0:
            self._stop()
        return self._left >= 0

    def _signalled(self) -> None:
        self._display.stopping = True
        self._stop()

    def _stop(self) -> None:
        """Claim no more tasks, and wait for those in progress."""
        if not self._stopping:
            self._stopping = True
            self._work.cancel()

    def _release_all(self) -> None:
        """Release the tasks in progress."""
        self._is_releasing = True
        for doing in self._doing:
            doing.cancel()


def _shown(task: HeldTask) -> Shown:
    facts = {"task_id": task.task_id, "title": task.title, "attempt": task.task.attempt}
    return Shown(key=task.lease_token, name=task.task_id, title=task.title, facts=facts)
