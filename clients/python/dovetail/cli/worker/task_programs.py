"""A program that works on a task: what it is told, its progress, and its output as the result."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import tempfile
from collections.abc import Generator
from pathlib import Path

from dovetail.cli.output.json_values import fields
from dovetail.cli.worker import programs
from dovetail.cli.worker.programs import Errand, Program, without_nul
from dovetail.cli.worker.results import Result, result
from dovetail.client import DovetailError, HeldTask
from dovetail.settings import CLIENT

PROGRESS_POLL_SECONDS = 0.5
WHOLE = 100
PROGRESS = re.compile(r"(\d{1,3})\s*%?\s*(.*)", re.ASCII)
PROGRESS_BYTES = 8 * 1024
"""How much of the file is read, from its end."""

NOTE_CHARACTERS = 4_096
FAILURE_BYTES = 4_096
"""How much of the last failure is in the environment."""

VARIABLES = {
    "DOVETAIL_TASK_ID": "The task that it works on.",
    "DOVETAIL_TASK_TITLE": "What to do, in one line.",
    "DOVETAIL_TASK_ATTEMPT": "The number of the attempt, from 1.",
    "DOVETAIL_TASK_LAST_FAILURE": "Why the attempt before failed, cut to 4,096 bytes; or empty.",
    "DOVETAIL_LEASE_TOKEN": "Proves that it holds the task: `dovetail task ask` and others use it.",
    "DOVETAIL_PROGRESS": "A file: its last line, `PERCENT NOTE`, is the progress of the task.",
}
"""The environment of a program, beside the settings for calling the servers as its agent."""


async def run(program: Program, task: HeldTask) -> Result:
    """Run a program on a task. Raises WorkFailedError or NotStartedError."""
    with _progress(program) as progress:
        watching = asyncio.create_task(_watch(progress, task))
        try:
            return result(await programs.run(program, _errand(task, progress)))
        finally:
            watching.cancel()


@contextlib.contextmanager
def _progress(program: Program) -> Generator[Path]:
    """An empty file in a folder of its own; the program may remove or replace it."""
    try:
        folder = tempfile.TemporaryDirectory(dir=program.folder, ignore_cleanup_errors=True)
        progress = Path(folder.name, "progress")
        progress.touch()
    except OSError as error:
        raise programs.not_started(program, error) from error
    with folder:
        yield progress


def _errand(task: HeldTask, progress: Path) -> Errand:
    return Errand(
        name=task.task_id,
        mark=("DOVETAIL_LEASE_TOKEN", task.lease_token),
        variables={
            CLIENT["agent"].variable: task.task.assignee_id,
            "DOVETAIL_TASK_ID": task.task_id,
            "DOVETAIL_TASK_TITLE": without_nul(task.title),
            "DOVETAIL_TASK_ATTEMPT": str(task.task.attempt),
            "DOVETAIL_TASK_LAST_FAILURE": _last_failure(task),
            "DOVETAIL_PROGRESS": str(progress),
        },
        stdin=json.dumps(fields(task.task.proto)).encode() + b"\n",
    )


def _last_failure(task: HeldTask) -> str:
    """Why the attempt before failed; an environment is small, and the task has all of it."""
    failure = task.task.last_failure
    text = without_nul(failure.message) if failure else ""
    return text.encode()[:FAILURE_BYTES].decode(errors="ignore")


async def _watch(progress: Path, task: HeldTask) -> None:
    """Send the progress of the task whenever the program's file has changed."""
    last = None
    with contextlib.suppress(DovetailError):
        while True:
            await asyncio.sleep(PROGRESS_POLL_SECONDS)
            current = _read_progress(progress)
            if current and current != last:
                last = current
                task.progress(*current)
                await task.heartbeat()


def _read_progress(progress: Path) -> tuple[int, str] | None:
    """The percentage and note in the last line of the file; None if it is not understood."""
    lines = _last_lines(progress)
    match = PROGRESS.fullmatch(lines[-1].strip()) if lines else None
    if match is None or int(match[1]) > WHOLE:
        return None
    return int(match[1]), without_nul(match[2])[:NOTE_CHARACTERS]


def _last_lines(progress: Path) -> list[str]:
    """The complete lines at the file's end; none if the program removed the file."""
    try:
        with open(os.open(progress, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:  # May be a pipe.
            start = max(0, file.seek(0, os.SEEK_END) - PROGRESS_BYTES)
            file.seek(start)
            lines = file.read(PROGRESS_BYTES).decode(errors="replace").splitlines()
    except OSError:
        return []
    return lines[1:] if start else lines
