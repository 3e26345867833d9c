"""Programs that work on tasks: how they are started and told, and what their end means."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from dovetail.cli.output import fields
from dovetail.cli.settings import CLIENT
from dovetail.cli.text import harmless
from dovetail.client import HeldTask, LeaseLostError, WorkFailedError

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

WHOLE = 100
PROGRESS = re.compile(r"(\d{1,3})\s*%?\s*(.*)")
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


async def run(program: Program, task: HeldTask) -> Result:
    """Have a program do a task. Raises WorkFailedError.

    It has a process group of its own, which is gone when this returns, however that is.
    """
    with tempfile.NamedTemporaryFile(dir=program.folder) as progress:
        process = await _started(program, task, progress.name)
        watching = asyncio.create_task(_watch(Path(progress.name), task))
        try:
            async with asyncio.timeout(program.timeout):
                out, errors, code = await _ended(process, task)
        except TimeoutError:
            said = f"it took longer than {program.timeout:g} s, and was ended"
            raise WorkFailedError(said, retryable=True) from None
        finally:
            watching.cancel()
            await _end(process)
    _check_code(code, errors)
    return result(out)


def result(out: bytes) -> Result:
    """What a program printed, as a result. Raises WorkFailedError where it is too large."""
    text = out.decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}").strip()
    made = _object(text)
    if made is not None:
        _check_size("a result's JSON object", json.dumps(made, ensure_ascii=False), DATA_BYTES)
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
        made = json.loads(text, parse_constant=refuse)
        json.dumps(made, ensure_ascii=False).encode()  # Half of a pair is no character.
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", made) if isinstance(made, dict) else None


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


async def _started(program: Program, task: HeldTask, progress: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *program.words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env={
            **program.environment,
            CLIENT["agent"].variable: task.task.assignee_id,
            "DOVETAIL_TASK_ID": task.task_id,
            "DOVETAIL_TASK_TITLE": _sayable(task.title),
            "DOVETAIL_TASK_ATTEMPT": str(task.task.attempt),
            "DOVETAIL_LEASE_TOKEN": task.lease_token,
            "DOVETAIL_PROGRESS": progress,
        },
    )


def _sayable(text: str) -> str:
    """Text that can stand in an environment."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


async def _ended(process: asyncio.subprocess.Process, task: HeldTask) -> tuple[bytes, str, int]:
    """What it printed, the end of what it complained of, and its exit code."""
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    _, out, errors = await asyncio.gather(
        _tell(process.stdin, task),
        _printed(process.stdout),
        _complained(process.stderr, task.task_id),
    )
    return out, errors, await process.wait()


async def _tell(stdin: asyncio.StreamWriter, task: HeldTask) -> None:
    """The task as JSON; a program that does not want to know may leave it."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        stdin.write(json.dumps(fields(task.task)).encode() + b"\n")
        await stdin.drain()
    stdin.close()


async def _printed(stdout: asyncio.StreamReader) -> bytes:
    """All that it prints. Raises WorkFailedError as soon as that is too much."""
    printed = b""
    while chunk := await stdout.read(64 * 1024):
        printed += chunk
        if len(printed) > OUTPUT_BYTES:
            raise WorkFailedError(f"it printed more than {OUTPUT_BYTES:,} bytes, and was ended")
    return printed


async def _complained(stderr: asyncio.StreamReader, task_id: str) -> str:
    """The end of what it says on standard error, all of which is passed on."""
    said = b""
    while chunk := await stderr.read(64 * 1024):
        said = (said + chunk)[-LAST_BYTES:]
        for line in chunk.decode(errors="replace").splitlines():
            print(harmless(f"{task_id}: {line}"), file=sys.stderr)
    return said.decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}").strip()


async def _watch(progress: Path, task: HeldTask) -> None:
    """Pass on how far the work is, as often as the program says something else."""
    last = None
    with contextlib.suppress(LeaseLostError):
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            said = _said(progress)
            if said and said != last:
                last = said
                task.progress(*said)
                await task.heartbeat()


def _said(progress: Path) -> tuple[int, str] | None:
    """What the last line of the file says, if it can be understood."""
    lines = progress.read_text(errors="replace").splitlines()
    match = PROGRESS.fullmatch(lines[-1].strip()) if lines else None
    if match is None or int(match[1]) > WHOLE:
        return None
    return int(match[1]), _sayable(match[2])[:NOTE_CHARACTERS]


async def _end(process: asyncio.subprocess.Process) -> None:
    """Have the whole group of a program end: ask it to, then make it."""
    try:
        if _tell_group(process, signal.SIGTERM) and process.returncode is None:
            await _gone(process)
    finally:
        _tell_group(process, signal.SIGKILL)
    await _gone(process)


async def _gone(process: asyncio.subprocess.Process) -> None:
    """Wait until a program is gone, and whoever else holds its output; not for long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(TERM_SECONDS):
            await process.wait()


def _tell_group(process: asyncio.subprocess.Process, number: signal.Signals) -> bool:
    """Send a signal to all of a program's group; answers whether there is anybody left."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return False
    return True
