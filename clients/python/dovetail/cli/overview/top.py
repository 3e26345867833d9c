"""`dovetail top`: the team at work, on a screen that is drawn again and again."""

from __future__ import annotations

from datetime import timedelta

import click

from dovetail.cli.options.calling import Session, calls
from dovetail.cli.options.values import LENGTH


@click.command()
@click.option(
    "--every", type=LENGTH, default="2s", show_default=True, help="How often it is read again."
)
@click.option("--once", is_flag=True, help="Print it once.")
@calls
async def top(session: Session, every: timedelta, once: bool) -> None:
    """Watch the team at work.

    Until q or Ctrl-C it shows tasks by state, what is under way, ages, leases, throughput, and
    agents with their unread messages. Each look makes five calls. In the background, in a pipe,
    and with --json it prints one look.
    """
    from dovetail.cli.overview.watching import watch  # Slow to load: not for --help.

    await watch(session, every.total_seconds(), once=once)
