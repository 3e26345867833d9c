"""`dovetail agent`: the team's agents."""

from __future__ import annotations

import click

from dovetail.cli import late
from dovetail.cli.lazy import LazyGroup
from dovetail.cli.options.calling import Session, calls
from dovetail.cli.options.paging import Part, paged
from dovetail.cli.options.values import label_option


@click.group(cls=LazyGroup)
def agent() -> None:
    """Register and show agents."""


@agent.command()
@click.argument("agent_id", metavar="[AGENT]", default="")
@click.option("--name", "display_name", default="", help="A name for people.")
@label_option
@calls
async def register(
    session: Session, agent_id: str, display_name: str, labels: tuple[tuple[str, str], ...]
) -> None:
    """Register an agent, so that others can send to it. Default: the agent of --as."""
    agent = await session.agent.register(agent_id, display_name=display_name, labels=dict(labels))
    session.out.item(agent, lambda each: late.lists.AGENTS([each]))


@agent.command()
@click.argument("agent_id", metavar="[AGENT]", default="")
@calls
async def show(session: Session, agent_id: str) -> None:
    """Show one agent. Default: the agent of --as."""
    agent = await session.agent.agent(agent_id)
    session.out.item(agent, lambda each: late.lists.AGENTS([each]))


@agent.command("list")
@label_option
@calls
@paged
async def list_(session: Session, labels: tuple[tuple[str, str], ...], part: Part) -> None:
    """List the team's agents."""
    found = session.agent.agents(labels=dict(labels), page_token=part.page_token)
    await session.out.rows(part.of(found), late.lists.AGENTS)
    part.tell(session.out, found)
