"""`dovetail task attempts`: each time that a task was started, and how that ended."""

from __future__ import annotations

import click

from dovetail.cli import late
from dovetail.cli.options.calling import Session, calls
from dovetail.cli.options.paging import Part, paged


@click.command()
@click.argument("task_id", metavar="TASK")
@click.option("--newest", is_flag=True, help="The newest first.")
@calls
@paged
async def attempts(session: Session, task_id: str, newest: bool, part: Part) -> None:
    """Show the attempts at a task.

    Who held it, for how long, its failure or reason, and what its holder brought too late.
    """
    found = session.agent.tasks.attempts(
        task_id,
        order="newest_first" if newest else "oldest_first",
        page_token=part.page_token,
    )
    await session.out.rows(part.of(found), late.lists.ATTEMPTS)
    part.tell(session.out, found)
