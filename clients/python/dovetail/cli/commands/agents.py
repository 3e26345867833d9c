"""`dovetail agent`: the team's agents."""

from __future__ import annotations

import click

from dovetail.cli import late
from dovetail.cli.lazy import LazyGroup
from dovetail.cli.options.calling import Session, calls
from dovetail.cli.options.paging import Part, paged
from dovetail.cli.options.values import LABEL, Labels, Word, label_option

KINDS = ("model", "person", "service")

kind_option = click.option("--kind", type=Word(KINDS), default=None, help="What it is.")
etag_option = click.option("--etag", default="", help="Only if it still has this version.")


@click.group(cls=LazyGroup)
def agent() -> None:
    """Register and show agents."""


@agent.command()
@click.argument("agent_id", metavar="[AGENT]", default="")
@click.option("--name", "display_name", default="", help="A name for people.")
@label_option
@kind_option
@calls
async def register(
    session: Session, agent_id: str, display_name: str, labels: Labels, kind: str | None
) -> None:
    """Register an agent, so that others can send to it. Default: the agent of --as."""
    agent = await session.agent.register(
        agent_id, display_name=display_name, labels=dict(labels), kind=kind or 0
    )
    session.out.item(agent, lambda each: late.lists.AGENTS([each]))


@agent.command()
@click.argument("agent_id", metavar="[AGENT]", default="")
@click.option("--name", "display_name", default=None, help="A name for people.")
@click.option("--label", "labels", type=LABEL, multiple=True, help="Replaces all its labels.")
@click.option("--no-labels", is_flag=True, help="It has none any more.")
@kind_option
@etag_option
@calls
async def update(  # noqa: PLR0913 - one parameter per option
    session: Session,
    agent_id: str,
    display_name: str | None,
    labels: Labels,
    no_labels: bool,
    kind: str | None,
    etag: str,
) -> None:
    """Change what is said of an agent. Default: of the agent of --as."""
    if no_labels and labels:
        raise click.UsageError("--no-labels does not go with --label")
    new = {
        "display_name": display_name,
        "labels": dict(labels) if labels or no_labels else None,
        "kind": kind,
    }
    changes = {name: value for name, value in new.items() if value is not None}
    if not changes:
        raise click.UsageError("say what to change: --name, --label or --kind")
    agent = await session.agent.update_agent(agent_id, etag=etag, **changes)  # type: ignore[arg-type]
    session.out.item(agent, lambda each: late.lists.AGENTS([each]))


@agent.command()
@click.argument("agent_id", metavar="AGENT")
@etag_option
@calls
async def remove(session: Session, agent_id: str, etag: str) -> None:
    """Remove an agent that has no open task.

    Others cannot send to it any more. What it has not read stays in its inbox, and the senders are
    told. Its next write registers it again, so revoke its tokens too if it must not come back.
    """
    session.out.item(await session.agent.remove_agent(agent_id, etag=etag), late.render.removed)


@agent.command()
@click.argument("agent_id", metavar="[AGENT]", default="")
@calls
async def show(session: Session, agent_id: str) -> None:
    """Show one agent. Default: the agent of --as."""
    agent = await session.agent.agent(agent_id)
    session.out.item(agent, lambda each: late.lists.AGENTS([each]))


@agent.command("list")
@label_option
@click.option("--removed", "include_removed", is_flag=True, help="Also those that were removed.")
@calls
@paged
async def list_(session: Session, labels: Labels, include_removed: bool, part: Part) -> None:
    """List the team's agents."""
    found = session.agent.agents(
        labels=dict(labels), include_removed=include_removed, page_token=part.page_token
    )
    await session.out.rows(part.of(found), late.lists.AGENTS)
    part.tell(session.out, found)
