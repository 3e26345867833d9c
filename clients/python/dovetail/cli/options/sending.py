"""The options of a message that say until when, on which condition, and why it is sent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

import click

from dovetail.cli.options.folded import FoldedOption
from dovetail.cli.options.values import EXPIRY, LENGTH, stacked


def _or_none(_: click.Context, __: click.Parameter, sequence: int | None) -> int:
    """A sequence; 0: there is none."""
    return sequence or 0


_folded = partial(click.option, cls=FoldedOption, topic="sending")

condition_options = stacked(
    _folded("--request-id", default="", help="A repeat with the same id is not sent again."),
    _folded("--expire", type=EXPIRY, help="From then on it is not delivered any more."),
    _folded(
        "--ack-deadline", type=LENGTH, help="A notice tells you who is not done with it by then."
    ),
    _folded("--if-task-etag", "task_etag", default="", help="Only if --task still has this etag."),
    _folded(
        "--cause",
        type=click.IntRange(1),
        callback=_or_none,
        metavar="SEQUENCE",
        help="The message of your inbox that led you to send this; --reply-to implies it.",
    ),
)


# Before the recipients, who may be left out beside it.
group_option = click.option(
    "--to-group",
    "groups",
    metavar="GROUP",
    multiple=True,
    is_eager=True,
    help="Also to the members of a group.",
)


def _check_addressed(
    context: click.Context, parameter: click.Parameter, recipients: Sequence[str]
) -> Sequence[str]:
    """Refuse a message to nobody."""
    if not recipients and not context.params.get("groups") and not context.resilient_parsing:
        raise click.MissingParameter(ctx=context, param=parameter)
    return recipients


recipients_argument = click.argument(
    "recipients", metavar="TO...", nargs=-1, callback=_check_addressed
)


def check_repeatable(request_id: str, expire: datetime | timedelta | None) -> None:
    """Refuse a length of time in what may be repeated: the repeat would be another request."""
    if request_id and isinstance(expire, timedelta):
        raise click.UsageError(
            "--expire needs a time beside --request-id, such as 2026-11-30T17:00: a length of time"
            " would mean another time in a repeat"
        )
