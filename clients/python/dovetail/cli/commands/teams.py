"""`dovetail team`: the teams of the servers, and what they keep."""

from __future__ import annotations

from typing import Any

import click

from dovetail.cli import late
from dovetail.cli.lazy import LazyGroup
from dovetail.cli.options.admins import Administration, administers
from dovetail.cli.options.paging import Part, paged
from dovetail.cli.options.values import AGE, AMOUNT, MOST, NONE, Decorator, stacked

RULES = (
    ("messages", "message_age", "Keep acknowledged messages for this long."),
    ("messages-count", "message_count", "Keep this many messages, the newest."),
    ("unacknowledged", "unacknowledged_age", "Keep unacknowledged messages for this long."),
    ("notices", "notice_age", "Keep notices for this long, acknowledged or not."),
    ("ended-tasks", "task_age", "Keep ended tasks for this long."),
    ("ended-tasks-count", "task_count", "Keep this many ended tasks, the newest."),
    ("events", "event_age", "Keep the history of tasks for this long."),
    ("events-count", "event_count", "Keep this many events, the newest."),
    ("attempts", "attempt_age", "Keep ended attempts for this long."),
    ("attempts-count", "attempt_count", "Keep this many ended attempts of each task."),
)
LIMITS = (
    ("inbox-messages", "inbox_messages", "Unacknowledged messages in one inbox."),
    ("inbox-bytes", "inbox_bytes", "Their bytes: 1000000, 1M, 1G."),
    ("messages", "messages", "Messages that the team keeps."),
    ("bytes", "bytes", "Their bytes: 1000000, 1M, 1G."),
)
LOOPS = (
    ("hops", "hops_max", MOST, "The longest chain of messages of agents that answer each other."),
    (
        "thread-hour",
        "thread_messages_per_hour_max",
        MOST,
        "Messages of agents in a thread in an hour without a person.",
    ),
    ("depth", "depth_max", MOST, "How often agents may pass on what they are sent."),
    ("away", "away_max", AGE, "How long who is asked may be away before the asker is told."),
)


@click.group(cls=LazyGroup)
def team() -> None:
    """Create and list teams (admins).

    Say what they keep (operators too).
    """


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


@team.command()
@click.argument("team_id", metavar="TEAM")
@administers
async def show(session: Administration, team_id: str) -> None:
    """Show how much a team keeps, and its rules."""
    session.out.item(await session.admin.team(team_id), late.teams.team)


def _options(rows: tuple[tuple[str, str, str], ...]) -> Decorator:
    return stacked(
        *(
            click.option(f"--{word}", name, type=AGE if "_age" in name else AMOUNT, help=text)
            for word, name, text in rows
        )
    )


def _given(values: dict[str, Any], cleared: int | None, example: str) -> dict[str, Any]:
    """The options that were given; `cleared` stands for one that takes its rule away."""
    given = {
        name: cleared if value == NONE else value
        for name, value in values.items()
        if value is not None
    }
    if not given:
        raise click.UsageError(f"name what to set, such as {example}; see: dovetail team show")
    return given


@team.command()
@click.argument("team_id", metavar="TEAM")
@_options(RULES)
@administers
async def retention(session: Administration, team_id: str, **rules: Any) -> None:
    """Set what a team keeps; what is not named stays as it is.

    An age is 12h, 30d, 8w (at least 1h), forever, or default: as the servers are configured.
    Servers begin within a minute to remove what is no longer kept; it is gone for good.
    """
    given = _given(rules, None, "--messages 30d")
    session.out.item(await session.admin.set_retention(team_id, **given), late.teams.team)


@team.command()
@click.argument("team_id", metavar="TEAM")
@_options(LIMITS)
@administers
async def limits(session: Administration, team_id: str, **values: Any) -> None:
    """Set how much a team may keep; what is not named stays as it is.

    A message beyond a limit is refused; notices never are, and do not count. none: no limit.
    """
    given = _given(values, 0, "--inbox-messages 1000")
    session.out.item(await session.admin.set_limits(team_id, **given), late.teams.team)


@team.command()
@click.argument("team_id", metavar="TEAM")
@stacked(*(click.option(f"--{word}", name, type=kind, help=say) for word, name, kind, say in LOOPS))
@administers
async def loops(session: Administration, team_id: str, **values: Any) -> None:
    """Set what ends exchanges of agents that only answer each other.

    What is not named stays as it is. none: no limit; default: as the servers are configured; of
    --away, forever: nobody is told.
    """
    given = _given(values, None, "--hops 64")
    session.out.item(await session.admin.set_loop_limits(team_id, **given), late.teams.team)
