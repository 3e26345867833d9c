"""The page beside both servers of `dovetail up`: a child of its own, which none of them needs."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from dovetail.cli.output.text import escape_controls
from dovetail.cli.servers.children import Children, Plan, last_error, spawn
from dovetail.cli.servers.next_commands import reach
from dovetail.cli.servers.processes import STOP_SECONDS, bare_environment, stop
from dovetail.settings import CLIENT, SERVER

LIBRARIES = ("connectrpc", "uvicorn")
OFF = "off"
START_SECONDS = 20.0
PAUSE_SECONDS, PAUSE_SECONDS_MAX = 1.0, 60.0
"""Before it is started again; doubled while it does not come up."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """Where the page is, or why there is none; neither where none was asked for."""

    url: str = ""
    fault: str = ""


@asynccontextmanager
async def page(plan: Plan, children: Children) -> AsyncGenerator[Page]:
    """Serve the page inside the block. Without it, both servers serve all the same."""
    fault = "" if plan.web_listen == OFF else _hindrance(plan)
    if plan.web_listen == OFF or fault:
        yield Page(fault=fault)
        return
    server = _Server(plan, children)
    try:
        shown = await server.start(plan.web_listen)
        keeping = asyncio.create_task(server.keep(shown))
        try:
            yield shown
        finally:
            keeping.cancel()
    finally:
        await server.stop()


class _Server:
    """The page's server as a child, which is started again if it ends by itself."""

    def __init__(self, plan: Plan, children: Children) -> None:
        self._plan = plan
        self._children = children
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, listen: str) -> Page:
        """Start it, and wait until it serves or has ended."""
        log = page_log(self._plan)
        command = _command(self._plan, self._children, listen)
        self._process, log_start = await spawn(command, log, bare_environment())
        return await _ready(self._process, log, log_start)

    async def keep(self, shown: Page) -> None:
        """Start it again at the same address whenever it has ended; not if it never served."""
        listen, pause = shown.url.removeprefix("http://").rstrip("/"), PAUSE_SECONDS
        while listen and self._process:
            await self._process.wait()
            await asyncio.sleep(pause)
            again = await self.start(listen)
            pause = PAUSE_SECONDS if again.url else min(2 * pause, PAUSE_SECONDS_MAX)

    async def stop(self) -> None:
        """End it."""
        if self._process:
            await stop(self._process, STOP_SECONDS)


def page_log(plan: Plan) -> Path:
    """Where the page's server writes its log."""
    return plan.logs / "web.log"


def _hindrance(plan: Plan) -> str:
    """Why the page cannot be served; empty if it can."""
    if not all(map(find_spec, LIBRARIES)):
        return "not installed: pip install 'dovetail[web]'"
    if plan.settings["tls_client_ca"]:
        return "the servers ask for a client's certificate: start it by itself, dovetail web"
    return ""


def _command(plan: Plan, children: Children, listen: str) -> list[str]:
    command = [sys.executable, "-m", "dovetail.cli", "web", "--json", "--until-stdin-closes"]
    command += [SERVER["web-listen"].flag, listen]
    reached = reach(plan, {child.service: child.address for child in children.each}).values
    for key, value in reached.items():
        command += [CLIENT[key.replace("_", "-")].flag, value]
    if plan.settings["tls_cert"] and "tls_ca" not in reached:
        command.append(CLIENT["tls"].flag)
    return command


async def _ready(process: asyncio.subprocess.Process, log: Path, start: int) -> Page:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_SECONDS):
            line = await process.stdout.readline()
    except TimeoutError:
        return Page(fault=f"it did not start within {START_SECONDS:.0f} s")
    if line:
        return Page(url=json.loads(line)["web"])
    await process.wait()
    return Page(fault=last_error(log, start) or f"see {escape_controls(str(log))}")
