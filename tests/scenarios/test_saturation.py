"""One service that is called without a pause, and what the other's callers have of it."""

from __future__ import annotations

import asyncio
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from support import saturate
from support.figures import percentiles
from support.processes import ServerProcess
from support.servers import Servers, serving
from support.soak import SOAK

pytestmark = pytest.mark.soak

SECONDS = 10 if SOAK else 2


@pytest.mark.parametrize("busy", ["messaging", "tasks"])
async def test_a_saturated_service_fails_no_call_of_the_other(
    sqlite_url: str, busy: str, tmp_path: Path, report_figures: Callable[[str], None]
) -> None:
    async with serving(sqlite_url, tmp_path) as servers:
        await servers.register("quiet")
        saturated, call = {
            "messaging": (servers.messaging, lambda: _create(servers)),
            "tasks": (servers.tasks, lambda: _send(servers)),
        }[busy]
        begin, seconds = time.perf_counter(), list[float]()
        async with _saturated(busy, saturated) as answered:
            while time.perf_counter() - begin < SECONDS:
                seconds.append(await _timed(call))
        (count,) = answered
        assert count > len(seconds)
    report_figures(
        f"{saturate.CALLERS} callers had {count / SECONDS:,.0f} writes/s of {busy};"
        f" the other service's one caller, writing too: {percentiles(seconds)}"
    )


@asynccontextmanager
async def _saturated(service: str, server: ServerProcess) -> AsyncGenerator[list[int]]:
    """Keep a service busy from another process; at the end, how many calls it answered."""
    answered: list[int] = []
    program = await asyncio.create_subprocess_exec(
        sys.executable, saturate.__file__, service, server.address, stdin=PIPE, stdout=PIPE
    )
    assert program.stdin is not None
    assert program.stdout is not None
    assert await program.stdout.readline() == b"busy\n"
    try:
        yield answered
    finally:
        program.stdin.close()
        output, code = await program.stdout.read(), await program.wait()
    assert code == 0
    answered.append(int(output))


async def _timed(call: Callable[[], Awaitable[object]]) -> float:
    begin = time.perf_counter()
    await call()
    return time.perf_counter() - begin


async def _create(servers: Servers) -> None:
    await servers.caller("quiet").create(assignee_id="quiet")


async def _send(servers: Servers) -> None:
    await servers.caller("quiet").send("quiet", body="x" * 200)
