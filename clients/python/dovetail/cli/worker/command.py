"""`dovetail worker`: turns any program into an agent that works on ready tasks."""
# ruff: noqa: PLR0913 - one parameter per option

from __future__ import annotations

from datetime import timedelta

import click

from dovetail.cli.options.calling import Session, calls
from dovetail.cli.options.values import LENGTH, Labels, label_option, lease_option


@click.command(context_settings={"allow_interspersed_args": False})
@click.argument("words", metavar="COMMAND [ARG]...", nargs=-1, required=True)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 1_000),
    default=1,
    show_default=True,
    help="How many tasks at once.",
)
@label_option
@lease_option
@click.option("--time-limit", type=LENGTH, help="End a program that takes longer.")
@click.option("--max-tasks", type=click.IntRange(1), help="End after this many tasks.")
@click.option("--once", "max_tasks", flag_value=1, type=int, help="End after one task.")
@click.option("--until-idle", type=LENGTH, help="End when no task was ready for this long.")
@click.option(
    "--grace",
    type=LENGTH,
    default="10s",
    show_default=True,
    help="How long programs may take to finish when the worker is stopped.",
)
@calls
async def worker(
    session: Session,
    words: tuple[str, ...],
    concurrency: int,
    labels: Labels,
    lease_duration: timedelta | None,
    time_limit: timedelta | None,
    max_tasks: int | None,
    until_idle: timedelta | None,
    grace: timedelta,
) -> None:
    """Run COMMAND for each ready task, and end the task as COMMAND ends.

    COMMAND reads the task as a JSON object from its standard input. Its output is the result: a
    JSON object, or text. Exit code 0 completes the task; any other fails it, and it is tried again,
    except 64 to 78 without 75, which fail it for good. The worker renews the lease, and ends
    COMMAND when it no longer holds the task.

    SIGTERM and Ctrl-C stop the worker: it claims no more tasks, and releases those that are not
    finished within --grace. A second signal releases them at once. A program that is ended by the
    same signal has not failed: its task is released too.

    Processes that COMMAND leaves running end with it. Faults of the worker's own output (a reader
    that left, a full disk) lose lines of output, but no work.
    """
    from dovetail.cli.worker.running import Work, run_worker  # Slow to load: not for --help.

    await run_worker(
        session,
        Work(
            words=words,
            concurrency=concurrency,
            labels=dict(labels),
            lease_duration=lease_duration,
            time_limit=time_limit,
            max_tasks=max_tasks,
            until_idle=until_idle,
            grace=grace,
        ),
    )
