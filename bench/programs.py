"""Programs that are started here: servers, and measures that need a process of their own."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager

from bench.trials import Trial

TRIES_MAX = 200
PAUSE_SECONDS = 0.05
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextmanager
def running(command: Sequence[str]) -> Generator[subprocess.Popen[bytes]]:
    """Run a server until the end of the block."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.terminate()


async def connect(port: int, process: subprocess.Popen[bytes]) -> Streams:
    """Connect to a server on this machine as soon as it listens."""
    for _ in range(TRIES_MAX):
        if process.poll() is not None:
            break
        try:
            return await asyncio.open_connection("127.0.0.1", port)
        except ConnectionError:
            await asyncio.sleep(PAUSE_SECONDS)
    raise RuntimeError(f"{process.args} did not come up")


async def run_trial(module: str, *arguments: object) -> Trial:
    """Run a module of this package in a process of its own; it prints its Trial as JSON."""
    command = (sys.executable, "-m", module, *map(str, arguments))
    program = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await program.communicate()
    if program.returncode:
        raise RuntimeError(f"{' '.join(command)} failed")
    return Trial(**json.loads(output))
