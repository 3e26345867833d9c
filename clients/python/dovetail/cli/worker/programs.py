"""Programs that do an errand: how they start and end, and what their end means."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from dovetail.cli import signals
from dovetail.cli.output.sink import Sink
from dovetail.cli.worker.descendants import Families, Family, send
from dovetail.cli.worker.program_log import ProgramLog
from dovetail.client import WorkFailedError

OUTPUT_BYTES = 1024 * 1024
"""How much a program may print; a JSON object with much white space may be large."""

EX_TEMPFAIL = 75
FINAL_CODES = frozenset(range(64, 79)) - {EX_TEMPFAIL}
"""The exit codes of sysexits.h with which a program says that another attempt would also fail."""

TERM_SECONDS = 2.0
"""How long a program, and what it left running, may take to end before it is killed."""

POLL_SECONDS = 0.02
"""How often to check whether all of its processes have ended."""

OUTPUT_SECONDS = 1.0
"""How long processes that a program left running may still print, once the program has ended."""

STDIN, STDERR = 0, 2
SHELL_SIGNALS = 128
"""A shell adds this to the number of the signal that ended its command."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """The program to run for each errand, and how many seconds it may take.

    `folder` is for its files; its standard error goes to `errors`.
    """

    words: tuple[str, ...]
    environment: Mapping[str, str]
    timeout: float | None
    folder: Path
    errors: Sink
    families: Families


@dataclass(frozen=True, kw_only=True)
class Errand:
    """What a program is to do once: what it reads, and what its environment has beside.

    `name` stands before each line of its standard error. `mark` is a variable that no other program
    has with this value: all its processes are known by it.
    """

    name: str
    mark: tuple[str, str]
    variables: Mapping[str, str]
    stdin: bytes


class NotStartedError(Exception):
    """The program cannot be started at all: no errand is at fault, and the next would fail too."""


async def run(program: Program, errand: Errand) -> bytes:
    """Run a program once. Returns its output. Raises WorkFailedError or NotStartedError.

    It has a session of its own. All processes that it started have ended when this returns or
    raises, even if they left the session.
    """
    is_late = False
    running = await _started(program, errand)
    try:
        running.send(errand.stdin)
        async with asyncio.timeout(program.timeout):
            await running.finished.wait()
        await _wait_at_most(OUTPUT_SECONDS, running.output_closed)
    except TimeoutError:
        is_late = True
    finally:
        await _end(running)
    if is_late:
        assert program.timeout is not None
        raise running.failure(
            f"it took longer than {program.timeout:g} s, and was ended",
            {"time_limit_seconds": program.timeout},
        )
    return running.outcome()


def was_signalled(failure: WorkFailedError) -> bool:
    """Whether a program ended by a signal, or has the exit code of a shell that says so."""
    data = failure.data or {}
    number = data.get("signal") or int(data.get("exit_code", 0)) - SHELL_SIGNALS
    return number in {*signals.ENDING, signal.SIGKILL}


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


async def _started(program: Program, errand: Errand) -> _Running:
    variable, value = errand.mark
    mark = f"\0{variable}={value}\0".encode()
    running = _Running(program, mark, ProgramLog(errand.name, program.errors))
    try:
        with program.families.starting():
            await asyncio.get_running_loop().subprocess_exec(
                lambda: running,
                *program.words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                env={**program.environment, **errand.variables, variable: value},
            )
    except OSError as error:
        raise not_started(program, error) from error
    except asyncio.CancelledError:  # asyncio has killed it.
        running.forget()
        raise
    return running


def not_started(program: Program, error: OSError) -> NotStartedError:
    """The error of a program that cannot be started."""
    return NotStartedError(f"{program.words[0]!r} cannot be started: {error.strerror or error}")


def without_nul(text: str) -> str:
    """Text without NUL, which an environment cannot hold."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


