"""`dovetail demo`: the command."""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import cast

import click
from click.core import ParameterSource
from rich.text import Text

from dovetail.cli.demo import story
from dovetail.cli.demo.stage import Stage
from dovetail.cli.demo.team import ROLES, Member, Pace, Planner
from dovetail.cli.options.calling import Servers, failures_explained, server_options
from dovetail.cli.output.exit_codes import INTERRUPTED
from dovetail.cli.output.printing import Output
from dovetail.cli.servers.children import cancel_on_signals, serving_for_now
from dovetail.client import Agent


@dataclass(frozen=True, kw_only=True)
class Setup:
    """The servers and the team of the demo, and whether they remain afterwards."""

    servers: Servers
    team_id: str
    lasting: bool


@click.command()
@click.option("--here", is_flag=True, help="Use the running servers, in a new team.")
@server_options
@click.option(
    "--speed",
    type=click.FloatRange(0),
    default=1.0,
    show_default=True,
    help="2 is twice as fast, 0 has no pauses.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object per event, then the report."
)
@click.pass_context
def demo(context: click.Context, servers: Servers, here: bool, speed: float, as_json: bool) -> None:
    """Watch a small team of agents work.

    A planner, two coders, a reviewer and a writer exchange messages and tasks for half a minute, on
    temporary servers and a temporary store. With --here, --messaging or --tasks they use running
    ones.
    """
    named = {context.get_parameter_source(name) for name in ("messaging", "tasks")}
    here = here or ParameterSource.COMMANDLINE in named
    setup = Setup(servers=servers, team_id=f"demo-{uuid.uuid4().hex[:8]}", lasting=True)
    stage, pace = Stage(Output(as_json)), Pace(speed=speed)
    try:
        with failures_explained():
            asyncio.run(_play(setup, stage, pace) if here else _play_apart(stage, pace))
    except asyncio.CancelledError:
        sys.exit(INTERRUPTED)


async def _play_apart(stage: Stage, pace: Pace) -> None:
    """Run the demo on temporary servers."""
    async with serving_for_now() as children:
        servers = Servers(messaging=children.messaging.address, tasks=children.tasks.address)
        await _play(Setup(servers=servers, team_id="demo", lasting=False), stage, pace)


async def _play(setup: Setup, stage: Stage, pace: Pace) -> None:
    """Connect the team, let it work, and show the report."""
    cancel_on_signals()
    async with _together(setup) as agents:
        planner = Planner(agents[story.PLANNER], stage, pace)
        members = [role(agents[name], stage, pace) for name, role in ROLES.items()]
        stage.remark(Text.assemble((story.AIM, "bold"), "\nFive agents see to it:\n"))
        with stage.open():
            await _all_at_once((*members, planner))
        stage.report(await planner.report())
    stage.remark(Text(f"\n{_goodbye(setup)}"))


async def _all_at_once(members: tuple[Member, ...]) -> None:
    """Run all members at the same time. If one fails, the others stop."""
    try:
        async with asyncio.TaskGroup() as group:
            for member in members:
                group.create_task(member.run())
    except BaseExceptionGroup as failures:
        first = cast("BaseException", failures)
        while isinstance(first, BaseExceptionGroup):
            first = cast("BaseException", first.exceptions[0])
        raise first from failures


@asynccontextmanager
async def _together(setup: Setup) -> AsyncGenerator[dict[str, Agent]]:
    """All agents, connected and registered."""
    async with AsyncExitStack() as stack:
        agents: dict[str, Agent] = {}
        for name, role in story.NAMES.items():
            connection = setup.servers.connect(name, setup.team_id)
            agents[name] = await stack.enter_async_context(connection)
            await agents[name].register(display_name=role)
        yield agents


def _goodbye(setup: Setup) -> str:
    if not setup.lasting:
        return "Every step was on disk before its response. Now yours: dovetail up"
    return f"All of it is kept. Look again: dovetail thread --team {setup.team_id} load-test"
