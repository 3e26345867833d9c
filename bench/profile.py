"""`make profile`: where the time of SendMessage goes, by a sampling profiler around the server.

Two runs: who holds the interpreter (there is one, so this limits the rate), and how the writer's
thread spends the clock's time (waiting, gathering, running units, committing).
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import click
import grpc
import psutil
from rich.console import Console
from rich.table import Table

from bench import stacks
from bench.calls import as_agent, message
from bench.cpu import Processes
from bench.stores import ENGINES, empty_store
from bench.trials import closed_loop
from dovetail.messaging.v1 import messaging_pb2, messaging_pb2_grpc
from support.processes import free_port

RATE = 250
ROWS_MAX = 18


@click.command()
@click.option("--engine", type=click.Choice(ENGINES), default="sqlite", show_default=True)
@click.option("--callers", type=int, default=64, show_default=True)
@click.option("--seconds", type=float, default=10.0, show_default=True)
def main(engine: str, callers: int, seconds: float) -> None:
    """Profile a messaging server while this many callers send."""
    console = Console()
    with (
        tempfile.TemporaryDirectory(prefix="dovetail-profile-") as folder,
        empty_store(engine, Path(folder) / "store") as store,
    ):
        python = _profile(Path(folder), store.url, "--gil", callers, seconds / 2)
        clock = _profile(Path(folder), store.url, "--idle", callers, seconds / 2)
    console.print(_table("Python's time by thread", python.threads, python.samples))
    console.print(_table("… by part of the program", python.parts, python.samples))
    console.print(_table("… by function, alone", python.alone, python.samples))
    console.print(_table("… by function of ours, with what it calls", python.ours, python.samples))
    writer = clock.threads["writer"]
    console.print(_table("The writer's time by the clock", clock.by_thread["writer"], writer))


def _profile(
    folder: Path, store_url: str, kind: str, callers: int, seconds: float
) -> stacks.Profile:
    """Take samples of one kind: of the thread that runs Python, or of every thread."""
    found, log = folder / f"stacks{kind}", folder / f"log{kind}"
    address = f"127.0.0.1:{free_port()}"
    with log.open("wb") as output:
        command = _command(found, kind, store_url, address)
        profiler = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        asyncio.run(_load(address, callers, seconds))
        for server in psutil.Process(profiler.pid).children():
            server.send_signal(signal.SIGTERM)
        profiler.wait(60)
    finally:
        profiler.kill()
    return stacks.read(found.read_text().splitlines())


def _command(found: Path, kind: str, store_url: str, address: str) -> list[str]:
    spy = Path(sys.executable).with_name("py-spy")
    record = [str(spy), "record", "--format", "raw", "--output", str(found), "--rate", str(RATE)]
    record += ["--threads", "--full-filenames", "--nolineno", kind]
    serve = [sys.executable, "-m", "dovetail.cli", "serve", "messaging"]
    return [*record, "--", *serve, "--store", store_url, "--listen", address]


async def _load(address: str, callers: int, seconds: float) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        await asyncio.wait_for(channel.channel_ready(), 60)
        stub = messaging_pb2_grpc.MessagingServiceStub(channel)

        async def register(number: int) -> None:
            request = messaging_pb2.RegisterAgentRequest(agent_id=f"caller-{number}")
            await stub.RegisterAgent(request)

        async def send(number: int) -> None:
            agent_id = f"caller-{number}"
            await stub.SendMessage(message(agent_id), metadata=as_agent(agent_id))

        await asyncio.gather(*map(register, range(callers)))
        await closed_loop(Processes(), callers, seconds, send)


def _table(title: str, counts: Counter[str], samples: int) -> Table:
    table = Table("", "share", title=title, title_justify="left", title_style="bold")
    for name, number in counts.most_common(ROWS_MAX):
        table.add_row(name, f"{number / samples:6.1%}")
    return table


if __name__ == "__main__":
    main()
