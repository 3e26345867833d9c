"""`dovetail search` and `dovetail task search`."""
# ruff: noqa: PLR0913 - one parameter per option

from __future__ import annotations

from typing import Any

import click

from dovetail.cli import late
from dovetail.cli.commands.known import require_known, require_known_task
from dovetail.cli.commands.tasks import filters, task_filter
from dovetail.cli.options.calling import Session, calls
from dovetail.cli.options.paging import Part, paged
from dovetail.cli.options.values import Labels, label_option


def _spaced(_: click.Context, __: click.Parameter, words: tuple[str, ...]) -> str:
    """The words of a query as one text."""
    return " ".join(words)


query_argument = click.argument(
    "query",
    metavar="QUERY...",
    nargs=-1,
    required=True,
    callback=_spaced,
)


@click.command()
@query_argument
@click.option("--to", "recipient_id", default="", help="Only in this agent's inbox.")
@click.option("--from", "senders", multiple=True, help="Only from this sender.")
@click.option("--thread", "thread_id", default="", help="Only in this thread.")
@click.option("--task", "task_id", default="", help="Only about this task.")
@label_option
@calls
@paged
async def search(
    session: Session,
    query: str,
    recipient_id: str,
    senders: tuple[str, ...],
    thread_id: str,
    task_id: str,
    labels: Labels,
    part: Part,
) -> None:
    """Search messages, the newest first.

    All words must occur. `deploy*`: words that begin so; '"red ship"': these words one after the
    other. Case and accents make no difference.
    """
    filter = late.messaging_pb2.MessageFilter(
        sender_ids=senders, thread_id=thread_id, task_id=task_id, labels=dict(labels)
    )
    found = session.agent.search(
        query, recipient_id=recipient_id, filter=filter, page_token=part.page_token
    )
    printed = 0
    with session.out.listing(late.hits.message_hit, "no messages") as add:
        async for hit in part.of(found):
            add(hit)
            printed += 1
        if not printed:
            await require_known(session, senders)
            await require_known_task(session, task_id)
    part.tell(session.out, found)


@click.command("search")
@query_argument
@filters
@calls
@paged
async def search_tasks(session: Session, query: str, part: Part, **chosen: Any) -> None:
    """Search tasks, those created last first.

    All words must occur. `deploy*`: words that begin so; '"tier two"': these words one after the
    other. Case and accents make no difference.
    """
    found = session.agent.tasks.search(
        query, filter=task_filter(**chosen), page_token=part.page_token
    )
    printed = 0
    with session.out.listing(late.hits.task_hit, "no tasks") as add:
        async for hit in part.of(found):
            add(hit)
            printed += 1
        if not printed:
            await require_known(session, (*chosen["assignees"], *chosen["creators"]))
    part.tell(session.out, found)
