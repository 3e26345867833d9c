"""Programs that work on tasks: how they are started and told, and what their end means."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from dovetail.cli import signals
from dovetail.cli.complaints import Complaints
from dovetail.cli.descendants import Families, Family, send
from dovetail.cli.output import fields
from dovetail.cli.results import Result, result
from dovetail.cli.sink import Sink
from dovetail.client import DovetailError, HeldTask, WorkFailedError
from dovetail.settings import CLIENT

OUTPUT_BYTES = 1024 * 1024
"""What a program may print at all; a JSON object with much space in it may be large."""

EX_TEMPFAIL = 75
FINAL_CODES = frozenset(range(64, 79)) - {EX_TEMPFAIL}
"""The codes of sysexits.h: with them a program says that another attempt would end alike."""

LOOK_SECONDS = 0.5
TERM_SECONDS = 2.0
"""How long a program, or what it left running, may take to end before it is made to."""

GONE_SECONDS = 0.02
"""How often is looked whether all of it has ended."""

LAST_SECONDS = 1.0
"""How long what a program left running may still print, once the program has ended."""

STDIN, STDERR = 0, 2
SHELL_SIGNALS = 128
"""A shell adds this to the number of the signal that ended what it ran."""

WHOLE = 100
PROGRESS = re.compile(r"(\d{1,3})\s*%?\s*(.*)", re.ASCII)
PROGRESS_BYTES = 8 * 1024
"""How much of the file is read, from its end."""

NOTE_CHARACTERS = 4_096

VARIABLES = {
    "DOVETAIL_TASK_ID": "The task that it works on.",
    "DOVETAIL_TASK_TITLE": "What is to be done, in a line.",
    "DOVETAIL_TASK_ATTEMPT": "Which attempt this is, from 1.",
    "DOVETAIL_LEASE_TOKEN": "Proves that it holds the task: `dovetail task ask` and others use it.",
    "DOVETAIL_PROGRESS": "A file: what its last line says, `PERCENT NOTE`, is how far the work is.",
}
"""What a program finds in its environment, beside how to reach the servers, and as whom."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """What is run for each task, and how many seconds it may take.

    `folder` is for its files; its standard error goes to `errors`.
    """

    words: tuple[str, ...]
    environment: Mapping[str, str]
    timeout: float | None
    folder: Path
    errors: Sink
    families: Families


class NotStartedError(Exception):
    """The program cannot be started at all: no task is at fault, and each would find the same."""


async def run(program: Program, task: HeldTask) -> Result:
    """Have a program do a task. Raises WorkFailedError, or NotStartedError.

    It has a session of its own. All that it started is gone when this returns, however that is, and
    even where it left the session.
    """
    is_late = False
    with _progress(program) as progress:
        running = await _started(program, task, progress)
        watching = asyncio.create_task(_watch(progress, task))
        try:
            running.tell(task)
            async with asyncio.timeout(program.timeout):
                await running.enough.wait()
            await _within(LAST_SECONDS, running.silent)
        except TimeoutError:
            is_late = True
        finally:
            watching.cancel()
            await _end(running)
    if is_late:
        assert program.timeout is not None
        raise running.failure(
            f"it took longer than {program.timeout:g} s, and was ended",
            {"time_limit_seconds": program.timeout},
        )
    return running.outcome()


@contextlib.contextmanager
def _progress(program: Program) -> Generator[Path]:
    """An empty file in a folder of its own; what becomes of it is the program's affair."""
    try:
        folder = tempfile.TemporaryDirectory(dir=program.folder, ignore_cleanup_errors=True)
        progress = Path(folder.name, "progress")
        progress.touch()
    except OSError as error:
        raise _not_started(program, error) from error
    with folder:
        yield progress


def was_signalled(failure: WorkFailedError) -> bool:
    """Whether a program ended by a signal, or says that it did as shells say it."""
    data = failure.data or {}
    number = data.get("signal") or int(data.get("exit_code", 0)) - SHELL_SIGNALS
    return number in {*signals.ENDING, signal.SIGKILL}


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


async def _started(program: Program, task: HeldTask, progress: Path) -> _Running:
    mark = f"\0DOVETAIL_LEASE_TOKEN={task.lease_token}\0".encode()
    running = _Running(program, mark, Complaints(task.task_id, program.errors))
    try:
        with program.families.starting():
            await asyncio.get_running_loop().subprocess_exec(
                lambda: running,
                *program.words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                env=_environment(program, task, progress),
            )
    except OSError as error:
        raise _not_started(program, error) from error
    except asyncio.CancelledError:  # asyncio has killed it.
        running.forget()
        raise
    return running


def _not_started(program: Program, error: OSError) -> NotStartedError:
    return NotStartedError(f"{program.words[0]!r} cannot be started: {error.strerror or error}")


def _environment(program: Program, task: HeldTask, progress: Path) -> dict[str, str]:
    return {
        **program.environment,
        CLIENT["agent"].variable: task.task.assignee_id,
        "DOVETAIL_TASK_ID": task.task_id,
        "DOVETAIL_TASK_TITLE": _sayable(task.title),
        "DOVETAIL_TASK_ATTEMPT": str(task.task.attempt),
        "DOVETAIL_LEASE_TOKEN": task.lease_token,
        "DOVETAIL_PROGRESS": str(progress),
    }


