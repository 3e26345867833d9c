"""`dovetail group`: named sets of the team's agents."""

from __future__ import annotations

import click

from dovetail.cli import late
from dovetail.cli.lazy import LazyGroup
from dovetail.cli.options.calling import Session, calls
from dovetail.cli.options.paging import Part, paged
from dovetail.cli.options.values import LABEL, Labels, label_option
from dovetail.cli.output.exit_codes import NOT_FOUND, CommandError

group_argument = click.argument("group_id", metavar="GROUP")
etag_option = click.option("--etag", default="", help="Only if it still has this version.")


@click.group(cls=LazyGroup)
def group() -> None:
    """Make and show groups of agents."""


@group.command()
@group_argument
@click.argument("members", metavar="[AGENT]...", nargs=-1)
@click.option("--name", "display_name", default="", help="A name for people.")
@click.option("--label", "labels", type=LABEL, multiple=True, help="A label.")
@etag_option
@calls
async def put(  # noqa: PLR0913 - one parameter per option
    session: Session,
    group_id: str,
    members: tuple[str, ...],
    display_name: str,
    labels: Labels,
    etag: str,
) -> None:
    """Make a group of agents, or replace all of one that there is.

    Send to its members with: dovetail send --to-group GROUP TEXT
    """
    made = await session.agent.put_group(
        group_id, members, display_name=display_name, labels=dict(labels), etag=etag
    )
    session.out.item(made, late.render.group)


@group.command()
@group_argument
@calls
async def show(session: Session, group_id: str) -> None:
    """Show one group with its members."""
    session.out.item(await session.agent.group(group_id), late.render.group)


@group.command("list")
@click.option("--member", default="", help="Only those that have this agent.")
@label_option
@calls
@paged
async def list_(session: Session, member: str, labels: Labels, part: Part) -> None:
    """List the team's groups."""
    found = session.agent.groups(member, labels=dict(labels), page_token=part.page_token)
    await session.out.rows(part.of(found), late.lists.GROUPS)
    part.tell(session.out, found)


@group.command()
@group_argument
@etag_option
@calls
async def delete(session: Session, group_id: str, etag: str) -> None:
    """Delete a group; messages that were sent to it stay."""
    if not await session.agent.delete_group(group_id, etag=etag):
        raise CommandError(
            f"there is no group {group_id!r}. See all groups: dovetail group list", NOT_FOUND
        )
    session.out.facts(
        {"group_id": group_id}, lambda: f"deleted {group_id}", lambda _: f"{group_id} deleted"
    )
