"""A server as a child process: its command line, its environment, its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Mapping
from typing import Any

from dovetail.cli.options.settings import SERVING
from dovetail.settings import CONFIG, PREFIX, SERVER

STOP_SECONDS = 5.0
"""How long a server may take to end, in addition to the time for its open calls."""


def server_command(service: str, listen: str, settings: Mapping[str, Any]) -> list[str]:
    """The command that starts a server, which stops when its standard input closes.

    `settings` are values of `SERVING` by key; those without a value are left out. Secrets are not
    among them.
    """
    command = [sys.executable, "-m", "dovetail.cli", "serve", service, "--json"]
    command += ["--until-stdin-closes", "--listen", listen]
    for setting in SERVING:
        value = settings.get(setting.key)
        if value is not None and value is not False and value != "":
            command += [setting.flag] if setting.is_switch else [setting.flag, str(value)]
    return command


def at_port_after(listen: str, by: int) -> str:
    """HOST:PORT with a port that is higher; any free one (port 0), and what is none, stay."""
    host, _, port = listen.rpartition(":")
    return f"{host}:{int(port) + by}" if port.isdecimal() and int(port) else listen


def bare_environment() -> dict[str, str]:
    """Our environment without settings: a child gets only those of its command line."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return kept | {CONFIG.variable: os.devnull}


def server_environment(store: str) -> dict[str, str]:
    """The environment of a server: the store is no flag, because it may have a password."""
    return bare_environment() | {SERVER["store"].variable: store}


async def stop(process: asyncio.subprocess.Process, seconds: float) -> bool:
    """Ask a server to finish its calls and end; kill it if that takes too long.

    Returns whether it ended by itself.
    """
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(seconds):
            await process.wait()
    except (TimeoutError, asyncio.CancelledError):
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        return False
    return True
