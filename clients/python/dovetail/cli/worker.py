"""`dovetail worker`: any program becomes an agent that works on what is ready."""
# ruff: noqa: PLR0913 - one parameter per option

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Coroutine, Generator
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
from rich.live import Live
from rich.text import Text

from dovetail.cli import programs, signals
from dovetail.cli.descendants import Families, adopt_orphans
from dovetail.cli.exit_codes import MISUSED, CommandError, described
from dovetail.cli.options import LENGTH, Servers, Session, calls, label_option
from dovetail.cli.output import console
from dovetail.cli.programs import Program
from dovetail.cli.sink import Sink, told
from dovetail.cli.tasks import Labels
from dovetail.cli.text import escape_controls
from dovetail.cli.work import lease_option
from dovetail.client import (
    DovetailError,
    FailedPreconditionError,
    HeldTask,
    InvalidArgumentError,
    LeaseLostError,
    WorkFailedError,
)
from dovetail.settings import CLIENT
from dovetail.tasks.v1 import tasks_pb2 as pb

FOR_EVER = 10.0**9
REAP_SECONDS = 1.0
"""How often those are reaped whom nobody waits for."""

STOP_SECONDS = 0.5
"""How long after a program a signal may reach its worker that was sent to both at once."""

MARKS = {
    "claimed": ("▶", "blue"),
    "completed": ("✔", "green"),
    "failed": ("✘", "red"),
    "retried": ("↻", "yellow"),
    "released": ("○", "yellow"),
    "lost": ("!", "red"),
}
"""What can be told of a task, as people see it."""

SHOWN_CHARACTERS = 200


@click.command(context_settings={"allow_interspersed_args": False})
@click.argument("words", metavar="COMMAND [ARG]...", nargs=-1, required=True)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 1_000),
    default=1,
    show_default=True,
    help="How many tasks at once.",
)
@label_option
@lease_option
@click.option("--time-limit", type=LENGTH, help="A program that takes longer is ended.")
@click.option("--max-tasks", type=click.IntRange(1), help="End after so many tasks.")
@click.option("--once", "max_tasks", flag_value=1, type=int, help="End after one task.")
@click.option("--until-idle", type=LENGTH, help="End when nothing was ready for so long.")
@click.option(
    "--grace",
    type=LENGTH,
    default="10s",
    show_default=True,
    help="How long programs may take to finish when the worker is stopped.",
)
@calls
async def worker(
    session: Session,
    words: tuple[str, ...],
    concurrency: int,
    labels: Labels,
    lease_duration: timedelta | None,
    time_limit: timedelta | None,
    max_tasks: int | None,
    until_idle: timedelta | None,
    grace: timedelta,
) -> None:
    """Run COMMAND for each task that is ready, and end the task as COMMAND ends.

    COMMAND reads the task as a JSON object from its standard input. What it prints is the result: a
    JSON object, or text. Exit code 0 completes the task; any other fails it, to be tried again,
    except 64 to 78 without 75, which fail it for good. The worker keeps the lease, and ends COMMAND
    when the task is no longer its own.

    SIGTERM and Ctrl-C stop the worker: it claims nothing more, and what is not finished in the time
    of --grace is given back. A second one gives it back at once. A program that is ended by the
    same stop has not failed: its task is given back too.

    What COMMAND leaves running ends with it. Trouble of the worker's own output (a reader that
    left, a full disk) costs lines of it, and no work.
    """
    if shutil.which(words[0]) is None:
        raise CommandError(f"no program {words[0]!r} can be found", MISUSED)
    adopt_orphans()
    with (
        tempfile.TemporaryDirectory(prefix="dovetail-worker-") as folder,
        closing(Sink(sys.stderr)) as errors,
        closing(Sink(sys.stdout, _left_out if session.out.as_json else told)) as out,
    ):
        logging.getLogger("dovetail").addHandler(logging.StreamHandler(errors))
        program = Program(
            words=words,
            environment=_environment(session),
            timeout=time_limit.total_seconds() if time_limit else None,
            folder=Path(folder),
            errors=errors,
            families=Families(),
        )
        with _Board(out, errors, session.out.as_json).open() as board:
            working = _Working(program, board, max_tasks)
            await working.run(
                session.agent.work(
                    working.do,
                    concurrency=min(concurrency, max_tasks or concurrency),
                    filter=pb.TaskFilter(labels=dict(labels)),
                    lease_duration=lease_duration,
                    idle_timeout=until_idle.total_seconds() if until_idle else None,
                    grace=FOR_EVER,  # How long it really is, signals say.
                ),
                grace.total_seconds(),
            )


