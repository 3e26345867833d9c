"""Servers of several worker processes: which processes they are, and connections to one of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import grpc
import psutil

from support.healths import until_log
from support.processes import ServerProcess
from support.servers import Servers, channel, serving

CONNECTIONS_MAX = 100
"""The kernel chooses a worker for each connection: of so many, one goes to each."""


def worker_pids(server: ServerProcess) -> dict[int, int]:
    """The processes of a server's workers, by the number of the worker."""
    assert server.process is not None
    return pids_below(server.process.pid)


def pids_below(supervisor: int) -> dict[int, int]:
    """The processes of the workers that a supervisor has now."""
    found: dict[int, int] = {}
    for child in psutil.Process(supervisor).children():
        with suppress(psutil.NoSuchProcess):  # One that has just been killed.
            words = child.cmdline()
            if "--worker" in words:
                found[int(words[words.index("--worker") + 1])] = child.pid
    return found


@asynccontextmanager
async def serving_with_workers(
    store_url: str, logs: Path, workers: int, *options: str
) -> AsyncGenerator[Servers]:
    """Run both services with so many workers each, all of which serve."""
    words = ("--workers", str(workers), *options)
    async with serving(store_url, logs, words) as servers:
        for server in servers.both:
            await until_log(server, f", {workers} workers")
        yield servers


@asynccontextmanager
async def channels_to_each(
    server: ServerProcess, pids: Sequence[int]
) -> AsyncGenerator[list[grpc.aio.Channel]]:
    """A connection to each of these worker processes, in their order."""
    async with AsyncExitStack() as opened:
        found: dict[int, grpc.aio.Channel] = {}
        for _ in range(CONNECTIONS_MAX):
            if len(found) == len(pids):
                break
            before = {pid: _connections(server, pid) for pid in pids}
            made = await opened.enter_async_context(channel(server))
            await made.channel_ready()
            for pid in pids:
                if _connections(server, pid) - before[pid]:
                    found.setdefault(pid, made)
        yield [found[pid] for pid in pids]


def _connections(server: ServerProcess, pid: int) -> set[int]:
    """The ports from which a process is called."""
    every = psutil.Process(pid).net_connections(kind="tcp")
    return {each.raddr.port for each in every if each.raddr and each.laddr.port == server.port}


async def until_replaced(server: ServerProcess, number: int, pid: int) -> int:
    """Wait until a worker has another process than before, which serves, and return that."""
    assert server.process is not None
    return await _until(lambda: _replaced(server, number, pid))


def _replaced(server: ServerProcess, number: int, pid: int) -> int | None:
    now = worker_pids(server).get(number, pid)
    if now == pid:
        return None
    with suppress(psutil.NoSuchProcess):
        every = psutil.Process(now).net_connections(kind="tcp")
        return now if any(each.laddr.port == server.port for each in every) else None
    return None


async def _until(look: Callable[[], int | None]) -> int:
    async with asyncio.timeout(60):
        while (found := look()) is None:  # noqa: ASYNC110 - a process has no event
            await asyncio.sleep(0.02)
    return found
