"""`dovetail team`: the teams of the servers."""

from __future__ import annotations

import click

from dovetail.cli import late
from dovetail.cli.lazy import LazyGroup
from dovetail.cli.options.admins import Administration, administers
from dovetail.cli.options.paging import Part, paged


@click.group(cls=LazyGroup)
def team() -> None:
    """Create and list teams (admins)."""


@team.command()
@click.argument("team_id", metavar="TEAM")
@administers
async def create(session: Administration, team_id: str) -> None:
    """Create a team; an existing team is not changed."""
    created = await session.admin.create_team(team_id)
    session.out.item(created, lambda each: late.lists.TEAMS([each]))


@team.command("list")
@administers
@paged
async def list_(session: Administration, part: Part) -> None:
    """List the teams."""
    found = session.admin.teams(page_token=part.page_token)
    await session.out.rows(part.of(found), late.lists.TEAMS)
    part.tell(session.out, found)