def _sayable(text: str) -> str:
    """Text that can stand in an environment."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


class _Running(asyncio.SubprocessProtocol):
    """A program that was started, and what it has said so far.

    Its end is the end of its process: what it left running may hold its output open for long.
    """

    def __init__(self, program: Program, mark: bytes, complaints: Complaints) -> None:
        self._families = program.families
        self._mark = mark
        self._complaints = complaints
        self._printed = bytearray()
        self.enough = asyncio.Event()
        """It has ended, or has printed too much."""
        self.ended = asyncio.Event()
        self.silent = asyncio.Event()
        """It has ended, and nobody holds its output any more."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.SubprocessTransport", transport)
        self._family = Family(pid=self._transport.get_pid(), mark=self._mark)
        self._families.began(self._family)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == STDERR:
            self._complaints.add(data)
        elif not self._is_too_much():
            self._printed += data
            if self._is_too_much():
                self.enough.set()

    def process_exited(self) -> None:
        self._families.exited(self._family)
        self.ended.set()
        self.enough.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        self.silent.set()

    def tell(self, task: HeldTask) -> None:
        """Tell it the task as JSON; a program that does not want to know may leave it."""
        stdin = cast("asyncio.WriteTransport", self._transport.get_pipe_transport(STDIN))
        stdin.write(json.dumps(fields(task.task)).encode() + b"\n")
        stdin.close()

    async def ask_to_end(self) -> None:
        """Ask all that it started to end, each once, and wait for that, but not for long."""
        self._signal_group(signal.SIGTERM)
        asked = set[int]()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TERM_SECONDS):
                while left := self._left():
                    send(left - asked, signal.SIGTERM)
                    asked |= left
                    await self._moment()

    async def make_end(self) -> None:
        """Kill all that it started, and what that starts meanwhile, but not for long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TERM_SECONDS):
                while left := self._left():
                    self._signal_group(signal.SIGKILL)
                    send(left, signal.SIGKILL)
                    await self._moment()

    def _left(self) -> set[int]:
        """Whoever is left of it."""
        left = set(self._families.left_by(self._family))
        return left | ({self._family.pid} if self._signal_group(0) else set())

    def _signal_group(self, number: int) -> bool:
        """Send a signal to its process group; answers whether there is anybody left in it."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._family.pid, number)
            return True
        return False

    async def _moment(self) -> None:
        await (asyncio.sleep(GONE_SECONDS) if self.ended.is_set() else self.ended.wait())

    def close(self) -> None:
        """Hear no more."""
        self._transport.close()
        self._complaints.close()
        self.forget()

    def forget(self) -> None:
        """It is over, for what concerns others."""
        self._families.over(self._mark)

    def outcome(self) -> Result:
        """Its result, once it has ended. Raises WorkFailedError."""
        if self._is_too_much():
            raise WorkFailedError(f"it printed more than {OUTPUT_BYTES:,} bytes, and was ended")
        code = self._transport.get_returncode()
        if code is None:  # It cannot even be killed: it waits for a disk, say.
            raise self.failure("it printed all that it may, and does not end", {})
        if code > 0:
            raise self.failure(f"exit code {code}", {"exit_code": code})
        if code < 0:
            raise self.failure(f"killed by {_signal(-code)}", {"signal": -code})
        return result(self._printed)

    def failure(self, how: str, data: dict[str, Any]) -> WorkFailedError:
        """How it failed, with the end of what it said on standard error."""
        return WorkFailedError(
            f"{how}\n{_sayable(self._complaints.last)}".strip(),
            data=data,
            retryable=data.get("exit_code") not in FINAL_CODES,
        )

    def _is_too_much(self) -> bool:
        return len(self._printed) > OUTPUT_BYTES


async def _watch(progress: Path, task: HeldTask) -> None:
    """Pass on how far the work is, as often as the program says something else."""
    last = None
    with contextlib.suppress(DovetailError):
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            said = _said(progress)
            if said and said != last:
                last = said
                task.progress(*said)
                await task.heartbeat()


def _said(progress: Path) -> tuple[int, str] | None:
    """What the last line of the file says, if it can be understood."""
    lines = _last_lines(progress)
    match = PROGRESS.fullmatch(lines[-1].strip()) if lines else None
    if match is None or int(match[1]) > WHOLE:
        return None
    return int(match[1]), _sayable(match[2])[:NOTE_CHARACTERS]


def _last_lines(progress: Path) -> list[str]:
    """The lines at the file's end that can be read whole; none where the program removed it."""
    try:
        with open(os.open(progress, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:  # May be a pipe.
            start = max(0, file.seek(0, os.SEEK_END) - PROGRESS_BYTES)
            file.seek(start)
            lines = file.read(PROGRESS_BYTES).decode(errors="replace").splitlines()
    except OSError:
        return []
    return lines[1:] if start else lines


async def _end(running: _Running) -> None:
    """Have a program and all that it started end: ask them to, then make them."""
    try:
        await running.ask_to_end()
    finally:
        try:
            await running.make_end()
            await _within(LAST_SECONDS, running.silent)
        finally:
            running.close()


async def _within(seconds: float, event: asyncio.Event) -> None:
    """Wait for an event, but no longer than so many seconds."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
