"""Programs that work on tasks: how they are started and told, and what their end means."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from dovetail.cli.output import fields
from dovetail.cli.text import harmless
from dovetail.client import DovetailError, HeldTask, WorkFailedError
from dovetail.settings import CLIENT

SUMMARY_BYTES = 64 * 1024
DATA_BYTES = 256 * 1024
MOST_LEVELS = 30
OUTPUT_BYTES = 1024 * 1024
"""What a program may print at all; a JSON object with much space in it may be large."""

LAST_BYTES = 4_000
"""How much of what it said on standard error is told of a failure."""

EX_TEMPFAIL = 75
FINAL_CODES = frozenset(range(64, 79)) - {EX_TEMPFAIL}
"""The codes of sysexits.h: with them a program says that another attempt would end alike."""

LOOK_SECONDS = 0.5
TERM_SECONDS = 2.0
"""How long a program that is asked to end may take before it is made to."""

LAST_SECONDS = 1.0
"""How long what a program left running may still print, once the program has ended."""

STDIN, STDERR = 0, 2
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
    """What is run for each task, and how many seconds it may take; `folder` is for its files."""

    words: tuple[str, ...]
    environment: Mapping[str, str]
    timeout: float | None
    folder: Path


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a program gave: a summary for people, or data for programs."""

    summary: str = ""
    data: dict[str, Any] | None = None


class NotStartedError(Exception):
    """The program cannot be started at all: no task is at fault, and each would find the same."""


async def run(program: Program, task: HeldTask) -> Result:
    """Have a program do a task. Raises WorkFailedError, or NotStartedError.

    It has a process group of its own, which is gone when this returns, however that is.
    """
    with _progress(program) as progress:
        running = await _started(program, task, progress)
        watching = asyncio.create_task(_watch(progress, task))
        try:
            running.tell(task)
            async with asyncio.timeout(program.timeout):
                await running.enough.wait()
            await _within(LAST_SECONDS, running.silent)
        except TimeoutError:
            said = f"it took longer than {program.timeout:g} s, and was ended"
            raise WorkFailedError(said, retryable=True) from None
        finally:
            watching.cancel()
            await _end(running)
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


def result(out: bytes | bytearray) -> Result:
    """What a program printed, as a result. Raises WorkFailedError where it is too large."""
    text = out.decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}").strip()
    made = _object(text)
    if made is not None:
        _check_size("a result's JSON object", _written(made), DATA_BYTES)
        if _levels(made) > MOST_LEVELS:
            raise WorkFailedError(f"a result's JSON object may be {MOST_LEVELS} levels deep")
        return Result(data=made)
    _check_size("a result that is text", text, SUMMARY_BYTES)
    return Result(summary=text)


def _object(text: str) -> dict[str, Any] | None:
    """The JSON object that a text is; None where it is none that can be sent."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        made = json.loads(text, parse_constant=refuse, parse_int=_whole)
        json.dumps(made, ensure_ascii=False).encode()  # Half of a pair is no character.
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", made) if isinstance(made, dict) else None


def _whole(digits: str) -> float:
    """A whole number as it arrives: results have doubles. One with too many digits is infinite."""
    number = float(digits)
    return int(number) if math.isfinite(number) else number


def _written(made: dict[str, Any]) -> str:
    """An object as JSON. Raises WorkFailedError where a number in it is too large."""
    try:
        return json.dumps(made, ensure_ascii=False, allow_nan=False)
    except ValueError:
        said = "a number in its result is too large: all must be finite as doubles"
        raise WorkFailedError(said) from None


def _levels(value: Any) -> int:
    """How deep objects and lists stand in each other."""
    if not isinstance(value, (dict, list)):
        return 0
    inner = cast("list[Any]", [*value.values()] if isinstance(value, dict) else value)
    return 1 + max(map(_levels, inner), default=0)


def _check_size(what: str, text: str, most: int) -> None:
    size = len(text.encode())
    if size > most:
        raise WorkFailedError(f"it printed too much: {what} may have {most:,} bytes, not {size:,}")


def _check_code(code: int, errors: str) -> None:
    """Fail as the exit code says."""
    if code == 0:
        return
    how = f"exit code {code}" if code > 0 else f"killed by {_signal(-code)}"
    raise WorkFailedError(
        f"{how}\n{errors}".strip(),
        data={"exit_code": code} if code > 0 else {"signal": -code},
        retryable=code not in FINAL_CODES,
    )


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


async def _started(program: Program, task: HeldTask, progress: Path) -> _Running:
    running = _Running(task.task_id)
    try:
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

    def __init__(self, task_id: str) -> None:
        self._task_id = task_id
        self._printed = bytearray()
        self._complained = b""
        self.enough = asyncio.Event()
        """It has ended, or has printed too much."""
        self.ended = asyncio.Event()
        self.silent = asyncio.Event()
        """It has ended, and nobody holds its output any more."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.SubprocessTransport", transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == STDERR:
            self._complain(data)
        elif not self._is_too_much():
            self._printed += data
            if self._is_too_much():
                self.enough.set()

    def process_exited(self) -> None:
        self.ended.set()
        self.enough.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        self.silent.set()

    def tell(self, task: HeldTask) -> None:
        """Tell it the task as JSON; a program that does not want to know may leave it."""
        stdin = cast("asyncio.WriteTransport", self._transport.get_pipe_transport(STDIN))
        stdin.write(json.dumps(fields(task.task)).encode() + b"\n")
        stdin.close()

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal to all of its group; answers whether there is anybody left."""
        try:
            os.killpg(self._transport.get_pid(), number)
        except ProcessLookupError:
            return False
        return True

    def close(self) -> None:
        """Hear no more."""
        self._transport.close()

    def outcome(self) -> Result:
        """Its result, once it has ended. Raises WorkFailedError."""
        if self._is_too_much():
            raise WorkFailedError(f"it printed more than {OUTPUT_BYTES:,} bytes, and was ended")
        code = self._transport.get_returncode()
        assert code is not None
        _check_code(code, _sayable(self._complained.decode(errors="replace")).strip())
        return result(self._printed)

    def _is_too_much(self) -> bool:
        return len(self._printed) > OUTPUT_BYTES

    def _complain(self, data: bytes) -> None:
        """Keep the end of what it says on standard error, all of which is passed on."""
        self._complained = (self._complained + data)[-LAST_BYTES:]
        for line in data.decode(errors="replace").splitlines():
            print(harmless(f"{self._task_id}: {line}"), file=sys.stderr)


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
    """Have the whole group of a program end: ask it to, then make it."""
    try:
        if running.signal(signal.SIGTERM):
            await _within(TERM_SECONDS, running.ended)
    finally:
        running.signal(signal.SIGKILL)
        try:
            await _within(TERM_SECONDS, running.ended)
            await _within(LAST_SECONDS, running.silent)
        finally:
            running.close()


async def _within(seconds: float, event: asyncio.Event) -> None:
    """Wait for an event, but no longer than so many seconds."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
