"""Both servers as child processes that never outlive their parent."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from dovetail.cli import signals
from dovetail.cli.output.exit_codes import FAILED, CommandError
from dovetail.cli.output.text import escape_controls
from dovetail.cli.servers.processes import (
    STOP_SECONDS,
    at_port_after,
    server_command,
    server_environment,
    stop,
)
from dovetail.cli.servers.serve import store_url
from dovetail.settings import CLIENT, CONFIG, PROFILE, SERVER

ANY_PORT = "127.0.0.1:0"
START_SECONDS = 60.0
ERROR = "dovetail: "
"""How an error begins in the log of a server."""

LAST_MESSAGE_BYTES = 2_000


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to start: the store, the addresses, the folder of the logs.

    `web_listen` is where the page listens; "off": there is none.

    `settings` are values of `SERVING` by key, which both servers get as flags.
    """

    store: str
    logs: Path
    messaging_listen: str
    tasks_listen: str
    web_listen: str = "off"
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def stop_seconds(self) -> float:
        """How long a server that was asked to stop may take before it is killed.

        Its workers stop one after another, and share the time for open calls.
        """
        return STOP_SECONDS * self._number("workers") + self._number("drain-seconds")

    def settings_of(self, service: str) -> Mapping[str, Any]:
        """The settings of one of both: tasks shows its metrics one port after messaging."""
        listen = self.settings.get("metrics_listen")
        if not listen or service == "messaging":
            return self.settings
        return {**self.settings, "metrics_listen": at_port_after(listen, 1)}

    def _number(self, name: str) -> float:
        return self.settings.get(SERVER[name].key, SERVER[name].default)


@dataclass(kw_only=True)
class Child:
    """One server. Its standard input is held open here, and closes when this process ends."""

    service: str
    process: asyncio.subprocess.Process
    log: Path
    log_start: int
    stop_seconds: float
    address: str = ""
    store: str = ""
    metrics: str = ""

    def last_message(self) -> str:
        """The last error line of its log: why it ended."""
        # Its option --listen has another name in the command that started it.
        own = SERVER[f"{self.service}-listen"].flag
        message = last_error(self.log, self.log_start).replace(SERVER["listen"].flag, own)
        return message or self._silent_end()

    def _silent_end(self) -> str:
        """The reason of an end without a message: a full disk, or it was killed."""
        log = escape_controls(str(self.log))
        if shutil.disk_usage(self.log.parent).free < LAST_MESSAGE_BYTES:
            return f"{self.service} ended, and there is no room for its log {log}: make room"
        return f"{self.service} ended without a message; its log is {log}"

    async def ready(self) -> None:
        """Wait until it has printed its address."""
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        if not line:
            code = await self.process.wait()
            raise CommandError(self.last_message(), code if code > 0 else FAILED)
        facts = json.loads(line)
        self.address, self.store = facts["address"], facts["store"]
        self.metrics = facts.get("metrics", "")

    async def stop(self) -> None:
        """Ask it to finish its calls and end; kill it if that takes too long."""
        await stop(self.process, self.stop_seconds)


@dataclass(frozen=True, kw_only=True)
class Children:
    """Both servers, serving."""

    messaging: Child
    tasks: Child

    @property
    def each(self) -> tuple[Child, Child]:
        """Both of them."""
        return self.messaging, self.tasks

    async def first_to_end(self) -> Child:
        """Wait until one of them ends, and return it."""
        waits = {asyncio.create_task(child.process.wait()): child for child in self.each}
        try:
            ended, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            return waits[ended.pop()]
        finally:
            for wait in waits:
                wait.cancel()


def last_error(log: Path, start: int) -> str:
    """The last error that a program of ours wrote to its log from `start` on; empty if none."""
    with log.open("rb") as file:
        size = log.stat().st_size
        # It was cut off meanwhile if it is shorter than it was.
        file.seek(max(start if start <= size else 0, size - LAST_MESSAGE_BYTES))
        lines = file.read().decode(errors="replace").strip().splitlines()
    found = [said for said in map(_error_in, lines) if said]
    return found[-1] if found else ""


def _error_in(line: str) -> str:
    """What an error that a server wrote says; empty if the line is none."""
    said = line.removeprefix(ERROR)
    # The way to help would be to that of `serve`.
    return "" if said == line else said.partition(". See: dovetail serve --help")[0]


def _opened_log(log: Path) -> IO[bytes]:
    name = escape_controls(str(log))
    try:
        return os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")
    except OSError as error:
        raise CommandError(
            f"the log {name} cannot be written: {error.strerror}. Name another folder for data"
            " and logs: --data-dir"
        ) from error


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(
            f"the data folder {escape_controls(str(folder))} cannot be created: {error.strerror}."
            " Name another: --data-dir"
        ) from error


@asynccontextmanager
async def serving(plan: Plan) -> AsyncGenerator[Children]:
    """Run both servers inside the block. Raises CommandError if one does not start."""
    _make_folder(plan.logs)
    messaging = await _start(plan, "messaging", plan.messaging_listen)
    children = Children(messaging=messaging, tasks=await _start(plan, "tasks", plan.tasks_listen))
    try:
        await _all_ready(children)
        yield children
    finally:
        await asyncio.gather(*(child.stop() for child in children.each))


@asynccontextmanager
async def serving_for_now() -> AsyncGenerator[Children]:
    """Run both servers inside the block, over a temporary store and at temporary ports.

    The clients' settings in the environment and the file are for other servers: they are removed.
    """
    for setting in (*CLIENT.values(), PROFILE):
        os.environ.pop(setting.variable, None)
    os.environ[CONFIG.variable] = os.devnull
    with tempfile.TemporaryDirectory(prefix="dovetail-") as folder:
        plan = Plan(
            store=store_url(None, Path(folder)),
            logs=Path(folder),
            messaging_listen=ANY_PORT,
            tasks_listen=ANY_PORT,
        )
        async with serving(plan) as children:
            yield children


def cancel_on_signals() -> None:
    """Cancel the current task at the signals that end a program, unless they are ignored."""
    task = asyncio.current_task()
    assert task is not None
    for number in signals.ending_signals():
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)


async def _all_ready(children: Children) -> None:
    waits = [asyncio.create_task(child.ready()) for child in children.each]
    try:
        async with asyncio.timeout(START_SECONDS):
            await asyncio.gather(*waits)
    except TimeoutError as error:
        raise CommandError(f"the servers did not start within {START_SECONDS:.0f} s") from error
    finally:
        for wait in waits:
            wait.cancel()


async def _start(plan: Plan, service: str, listen: str) -> Child:
    log = plan.logs / f"{service}.log"
    command = server_command(service, listen, plan.settings_of(service))
    process, log_start = await spawn(command, log, server_environment(plan.store))
    return Child(
        service=service,
        process=process,
        log=log,
        log_start=log_start,
        stop_seconds=plan.stop_seconds,
    )


async def spawn(
    command: Sequence[str], log: Path, environment: Mapping[str, str]
) -> tuple[asyncio.subprocess.Process, int]:
    """Start a child in a session of its own: Ctrl-C at the terminal must reach only us.

    Returns it, and where its part of the log begins.
    """
    with _opened_log(log) as errors:
        log_start = errors.tell()
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
            env=environment,
        )
    return process, log_start
