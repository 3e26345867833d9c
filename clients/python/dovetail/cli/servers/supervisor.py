"""The supervisor of `serve --workers`: several worker processes at one address, as one server.

It reserves the address and never listens there. Each worker is this command again (started by exec:
a process in which gRPC has been loaded must not fork) and shares the address. A worker stops when
its standard input closes, whose other end is held here: so it ends after its supervisor, however
that ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click
import structlog

from dovetail.cli import signals
from dovetail.cli.output.exit_codes import CommandError
from dovetail.cli.servers import processes

if TYPE_CHECKING:
    from dovetail.server.main import ServerConfig

Facts = Mapping[str, str]
"""What a worker prints once it serves: `address` and `store`, and `metrics` if it shows some."""

Ready = Callable[[str, str, str], None]
"""Receives the addresses of server, store and the first worker's metrics, once all serve."""

PAUSE_SECONDS, PAUSE_SECONDS_MAX = 0.1, 10.0
"""Before a worker is started again; doubled each time, until it has served for STEADY_SECONDS."""

STEADY_SECONDS = 30.0
RESTART_SECONDS = 60.0
"""How long a worker that is started again may take until it serves. The first start of all may
change the store for a new release, and has no limit."""

FAILED_STARTS_MAX = 6
"""Failed starts, one after another, after which the supervisor gives up if no worker serves."""

log: structlog.typing.FilteringBoundLogger = structlog.get_logger("dovetail.workers")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to start: workers of a server, whose settings each gets as flags."""

    config: ServerConfig
    workers: int
    settings: Mapping[str, Any]

    @property
    def drain_seconds(self) -> float:
        """How long a worker's calls may take to finish: they stop one after another."""
        return self.config.drain_seconds / self.workers

    def command(self, number: int, address: str) -> list[str]:
        """The command of one worker."""
        # Every second port: `dovetail up` runs the workers of two servers.
        metrics = processes.at_port_after(self.config.metrics_listen, 2 * (number - 1))
        own = {**self.settings, "drain_seconds": self.drain_seconds, "metrics_listen": metrics}
        command = processes.server_command(self.config.service, address, own)
        return [*command, "--worker", str(number)]


class _Worker:
    """One place among the workers, and the process that has it now."""

    def __init__(self, number: int, command: list[str], environment: Mapping[str, str]) -> None:
        self.number = number
        self.process: asyncio.subprocess.Process | None = None
        self.is_serving = False
        self._command = command
        self._environment = environment

    async def start(self) -> Facts | None:
        """Start its process and return what it prints once it serves; None if it ends before."""
        self.process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C at the terminal must reach only the supervisor.
            env=self._environment,
        )
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        if not line:
            await self.process.wait()
            return None
        self.is_serving = True
        return json.loads(line)

    async def restart(self) -> bool:
        """Start it again. Returns whether it serves; otherwise it has ended."""
        try:
            async with asyncio.timeout(RESTART_SECONDS):
                return await self.start() is not None
        except (TimeoutError, OSError) as error:
            log.warning("a worker cannot be started", worker=self.number, why=repr(error))
            self.kill()
            return False

    async def end(self) -> None:
        """Wait until its process ends."""
        assert self.process is not None
        await self.process.wait()
        self.is_serving = False

    async def stop(self, seconds: float) -> None:
        """Stop its process, if it has one."""
        if self.process and not await processes.stop(self.process, seconds):
            log.warning("a worker did not stop in time and was killed", worker=self.number)

    def kill(self) -> None:
        """Kill its process, if it has one."""
        if self.process:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()

    def why(self) -> str:
        """How its process ended."""
        code = self.process.returncode if self.process else None
        if code is not None and code < 0:
            return f"signal {-code}"
        return f"exit code {code}"


