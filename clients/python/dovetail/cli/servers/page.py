"""The page beside both servers of `dovetail up`: a child of its own, which none of them needs."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from dovetail.cli.output.text import escape_controls
from dovetail.cli.servers.children import Children, Plan, last_error, opened_log
from dovetail.cli.servers.next_commands import near
from dovetail.cli.servers.processes import STOP_SECONDS, stop
from dovetail.cli.servers.tls import CA
from dovetail.settings import CLIENT, CONFIG, PREFIX, SERVER

LIBRARIES = ("connectrpc", "uvicorn")
OFF = "off"
START_SECONDS = 20.0


@dataclass(frozen=True, kw_only=True)
class Page:
    """Where the page is, or why there is none; neither where none was asked for."""

    url: str = ""
    fault: str = ""


@asynccontextmanager
async def page(plan: Plan, children: Children) -> AsyncGenerator[Page]:
    """Serve the page inside the block. Without it, both servers serve all the same."""
    if plan.web_listen == OFF:
        yield Page()
        return
    fault = _hindrance(plan)
    if fault:
        yield Page(fault=fault)
        return
    log = page_log(plan)
    with opened_log(log) as errors:
        start = errors.tell()
        process = await asyncio.create_subprocess_exec(
            *_command(plan, children),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            start_new_session=True,  # Ctrl-C at the terminal must reach only us.
            env=_environment(),
        )
    try:
        yield await _ready(process, log, start)
    finally:
        await stop(process, STOP_SECONDS)


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


def _command(plan: Plan, children: Children) -> list[str]:
    command = [sys.executable, "-m", "dovetail.cli", "web", "--json", "--until-stdin-closes"]
    command += [SERVER["web-listen"].flag, plan.web_listen]
    for child in children.each:
        command += [CLIENT[child.service].flag, near(child.address)]
    certificate: Path | None = plan.settings["tls_cert"]
    if certificate:
        ca = certificate.absolute().with_name(CA)
        command += [CLIENT["tls-ca"].flag, str(ca)] if ca.exists() else [CLIENT["tls"].flag]
    return command


def _environment() -> dict[str, str]:
    """Our environment without settings: those of a caller are for other servers."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return kept | {CONFIG.variable: os.devnull}


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