class _Running(asyncio.SubprocessProtocol):
    """A program that was started, and its output so far.

    It ends with its process: what it left running may keep its output open for a long time.
    """

    def __init__(self, program: Program, mark: bytes, log: ProgramLog) -> None:
        self._families = program.families
        self._mark = mark
        self._log = log
        self._printed = bytearray()
        self.finished = asyncio.Event()
        """It has ended, or has printed too much."""
        self.ended = asyncio.Event()
        self.output_closed = asyncio.Event()
        """It has ended, and no process holds its output open any more."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.SubprocessTransport", transport)
        self._family = Family(pid=self._transport.get_pid(), mark=self._mark)
        self._families.add(self._family)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == STDERR:
            self._log.add(data)
        elif not self._is_too_much():
            self._printed += data
            if self._is_too_much():
                self.finished.set()

    def process_exited(self) -> None:
        self._families.exited(self._family)
        self.ended.set()
        self.finished.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        self.output_closed.set()

    def send(self, data: bytes) -> None:
        """Write to its standard input; a program need not read it."""
        stdin = cast("asyncio.WriteTransport", self._transport.get_pipe_transport(STDIN))
        stdin.write(data)
        stdin.close()

    async def terminate(self) -> None:
        """Ask all its processes to end, each once, and wait for that for a short time."""
        self._signal_group(signal.SIGTERM)
        signalled = set[int]()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TERM_SECONDS):
                while left := self._remaining():
                    send(left - signalled, signal.SIGTERM)
                    signalled |= left
                    await self._moment()

    async def kill(self) -> None:
        """Kill all its processes, and those that they start meanwhile, for a short time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TERM_SECONDS):
                while left := self._remaining():
                    self._signal_group(signal.SIGKILL)
                    send(left, signal.SIGKILL)
                    await self._moment()

    def _remaining(self) -> set[int]:
        """Its processes that have not ended."""
        left = set(self._families.remaining_of(self._family))
        return left | ({self._family.pid} if self._signal_group(0) else set())

    def _signal_group(self, number: int) -> bool:
        """Send a signal to its process group; returns whether the group still has a process."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._family.pid, number)
            return True
        return False

    async def _moment(self) -> None:
        await (asyncio.sleep(POLL_SECONDS) if self.ended.is_set() else self.ended.wait())

    def close(self) -> None:
        """Stop reading its output."""
        self._transport.close()
        self._log.close()
        self.forget()

    def forget(self) -> None:
        """Remove it from the running programs."""
        self._families.remove(self._mark)

    def outcome(self) -> bytes:
        """Its output, once it has ended. Raises WorkFailedError."""
        if self._is_too_much():
            raise WorkFailedError(f"it printed more than {OUTPUT_BYTES:,} bytes, and was ended")
        code = self._transport.get_returncode()
        if code is None:  # It cannot be killed: it waits for a disk, for example.
            raise self.failure("it printed as much as it may, and does not end", {})
        if code > 0:
            raise self.failure(f"exit code {code}", {"exit_code": code})
        if code < 0:
            raise self.failure(f"killed by {_signal(-code)}", {"signal": -code})
        return bytes(self._printed)

    def failure(self, how: str, data: dict[str, Any]) -> WorkFailedError:
        """How it failed, with the end of its standard error."""
        return WorkFailedError(
            f"{how}\n{without_nul(self._log.last)}".strip(),
            data=data,
            retryable=data.get("exit_code") not in FINAL_CODES,
        )

    def _is_too_much(self) -> bool:
        return len(self._printed) > OUTPUT_BYTES


async def _end(running: _Running) -> None:
    """End a program and all that it started: ask them to end, then kill them."""
    try:
        await running.terminate()
    finally:
        try:
            await running.kill()
            await _wait_at_most(OUTPUT_SECONDS, running.output_closed)
        finally:
            running.close()


async def _wait_at_most(seconds: float, event: asyncio.Event) -> None:
    """Wait for an event, at most so many seconds."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
