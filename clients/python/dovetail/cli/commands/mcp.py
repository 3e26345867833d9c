"""`dovetail mcp`: an agent's calls as tools of the Model Context Protocol."""

from __future__ import annotations

import gc
import os
from datetime import timedelta
from types import ModuleType

import click

from dovetail.cli import late, signals
from dovetail.cli.options.calling import Session, calls
from dovetail.cli.options.values import lease_option
from dovetail.cli.output.exit_codes import INTERRUPTED, MISUSED, CommandError

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
@calls
async def mcp(session: Session, port: int | None, lease_duration: timedelta | None) -> None:
    """Serve tools to a model (MCP).

    It acts with them as the agent of --as, or of the token: no tool can name another. Its host
    starts this, and speaks to it by standard input and output. The end gives back the tasks that
    the session holds.
    """
    if not (session.agent.agent_id or session.servers.has_token):
        raise click.UsageError("whose tools? Name their agent: --as AGENT, or DOVETAIL_AGENT")
    server, tools = _load()
    bridge = tools.Bridge(
        agent=session.agent,
        place=tools.Place(
            team_id=session.known_team_id,
            messaging=session.servers.messaging,
            tasks=session.servers.tasks,
        ),
        lease=lease_duration or tools.LEASE,
    )
    served = server.build(bridge)
    stopped = _stopped_by_signals()  # By HTTP too, which sends itself the signal that ended it.
    async with bridge:
        if port is not None:
            await server.serve_http(served, port)
        elif not await server.serve_stdio(served, stopped):
            await bridge.close()
            os._exit(INTERRUPTED)  # A thread still waits for standard input, and would for ever.


def _load() -> tuple[ModuleType, ModuleType]:
    """The bridge, with the SDK: an extra, and slow to load."""
    gc.disable()  # It makes very many objects, and all of them stay.
    try:
        from dovetail.bridges.mcp import server, tools
    except ImportError as error:
        raise CommandError(f"{MISSING} ({error})", MISUSED) from error
    finally:
        gc.enable()
    return server, tools


def _stopped_by_signals() -> late.asyncio.Event:
    """Set when a signal asks the process to end."""
    stopped = late.asyncio.Event()
    for number in signals.ending_signals():
        late.asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    return stopped