class _Working:
    """Has a program do tasks, until signals say that it is enough, or it was enough."""

    def __init__(self, program: Program, board: _Board, most: int | None) -> None:
        self._program = program
        self._board = board
        self._left = most
        self._doing = set[asyncio.Task[Any]]()
        self._stopping = self._hurried = False
        self._stopped = asyncio.Event()
        """Told to stop, by a signal."""
        self._signals = signals.heeded()
        self._fault: CommandError | None = None

    async def run(self, work: Coroutine[Any, Any, None], grace: float) -> None:
        """Work, with `grace` seconds left to programs after the first signal.

        Raises CommandError where the program cannot be started.
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
        """Have the program do a task, and end the task as the program ended."""
        if not self._wanted():
            await task.release("the worker has done enough")
            return
        doing = asyncio.current_task()
        assert doing is not None
        self._doing.add(doing)
        self._board.tell("claimed", task)
        try:
            await self._do(task)
        except asyncio.CancelledError:
            self._board.tell("lost" if task.lost else "released", task)
            raise
        except DovetailError as error:  # Not even its failure could be told: the lease will end.
            self._board.tell("lost", task, str(error))
            raise
        finally:
            self._doing.discard(doing)

    async def _do(self, task: HeldTask) -> None:
        try:
            result = await programs.run(self._program, task)
            await task.complete(result.summary, data=result.data)
            self._board.tell("completed", task, result.summary)
        except WorkFailedError as failure:
            await self._fail(task, failure)
        except programs.NotStartedError as error:
            self._fault = CommandError(str(error))
            self._stop()
            await task.release("the program cannot be started")
            self._board.tell("released", task, str(error))
        except (InvalidArgumentError, FailedPreconditionError) as refusal:
            await self._fail(task, WorkFailedError(described(refusal)))
        except LeaseLostError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the task and the board are told
            said = f"{type(error).__name__}: {error}"
            await self._fail(task, WorkFailedError(said, retryable=True))

    async def _reap(self) -> None:
        """As process 1 of a container, or as the subreaper, a worker inherits whom nobody reaps."""
        while True:
            await asyncio.sleep(REAP_SECONDS)
            self._program.families.reap()

    async def _fail(self, task: HeldTask, failure: WorkFailedError) -> None:
        said = str(failure)
        if failure.retryable and await self._was_stopped(failure):
            await task.release(f"the worker was stopped: {said.splitlines()[0]}")
            self._board.tell("released", task, said)
            return
        after = await task.fail(said, data=failure.data, retryable=failure.retryable)
        again = after.state == pb.TASK_STATE_PENDING
        self._board.tell("retried" if again else "failed", task, said)

    async def _was_stopped(self, failure: WorkFailedError) -> bool:
        """Whether a program may have ended by what also stops the worker, which hears of it later.

        Service managers signal all processes of a service at once, in any order.
        """
        if programs.was_signalled(failure):
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await self._stopped.wait()
        return self._stopped.is_set()

    def _wanted(self) -> bool:
        """Whether a task may be begun; after the last one no more are claimed."""
        if self._left is None or self._hurried:
            return not self._hurried
        self._left -= 1
        if self._left == 0:
            self._stop()
        return self._left >= 0

    def _signalled(self, grace: float) -> None:
        """The first time: finish what was begun. The second time: give it back. Then: just end."""
        loop = asyncio.get_running_loop()
        if not self._stopped.is_set():
            self._stopped.set()
            self._board.stopping = True
            self._stop()
            loop.call_later(grace, self._hurry)
            return
        self._hurry()
        for number in self._signals:
            loop.remove_signal_handler(number)

    def _stop(self) -> None:
        """Claim no more. What is being done is waited for."""
        if not self._stopping:
            self._stopping = True
            self._work.cancel()

    def _hurry(self) -> None:
        """Give back what is being done."""
        self._hurried = True
        for doing in self._doing:
            doing.cancel()


class _Board:
    """What one sees of a worker: a line for all that happens and, on a terminal, how it stands.

    It only ever writes to sinks: nothing here can fail, or wait.
    """

    def __init__(self, out: Sink, errors: Sink, as_json: bool) -> None:
        self._out = out
        self._errors = errors
        self._as_json = as_json
        self._is_gone = False
        self._screen = console(out)
        self._begun: dict[str, float] = {}
        self._counts = Counter[str]()
        self._is_over = False
        self.stopping = False

    @contextmanager
    def open(self) -> Generator[_Board]:
        """Inside the block one sees how it stands, where there is a terminal."""
        if self._as_json or not self._screen.is_terminal:
            yield self
        else:
            with Live(console=self._screen, transient=True, get_renderable=self._line):
                yield self
        self._is_over = True
        if not self._as_json:
            self._out.line(self._line().plain)

    def tell(self, event: str, task: HeldTask, text: str = "") -> None:
        """Say what happened to a task."""
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
            self._out.line(json.dumps(facts))
        else:
            self._screen.print(_told(event, task, seconds, text), soft_wrap=True)
        if self._out.fault and not self._is_gone:
            self._is_gone = True
            self._errors.line(
                f"dovetail: standard output is gone ({self._out.fault}):"
                " the work goes on without it"
            )

    def _line(self) -> Text:
        parts = [f"{count} {event}" for event, count in self._counts.items()]
        if not self._is_over:
            parts.insert(0, f"{len(self._begun)} under way")
            parts += ["stopping"] if self.stopping else []
        return Text("   ".join(parts) or "nothing was done", "dim")


def _left_out(size: int) -> str:
    """How programs are told that events were left out."""
    return json.dumps({"event": "left out", "bytes": size})


def _told(event: str, task: HeldTask, seconds: float, text: str) -> Text:
    mark, style = MARKS[event]
    line = Text.assemble((f"{mark} ", style), (escape_controls(task.task_id), "bold"), f"  {event}")
    if event == "claimed":
        return line.append(f"  {escape_controls(task.title)}")
    line.append(f" after {seconds:.1f} s", "dim")
    first = " ".join(escape_controls(text).split())[:SHOWN_CHARACTERS]
    return line.append(f"  {first}") if first else line


def _environment(session: Session) -> dict[str, str]:
    """What a program is to know of the servers: what this command knows."""
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
