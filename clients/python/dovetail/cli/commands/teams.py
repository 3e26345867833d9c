"""`dovetail team`: the teams of the servers."""

from __future__ import annotations

import click

from dovetail.cli import late
from dovetail.cli.lazy import LazyGroup
from dovetail.cli.options.admins import Administration, administers


@click.group(cls=LazyGroup)
def team() -> None:
    """Create and list teams, as an admin."""


@team.command()
@click.argument("team_id", metavar="TEAM")
@administers
async def create(session: Administration, team_id: str) -> None:
    """Create a team; an existing team is not changed."""
    created = await session.admin.create_team(team_id)
    session.out.item(created, lambda each: late.lists.TEAMS([each]))


@team.command("list")
@administers
async def list_(session: Administration) -> None:
    """List all teams."""
    await session.out.rows(session.admin.teams(page_size=1_000), late.lists.TEAMS)
