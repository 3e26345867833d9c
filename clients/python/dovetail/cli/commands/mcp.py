"""`dovetail mcp`: an agent's calls as tools of the Model Context Protocol."""
# ruff: noqa: PLR0913 - one parameter per option

from __future__ import annotations

import gc
import os
from datetime import timedelta
from types import ModuleType

import click

from dovetail.cli import late, signals
from dovetail.cli.options.calling import (
    DEFAULT_TEAM,
    Servers,
    failures_explained,
    server_options,
)
from dovetail.cli.options.settings import with_settings
from dovetail.cli.options.values import lease_option
from dovetail.cli.output.exit_codes import INTERRUPTED, MISUSED, CommandError
from dovetail.settings import CLIENT

MISSING = "tools for models are served by mcp: pip install 'dovetail[mcp]'"


@click.command()
@click.option(
    "--http",
    "port",
    type=click.IntRange(1, 65_535),
    metavar="PORT",
    help="Serve HTTP at 127.0.0.1:PORT/mcp instead.",
)
@lease_option
@with_settings(*(CLIENT[name] for name in ("agent", "team", "timeout", "patience")))
@server_options
def mcp(
    servers: Servers,
    port: int | None,
    lease_duration: timedelta | None,
    agent: str,
    team: str,
    timeout: float,
    patience: float | None,
) -> None:
    """Serve tools to a model (MCP).

    It acts with them as the agent of --as, or of the token: no tool can name another. Its host
    starts this, and speaks to it by standard input and output. The end gives back the tasks that
    the session holds.
    """
    if not (agent or servers.has_token):
        raise click.UsageError("whose tools? Name their agent: --as AGENT, or DOVETAIL_AGENT")
    server, session = _load()
    place = session.Place(
        team_id=team or ("" if servers.has_token else DEFAULT_TEAM),
        messaging=servers.messaging,
        tasks=servers.tasks,
    )

    async def serve() -> None:
        stopped = _stopped_by_signals()  # By HTTP too, which sends itself the signal it ended by.
        async with (
            servers.connect(agent, team, timeout, patience) as caller,
            session.Bridge(
                agent=caller, place=place, lease=lease_duration or session.LEASE
            ) as bridge,
        ):
            if port is not None:
                await server.serve_http(server.build(bridge), port)
            elif not await server.serve_stdio(server.build(bridge), stopped):
                await bridge.close()
                os._exit(INTERRUPTED)  # A thread still waits for standard input, for ever.

    with failures_explained(servers):
        late.asyncio.run(serve())


def _load() -> tuple[ModuleType, ModuleType]:
    """The bridge, with the SDK: an extra, and slow to load."""
    gc.disable()  # It makes very many objects, and all of them stay.
    try:
        from dovetail.bridges.mcp import server, session
    except ImportError as error:
        raise CommandError(f"{MISSING} ({error})", MISUSED) from error
    finally:
        gc.enable()
    return server, session


def _stopped_by_signals() -> late.asyncio.Event:
    """Set when a signal asks the process to end."""
    stopped = late.asyncio.Event()
    for number in signals.ending_signals():
        late.asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    return stopped
