"""The measure of the command line: how long a command takes from its start to its exit."""

from __future__ import annotations

import asyncio
import resource
import time
from functools import partial
from pathlib import Path

from bench.cpu import CLIENT
from bench.fixtures import Fixtures
from bench.size import Size
from bench.trials import Case, Trial

PYTHON = "python"
NOTHING = ("-c", "pass")
PROGRAM = ("-m", "dovetail.cli")


async def start(fixtures: Fixtures, size: Size) -> list[Case]:
    """Help, and a call with --json; beside them, the interpreter with nothing to do."""
    engines = fixtures.engines
    codes = {name: engine.code.python for name, engine in engines.items()}
    nothing = {PYTHON: partial(_repeat, size.seconds, Path(next(iter(codes.values()))), NOTHING)}
    called = {
        name: (*PROGRAM, "task", "list", "--json", "--tasks", engine.tasks_address)
        for name, engine in engines.items()
    }
    words = {"--help": dict.fromkeys(codes, (*PROGRAM, "--help")), "task list --json": called}
    return [
        Case(
            measure="start",
            name=name,
            unit="commands",
            base=PYTHON,
            targets=nothing
            | {
                target: partial(_repeat, size.seconds, Path(codes[target]), command)
                for target, command in commands.items()
            },
        )
        for name, commands in words.items()
    ]


async def _repeat(seconds: float, python: Path, words: tuple[str, ...]) -> Trial:
    """Run a command again and again. The CPU time is its own: that of children that ended."""
    taken: list[float] = []
    begin, spent = time.perf_counter(), _spent()
    while not taken or time.perf_counter() < begin + seconds:
        before = time.perf_counter()
        program = await asyncio.create_subprocess_exec(
            python, *words, stdout=asyncio.subprocess.DEVNULL
        )
        if await program.wait():
            raise RuntimeError(f"{' '.join(words)} failed")
        taken.append(time.perf_counter() - before)
    found = sorted(taken)
    return Trial(
        count=len(taken),
        rate=len(taken) / (time.perf_counter() - begin),
        cpu={CLIENT: _spent() - spent},
        p50=found[len(found) // 2] * 1_000,
        p99=found[len(found) * 99 // 100] * 1_000,
    )


def _spent() -> float:
    """Seconds of CPU time of all children that ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
