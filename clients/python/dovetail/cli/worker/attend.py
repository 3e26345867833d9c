"""`dovetail attend`: turns any program into an agent that reads its mail and replies."""
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
from dovetail.cli.options.values import LENGTH


@click.command(context_settings={"allow_interspersed_args": False})
@program_argument
@click.option("--text", "as_text", is_flag=True, help="It reads a prompt.")
@click.option("--session", "with_session", is_flag=True, help="DOVETAIL_SESSION_ID.")
@concurrency_option("Threads")
@time_limit_option
@click.option(
    "--attempts",
    type=click.IntRange(1, 100),
    metavar="N",
    default=5,
    show_default=True,
    help="Then leave messages aside.",
)
@click.option(
    "--hops",
    "hops_max",
    type=click.IntRange(1, 10_000),
    metavar="N",
    default=30,
    show_default=True,
    help="Replies to replies.",
)
@click.option("--max-turns", type=click.IntRange(1), metavar="N", help="End after so many turns.")
@click.option("--once", "max_turns", flag_value=1, type=int, help="End after one turn.")
@click.option("--until-idle", type=LENGTH, help="End when nothing came for this long.")
@grace_option
@calls
async def attend(
    session: Session,
    words: tuple[str, ...],
    as_text: bool,
    with_session: bool,
    concurrency: int,
    time_limit: timedelta | None,
    attempts: int,
    hops_max: int,
    max_turns: int | None,
    until_idle: timedelta | None,
    grace: timedelta,
) -> None:
    """Reply with COMMAND.

    It reads the new messages of a thread as JSON, and prints the reply, or nothing. Exit code 0
    acknowledges them, 64 to 78 except 75 leave them aside.
    """
    from dovetail.cli.worker.attending import Attendance, attend_to_inbox  # Slow to load.
    from dovetail.cli.worker.preparing import ProgramOptions

    if not (session.agent.agent_id or session.servers.has_token):
        raise click.UsageError("whose inbox? Name its agent: --as AGENT")
    await attend_to_inbox(
        session,
        Attendance(
            program=ProgramOptions(words=words, time_limit=time_limit),
            concurrency=concurrency,
            as_text=as_text,
            with_session=with_session,
            attempts=attempts,
            hops_max=hops_max,
            max_turns=max_turns,
            until_idle=until_idle,
            grace=grace,
        ),
    )
