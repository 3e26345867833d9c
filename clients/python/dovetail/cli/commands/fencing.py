"""`--for-llm`: what others wrote stands between marks, for a model that reads what is printed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import click

from dovetail.cli import late
from dovetail.cli.options.calling import Session

if TYPE_CHECKING:
    from dovetail.bridges.texts import FencedTexts

FOR_LLM = "dovetail.for_llm"


def _record(context: click.Context, _: click.Parameter, value: bool) -> None:
    context.meta[FOR_LLM] = value


for_llm_option = click.option(
    "--for-llm",
    is_flag=True,
    expose_value=False,
    callback=_record,
    help="For a model: what others wrote stands between marks.",
)


def is_for_llm() -> bool:
    """Whether a model reads what the command prints."""
    return bool(click.get_current_context().meta.get(FOR_LLM))


def fenced_texts(session: Session) -> FencedTexts:
    """What this command shows to a model. Raises UsageError if another form is asked for too."""
    if not session.out.for_people:
        raise click.UsageError("--for-llm does not go with --json, --fields or --brief")
    from dovetail.bridges.senders import Senders  # With the client: not for --help.
    from dovetail.bridges.texts import FencedTexts, Ways

    ways = Ways(
        message="dovetail message show --for-llm {id}",
        rest="dovetail message show {id} --fields message.body",
        task="dovetail task show {id} --json",
    )
    return FencedTexts(Senders(session.agent), ways)


@asynccontextmanager
async def deliveries(
    session: Session, nothing: str
) -> AsyncGenerator[Callable[[late.client.ReceivedMessage], None]]:
    """Print messages of an inbox: each as it comes, or for a model all of them at the end."""
    if not is_for_llm():
        shown = late.messages.Messages(session.out.max_chars)
        with session.out.listing(shown.delivery, nothing) as add:
            yield lambda message: add(message.delivery)
        return
    texts = fenced_texts(session)
    found: list[late.client.ReceivedMessage] = []
    yield found.append
    session.out.remark(await texts.messages(found) if found else nothing)
