"""`dovetail worker`: turns any program into an agent that works on ready tasks."""
# ruff: noqa: PLR0913 - one parameter per option

from __future__ import annotations

from datetime import timedelta

import click

from dovetail.cli.options.calling import Session, calls
from dovetail.cli.options.programs import (
    concurrency_option,
    grace_option,
    program_argument,
    time_limit_option,
)
from dovetail.cli.options.values import LENGTH, Labels, label_option, lease_option


@click.command(context_settings={"allow_interspersed_args": False})
@program_argument
@concurrency_option("Tasks")
@label_option
@lease_option
@time_limit_option
@click.option("--max-tasks", type=click.IntRange(1), metavar="N", help="End after so many tasks.")
@click.option("--once", "max_tasks", flag_value=1, type=int, help="End after one task.")
@click.option("--until-idle", type=LENGTH, help="End when none was ready for this long.")
@grace_option
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
    """Run COMMAND for each ready task.

    COMMAND reads the task as JSON, and prints the result: a JSON object, or text. Exit code 0
    completes the task, 64 to 78 except 75 fail it for good, others are tried again. At SIGTERM or
    Ctrl-C the worker releases what is not finished within --grace.
    """
    from dovetail.cli.worker.preparing import ProgramOptions  # Slow to load: not for --help.
    from dovetail.cli.worker.running import Work, run_worker

    await run_worker(
        session,
        Work(
            program=ProgramOptions(words=words, time_limit=time_limit),
            concurrency=concurrency,
            labels=dict(labels),
            lease_duration=lease_duration,
            max_tasks=max_tasks,
            until_idle=until_idle,
            grace=grace,
        ),
    )
