"""`dovetail task history`: what was done to a task, or happened to it."""
# ruff: noqa: PLR0913 - one parameter per option

from __future__ import annotations

import click

from dovetail.cli import late
from dovetail.cli.commands.known import require_known
from dovetail.cli.options.calling import Session, calls
from dovetail.cli.options.paging import Part, paged
from dovetail.cli.options.values import Word

VERBS = (
    *("create", "update", "delete", "assign", "unassign", "claim", "start", "heartbeat"),
    *("release", "request_input", "provide_input", "complete", "fail", "cancel", "reopen"),
    *("expire_lease", "become_ready", "fail_dependency", "become_overdue"),
)


@click.command()
@click.argument("task_id", metavar="[TASK]", default="")
@click.option("--actor", "actors", multiple=True, metavar="AGENT", help="By this agent.")
@click.option("--verb", "verbs", type=Word(VERBS), multiple=True, help="Only these changes.")
@click.option("--newest", is_flag=True, help="The newest first.")
@calls
@paged
async def history(
    session: Session,
    task_id: str,
    actors: tuple[str, ...],
    verbs: tuple[str, ...],
    newest: bool,
    part: Part,
) -> None:
    """Show what was done to a task; without TASK, to all tasks."""
    found = session.agent.tasks.events(
        task_id=task_id,
        actor=actors or None,
        verbs=verbs or None,
        order="newest_first" if newest else "oldest_first",
        page_token=part.page_token,
    )
    await session.out.rows(
        part.of(found), late.lists.EVENTS, lambda: require_known(session, actors)
    )
    part.tell(session.out, found)
