"""A worker: claims tasks, runs its program on each, and shows what happens."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Coroutine, Generator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.text import Text

from dovetail.cli import signals
from dovetail.cli.options.calling import Servers, Session
from dovetail.cli.output.exit_codes import MISUSED, CommandError
from dovetail.cli.output.failures import describe
from dovetail.cli.output.json_values import dumps
from dovetail.cli.output.printing import Output
from dovetail.cli.output.screen import ForegroundLive, console
from dovetail.cli.output.signs import signs
from dovetail.cli.output.sink import Sink, left_out_note
from dovetail.cli.output.terminal import is_in_foreground
from dovetail.cli.output.text import escape_controls
from dovetail.cli.worker import programs
from dovetail.cli.worker.descendants import Families, adopt_orphans
from dovetail.cli.worker.programs import Program
from dovetail.client import (
    DovetailError,
    FailedPreconditionError,
    HeldTask,
    InvalidArgumentError,
    LeaseLostError,
    TaskState,
    WorkFailedError,
)
from dovetail.settings import CLIENT

UNLIMITED_SECONDS = 10.0**9
REAP_SECONDS = 1.0
"""How often adopted processes are reaped."""

STOP_SECONDS = 0.5
"""How much later than its program a worker may get a signal that was sent to both at once."""

MARKS = {
    "claimed": ("▶", "blue"),
    "completed": ("✔", "green"),
    "failed": ("✘", "red"),
    "retried": ("↻", "yellow"),
    "released": ("○", "yellow"),
    "lost": ("!", "red"),
}
"""The events of a task, as people see them."""

SHOWN_CHARACTERS = 200


@dataclass(frozen=True, kw_only=True)
class Work:
    """The program of a worker, and the tasks that it runs it on: the options of the command."""

    words: tuple[str, ...]
    concurrency: int
    labels: Mapping[str, str]
    lease_duration: timedelta | None
    time_limit: timedelta | None
    max_tasks: int | None
    until_idle: timedelta | None
    grace: timedelta


async def run_worker(session: Session, work: Work) -> None:
    """Work until a signal, or one of the limits, ends it."""
    if shutil.which(work.words[0]) is None:
        raise CommandError(f"there is no program {work.words[0]!r}", MISUSED)
    adopt_orphans()
    with (
        tempfile.TemporaryDirectory(prefix="dovetail-worker-") as folder,
        closing(Sink(sys.stderr)) as errors,
        closing(Sink(sys.stdout, _left_out if session.out.as_json else left_out_note)) as out,
    ):
        logging.getLogger("dovetail").addHandler(logging.StreamHandler(errors))
        program = Program(
            words=work.words,
            environment=_environment(session),
            timeout=work.time_limit.total_seconds() if work.time_limit else None,
            folder=Path(folder),
            errors=errors,
            families=Families(),
        )
        with _Display(out, errors, session.out).open() as display:
            runner = _TaskRunner(program, display, work.max_tasks)
            await runner.run(
                session.agent.work(
                    runner.do,
                    concurrency=min(work.concurrency, work.max_tasks or work.concurrency),
                    labels=work.labels,
                    lease_duration=work.lease_duration,
                    idle_timeout=work.until_idle.total_seconds() if work.until_idle else None,
                    grace=UNLIMITED_SECONDS,  # Signals start the real one.
                ),
                work.grace.total_seconds(),
            )


class _TaskRunner:
    """Runs a program on tasks, until a signal or the number of tasks ends it."""

    def __init__(self, program: Program, display: _Display, tasks_max: int | None) -> None:
        self._program = program
        self._display = display
        self._left = tasks_max
        self._doing = set[asyncio.Task[Any]]()
        self._stopping = self._is_releasing = False
        self._stopped = asyncio.Event()
        """Set when a signal asked to stop."""
        self._signals = signals.ending_signals()
        self._fault: CommandError | None = None

    async def run(self, work: Coroutine[Any, Any, None], grace: float) -> None:
        """Work; programs have `grace` seconds after the first signal.

        Raises CommandError if the program cannot be started.
        """
        loop = asyncio.get_running_loop()
        self._work = loop.create_task(work)
        for number in self._signals:
            loop.add_signal_handler(number, self._signalled, grace)
        reaping = loop.create_task(self._reap())
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
        self._display.show("claimed", task)
        try:
            await self._do(task)
        except asyncio.CancelledError:
            self._display.show("lost" if task.lost else "released", task)
            raise
        except DovetailError as error:  # Not even its failure was reported: the lease will expire.
            self._display.show("lost", task, str(error))
            raise
        finally:
            self._doing.discard(doing)

    async def _do(self, task: HeldTask) -> None:
        try:
            result = await programs.run(self._program, task)
            await task.complete(result.summary, data=result.data)
            self._display.show("completed", task, result.summary)
        except WorkFailedError as failure:
            await self._fail(task, failure)
        except programs.NotStartedError as error:
            self._fault = CommandError(str(error))
            self._stop()
            await task.release("the program cannot be started")
            self._display.show("released", task, str(error))
        except (InvalidArgumentError, FailedPreconditionError) as refusal:
            await self._fail(task, WorkFailedError(describe(refusal)))
        except LeaseLostError:
            raise
        except Exception as error:  # noqa: BLE001 - any error must fail the task
            message = f"{type(error).__name__}: {error}"
            await self._fail(task, WorkFailedError(message, retryable=True))

    async def _reap(self) -> None:
        """Reap orphans: as process 1 of a container, or as a subreaper, a worker adopts them."""
        while True:
            await asyncio.sleep(REAP_SECONDS)
            self._program.families.reap()

    async def _fail(self, task: HeldTask, failure: WorkFailedError) -> None:
        message = str(failure)
        if failure.retryable and await self._was_stopped(failure):
            await task.release(f"the worker was stopped: {message.splitlines()[0]}")
            self._display.show("released", task, message)
            return
        after = await task.fail(message, data=failure.data, retryable=failure.retryable)
        again = after.state == TaskState.PENDING
        self._display.show("retried" if again else "failed", task, message)

    async def _was_stopped(self, failure: WorkFailedError) -> bool:
        """Whether a program may have ended by the signal that also stops the worker.

        Service managers signal all processes of a service at once, in any order: the worker may get
        the signal later.
        """
        if programs.was_signalled(failure):
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await self._stopped.wait()
        return self._stopped.is_set()

    def _may_begin(self) -> bool:
        """Whether a task may be started; after the last one no more are claimed."""
        if self._left is None or self._is_releasing:
            return not self._is_releasing
        self._left -= 1
        if self._left == 0:
            self._stop()
        return self._left >= 0

    def _signalled(self, grace: float) -> None:
        """At the first signal finish tasks, at the second release them, at the third just end."""
        loop = asyncio.get_running_loop()
        if not self._stopped.is_set():
            self._stopped.set()
            self._display.stopping = True
            self._stop()
            loop.call_later(grace, self._release_all)
            return
        self._release_all()
        for number in self._signals:
            loop.remove_signal_handler(number)

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


class _Display:
    """Shows the work: a line for each event and, on a terminal, a status line.

    It writes only to sinks: nothing here can fail or wait.
    """

    def __init__(self, out: Sink, errors: Sink, chosen: Output) -> None:
        self._out = out
        self._errors = errors
        self._chosen = chosen
        self._as_json = chosen.as_json
        self._is_gone = False
        self._screen = console(out)
        self._begun: dict[str, float] = {}
        self._counts = Counter[str]()
        self._is_over = False
        self.stopping = False

    @contextmanager
    def open(self) -> Generator[_Display]:
        """Show the status line inside the block, if there is a terminal."""
        if self._as_json or not is_in_foreground(self._out):
            yield self
        else:
            with ForegroundLive(console=self._screen, transient=True, get_renderable=self._line):
                yield self
        self._is_over = True
        if not self._as_json:
            self._out.line(self._line().plain)

    def show(self, event: str, task: HeldTask, text: str = "") -> None:
        """Show an event of a task."""
        now = time.monotonic()
        if event == "claimed":
            self._begun[task.lease_token] = now
            seconds = 0.0
        else:
            seconds = now - self._begun.pop(task.lease_token, now)
            self._counts[event] += 1
        if self._as_json:
            facts = {"event": event, "task_id": task.task_id, "title": task.title}
            facts |= {"attempt": task.task.attempt, "seconds": round(seconds, 3), "text": text}
            self._out.line(self._chosen.line_of(facts))
        else:
            self._screen.print(_event_line(event, task, seconds, text), soft_wrap=True)
        if self._out.fault and not self._is_gone:
            self._is_gone = True
            self._errors.line(
                f"dovetail: standard output cannot be written ({self._out.fault}):"
                " the work goes on without it"
            )

    def _line(self) -> Text:
        parts = [f"{count} {event}" for event, count in self._counts.items()]
        if not self._is_over:
            parts.insert(0, f"{len(self._begun)} under way")
            parts += ["stopping"] if self.stopping else []
        return Text("   ".join(parts) or "nothing was done", "dim")


def _left_out(size: int) -> str:
    """The event for programs that says that events were left out."""
    return dumps({"event": "left_out", "bytes": size})


def _event_line(event: str, task: HeldTask, seconds: float, text: str) -> Text:
    mark, style = MARKS[event]
    line = Text.assemble(
        (f"{signs(mark)} ", style), (escape_controls(task.task_id), "bold"), f"  {event}"
    )
    if event == "claimed":
        return line.append(f"  {escape_controls(task.title)}")
    line.append(f" after {seconds:.1f} s", "dim")
    first = " ".join(escape_controls(text).split())[:SHOWN_CHARACTERS]
    return line.append(f"  {first}") if first else line


def _environment(session: Session) -> dict[str, str]:
    """The environment of a program, with this command's settings of the servers."""
    servers = session.servers
    given = {
        "team": session.team_id,
        "messaging": servers.messaging,
        "tasks": servers.tasks,
        "insecure": "1" if servers.insecure else "",
        "token-file": str(servers.token_file.absolute()) if servers.token_file else "",
        **_tls(servers),
    }
    known = {CLIENT[name].variable: value for name, value in given.items() if value}
    dropped = {CLIENT["token"].variable} if servers.token_file else set[str]()
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return kept | known


def _tls(servers: Servers) -> dict[str, str]:
    if servers.tls is None:
        return {}
    files = {
        "tls-ca": servers.tls.ca,
        "tls-client-cert": servers.tls.cert,
        "tls-client-key": servers.tls.key,
    }
    named = {name: str(Path(file).absolute()) for name, file in files.items() if file}
    return {"tls": "1", "tls-server-name": servers.tls.server_name, **named}
