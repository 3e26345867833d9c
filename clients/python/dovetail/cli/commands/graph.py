"""`dovetail task graph`: a drawing of the dependencies between tasks. It changes nothing."""

from __future__ import annotations

import click

from dovetail.cli.options.calling import Session, calls
from dovetail.cli.options.values import label_option


@click.command()
@click.argument("task_ids", metavar="[TASK]...", nargs=-1)
@label_option
@click.option("--watch", is_flag=True, help="Redraw it as work goes on, until all tasks ended.")
@click.option("--dot", is_flag=True, help="Print it in the language of Graphviz.")
@calls
async def graph(
    session: Session,
    task_ids: tuple[str, ...],
    labels: tuple[tuple[str, str], ...],
    watch: bool,
    dot: bool,
) -> None:
    """Draw what waits for what, and how far the work is.

    Draws the named tasks with all their dependencies and dependents; by default all tasks. With
    --json a line for each task, and with --watch another for each that changes.
    """
    if dot and (watch or not session.out.for_people):
        raise click.UsageError("--dot does not go with --watch or --json")
    from dovetail.cli.commands.drawing import Reader, show  # Slow to load: not for --help.

    await show(session, Reader(session, task_ids, dict(labels)), watch=watch, dot=dot)