class Supervisor:
    """Starts workers, restarts them, and stops them one after another. For one event loop."""

    def __init__(self, plan: Plan, address: str) -> None:
        """Supervise workers of `plan` that listen at `address`."""
        environment = processes.server_environment(plan.config.store)
        self._plan = plan
        self._workers = [
            _Worker(number, plan.command(number, address), environment)
            for number in range(1, plan.workers + 1)
        ]
        self._stop = asyncio.Event()
        self._failed_starts = 0
        self._fault: click.ClickException | click.exceptions.Exit | None = None

    async def run(self, ready: Ready) -> None:
        """Serve until a signal. Raises CommandError or Exit if the workers cannot start."""
        for number in signals.ending_signals():
            asyncio.get_running_loop().add_signal_handler(number, self._on_signal)
        serving = asyncio.create_task(self._serve(ready))
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
        # From here on no worker is started again.
        for task in (serving, stopping):
            task.cancel()
        await asyncio.gather(serving, stopping, return_exceptions=True)
        for worker in self._workers:
            await worker.stop(self._plan.drain_seconds + processes.STOP_SECONDS)
        if self._fault:
            raise self._fault
        if not serving.cancelled():
            serving.result()

    def _on_signal(self) -> None:
        if self._stop.is_set() and not self._plan.config.has_parent:
            for worker in self._workers:
                worker.kill()
            os._exit(1)
        self._stop.set()

    async def _serve(self, ready: Ready) -> None:
        """Start all workers, and keep them running."""
        first, *others = self._workers
        # The first one alone: it brings the store up to date and makes the first admin, and what
        # is wrong with a setting is said once.
        facts = await first.start()
        if facts:
            await asyncio.gather(*(worker.start() for worker in others))
        for worker in self._workers:
            if not worker.is_serving:
                self._give_up_start(worker)
                return
        assert facts is not None
        ready(facts["address"], facts["store"], facts.get("metrics", ""))
        await asyncio.gather(*(self._keep(worker) for worker in self._workers))

    def _give_up_start(self, worker: _Worker) -> None:
        """Fail as a worker did that could not start; by an exit code, it has said why itself."""
        code = worker.process.returncode if worker.process else None
        if code and code > 0:
            self._fault = click.exceptions.Exit(code)
        else:
            what = f"{self._plan.config.service} cannot start: worker {worker.number} ended"
            self._fault = CommandError(f"{what} by {worker.why()}")

    async def _keep(self, worker: _Worker) -> None:
        """Start a worker again whenever it ends, after a pause."""
        pause = PAUSE_SECONDS
        while not self._stop.is_set():
            since = time.monotonic()
            await worker.end()
            if time.monotonic() - since >= STEADY_SECONDS:
                pause = PAUSE_SECONDS
            log.warning(
                "a worker ended and is started again",
                worker=worker.number,
                why=worker.why(),
                pause_seconds=pause,
            )
            await asyncio.sleep(pause)
            pause = min(2 * pause, PAUSE_SECONDS_MAX)
            if await worker.restart():
                self._failed_starts = 0
            else:
                self._count_failed_start()

    def _count_failed_start(self) -> None:
        """Give up if no worker serves, and none could be started for a while."""
        self._failed_starts += 1
        if any(worker.is_serving for worker in self._workers):
            return
        if self._failed_starts >= FAILED_STARTS_MAX:
            self._fault = CommandError(
                f"{self._plan.config.service} ended: all its workers have ended, and"
                f" {self._failed_starts} starts failed; the lines before this one say why"
            )
            self._stop.set()


def supervise(plan: Plan, ready: Ready) -> None:
    """Serve until a signal. Raises ConfigError, CommandError or Exit if that fails."""
    from dovetail.server import main as server  # slow to load: only for commands that serve

    server.configure_log()
    with server.reserved(plan.config.listen) as address:
        asyncio.run(_run(plan, address, ready))


async def _run(plan: Plan, address: str, ready: Ready) -> None:
    await Supervisor(plan, address).run(ready)
