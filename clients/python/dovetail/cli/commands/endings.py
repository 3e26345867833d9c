"""`dovetail message reject` and `withdraw`: messages that are not to be acted on."""

from __future__ import annotations

import click

from dovetail.cli import late
from dovetail.cli.options.calling import Session, calls
from dovetail.cli.options.texts import REASON
from dovetail.cli.options.values import SEQUENCES, joined


@click.command()
@click.argument(
    "sequences", metavar="SEQUENCE...", nargs=-1, required=True, type=SEQUENCES, callback=joined
)
@click.option("--reason", type=REASON, required=True, help="Why, for their senders.")
@calls
async def reject(session: Session, sequences: tuple[int, ...], reason: str) -> None:
    """Reject messages that you cannot act on.

    They are named by their sequence in the inbox of --as. They leave it, and a notice tells their
    senders why. What you acknowledged before cannot be rejected.
    """
    session.out.item(await session.agent.reject(sequences, reason), late.render.rejected)


@click.command()
@click.argument("message_id", metavar="MESSAGE")
@calls
async def withdraw(session: Session, message_id: str) -> None:
    """Take back a message that you sent.

    It leaves the inboxes of those that are not done with it. It can still be read, and who read it
    before may have acted on it.
    """
    session.out.item(await session.agent.withdraw(message_id), late.render.withdrawn)
