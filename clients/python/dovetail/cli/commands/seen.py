"""`dovetail seen`."""

from __future__ import annotations

import click

from dovetail.cli import late
from dovetail.cli.options.calling import Session, calls
from dovetail.cli.options.values import SEQUENCES, joined


@click.command()
@click.argument(
    "sequences", metavar="SEQUENCE...", nargs=-1, required=True, type=SEQUENCES, callback=joined
)
@calls
async def seen(session: Session, sequences: tuple[int, ...]) -> None:
    """Mark messages as seen, before you are done with them.

    They are named by their sequence in the inbox of --as. Their senders read it in the receipts;
    the messages stay unacknowledged.
    """
    count = await session.agent.mark_seen(sequences)
    session.out.item(
        late.messaging_pb2.MarkMessagesSeenResponse(seen_count=count), late.render.seen
    )
