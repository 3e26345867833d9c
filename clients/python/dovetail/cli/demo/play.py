"""The demo from its first line to its last."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import cast

from rich.text import Text

from dovetail.cli.demo import story
from dovetail.cli.demo.stage import Stage
from dovetail.cli.demo.team import ROLES, Member, Pace, Planner
from dovetail.cli.options.calling import Servers
from dovetail.cli.output.printing import Output
from dovetail.cli.servers.children import cancel_on_signals, serving_for_now
from dovetail.client import Agent

STARTING = "Starting both services on a temporary store, for half a minute of work …\n"


@dataclass(frozen=True, kw_only=True)
class Setup:
    """The servers and the team of the demo, and whether they remain afterwards."""

    servers: Servers
    team_id: str
    lasting: bool


async def run(servers: Servers | None, speed: float, out: Output) -> None:
    """Play it on these servers, in a new team, or on temporary ones."""
    stage, pace = Stage(out), Pace(speed=speed)
    if servers is None:
        await _play_apart(stage, pace)
        return
    team_id = f"demo-{uuid.uuid4().hex[:8]}"
    await _play(Setup(servers=servers, team_id=team_id, lasting=True), stage, pace)


async def _play_apart(stage: Stage, pace: Pace) -> None:
    """Run the demo on temporary servers."""
    stage.remark(Text(STARTING, style="dim"))
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
