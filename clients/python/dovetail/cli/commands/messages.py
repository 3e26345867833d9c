"""`dovetail send`, `inbox`, `acknowledge`, `thread` and `message`."""
# ruff: noqa: PLR0913 - one parameter per option

from __future__ import annotations

import itertools
import shlex
from collections.abc import AsyncIterator
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import click
from click.core import ParameterSource

from dovetail.cli import late
from dovetail.cli.commands.fencing import (
    deliveries,
    fenced_texts,
    for_llm_option,
    is_for_llm,
)
from dovetail.cli.commands.known import require_known, require_known_task, thread_of
from dovetail.cli.lazy import LazyGroup, lazy_commands
from dovetail.cli.options import sending
from dovetail.cli.options.calling import Session, calls
from dovetail.cli.options.files import attach_option, link_option
from dovetail.cli.options.formats import all_chars_option, max_chars_option
from dovetail.cli.options.paging import Part, limit_option, paged
from dovetail.cli.options.texts import BODY, OBJECT, allow_empty_option
from dovetail.cli.options.values import (
    SEQUENCES,
    Length,
    Word,
    acknowledge_option,
    joined,
    label_option,
)
from dovetail.cli.output.exit_codes import NO_ANSWER, NOTHING_CAME, CommandError

SEQUENCES_MAX = 1_000
MESSAGES_MAX = 1_000
WAIT_SECONDS_MAX = 50
IMPORTANCES = ("low", "normal", "high")


@click.command()
@sending.recipients_argument
@click.argument("body", metavar="TEXT", type=BODY)
@sending.group_option
@click.option("--subject", default="", help="A line above the text.")
@click.option("--data", type=OBJECT, help="Structured content beside the text.")
@click.option("--thread", "thread_id", default="", help="The thread it belongs to.")
@click.option("--reply-to", "in_reply_to", default="", help="The message that it replies to.")
@click.option("--task", "task_id", default="", help="The task that it is about.")
@click.option(
    "--importance",
    type=Word(IMPORTANCES),
    default="normal",
    show_default=True,
    help="How important it is.",
)
@sending.condition_options
@attach_option()
@link_option
@acknowledge_option
@label_option
@allow_empty_option
@calls
async def send(
    session: Session,
    recipients: tuple[str, ...],
    body: str,
    subject: str,
    data: dict[str, object] | None,
    thread_id: str,
    in_reply_to: str,
    task_id: str,
    importance: str,
    request_id: str,
    acknowledge: tuple[int, ...],
    attachments: tuple[late.client.Attachment, ...],
    links: tuple[late.client.Attachment, ...],
    labels: tuple[tuple[str, str], ...],
    **conditions: Any,
) -> None:
    """Send TEXT to agents.

    TEXT may be `-` (standard input) or `@FILE`; `@@…` is a text that begins with @.
    """
    sending.check_repeatable(request_id, conditions["expire"])
    response = await session.agent.send(
        recipients,
        body,
        subject=subject,
        data=data,
        thread_id=thread_id,
        in_reply_to=in_reply_to,
        task_id=task_id,
        importance=late.messaging_pb2.Importance.Value(f"IMPORTANCE_{importance.upper()}"),
        labels=dict(labels),
        request_id=request_id,
        acknowledge=acknowledge,
        **conditions,
        attachments=(*attachments, *links),
    )
    session.out.item(response, late.render.sent)


@click.command()
@click.argument("agent_id", metavar="[AGENT]", default="")
@click.option("--follow", is_flag=True, help="Then print what arrives, until Ctrl-C.")
@click.option("--all", "everything", is_flag=True, help="Also acknowledged messages.")
@click.option("--after", "after_sequence", type=int, help="Only messages after this sequence.")
@limit_option
@max_chars_option
@for_llm_option
@click.option("--acknowledge", "--ack", "ack", is_flag=True, help="Acknowledge what is printed.")
@click.option(
    "--wait",
    type=Length(0, WAIT_SECONDS_MAX),
    help="For scripts: print what is there, or wait this long for it; exit code 7: nothing came.",
)
@click.option(
    "--ack-through",
    type=click.IntRange(1),
    metavar="SEQUENCE",
    help="With --wait: first acknowledge all up to this one.",
)
@calls
async def inbox(
    session: Session,
    agent_id: str,
    follow: bool,
    everything: bool,
    after_sequence: int | None,
    limit: int,
    ack: bool,
    wait: timedelta | None,
    ack_through: int | None,
) -> None:
    """Show unacknowledged messages. Default: the inbox of --as."""
    if wait is not None and (follow or everything or after_sequence is not None):
        raise click.UsageError("--wait does not go with --follow, --all or --after")
    if follow and is_for_llm():
        raise click.UsageError("--for-llm does not go with --follow: a mark is for one output")
    if wait is None and ack_through is not None:
        raise click.UsageError("--ack-through needs --wait; or use: dovetail acknowledge")
    owner = (
        (await session.agent.agent(agent_id)).agent_id if agent_id else await _own_agent_id(session)
    )
    if wait is not None:
        await _receive(session, owner, wait.total_seconds(), limit, ack_through or 0, ack)
        return
    with late.readers.ending_with_reader() if follow else nullcontext():
        async with session.agent.inbox(
            owner, include_acknowledged=everything, after_sequence=after_sequence
        ) as stream:
            if follow:
                await _follow(session, stream, 0 if _is_default("limit") else limit, ack)
                return
            nothing = "nothing" if everything else "nothing unacknowledged"
            printed = await _print_backlog(
                session, _backlog(stream, session.timeout), limit, nothing
            )
            for sequences in _batches(printed if ack else []):
                await session.agent.acknowledge(sequences, agent_id=owner)


async def _print_backlog(
    session: Session, backlog: AsyncIterator[late.client.ReceivedMessage], limit: int, nothing: str
) -> list[int]:
    """Print what is there, up to a limit; return its sequences."""
    printed: list[int] = []
    is_more = False
    async with deliveries(session, nothing) as add:
        async for message in backlog:
            is_more = bool(limit) and len(printed) == limit
            if is_more:
                break
            add(message)
            printed.append(message.sequence)
    if is_more and _is_default("limit"):
        session.out.more(limit, f"--after {printed[-1]}")
    return printed


def _is_default(parameter: str) -> bool:
    source = click.get_current_context().get_parameter_source(parameter)
    return source is ParameterSource.DEFAULT


@click.command()
@click.argument("sequences", metavar="[SEQUENCE]...", nargs=-1, type=SEQUENCES, callback=joined)
@click.option("--through", type=click.IntRange(1), default=None, help="All up to this sequence.")
@calls
async def acknowledge(session: Session, sequences: tuple[int, ...], through: int | None) -> None:
    """Acknowledge messages. They are named by their sequence in the inbox of --as."""
    if not sequences and through is None:
        raise click.UsageError("name the messages: SEQUENCE..., or --through SEQUENCE")
    response = await session.agent.acknowledge(sequences, through=through or 0)
    session.out.item(response, late.render.acknowledged)


@click.command()
@click.argument("thread_id", metavar="THREAD")
@max_chars_option
@calls
@paged
async def thread(session: Session, thread_id: str, part: Part) -> None:
    """Show a thread. THREAD is its id, or that of a message or task in it."""
    found = _thread_messages(session, thread_id, part)
    messages = [record async for record in part.of(found)]
    if not messages:
        thread_id = await thread_of(session, thread_id)
        found = _thread_messages(session, thread_id, part)
        messages = [record async for record in part.of(found)]
    shown = late.messages.Messages(session.out.max_chars)
    with session.out.listing(shown.of_thread, "no messages") as add:
        for message in messages:
            add(message)
    part.tell(session.out, found, f"dovetail thread {shlex.quote(thread_id)}")


@click.group(cls=LazyGroup)
def message() -> None:
    """Show messages and their receipts."""


for each in lazy_commands(
    ("save", "commands.saving:of_message", "Save the attachments of a message."),
).values():
    message.add_command(each)


@message.command()
@click.argument("message_id", metavar="MESSAGE")
@click.option("--receipts", is_flag=True, help="List its receipts instead.")
@all_chars_option
@for_llm_option
@calls
@paged
async def show(session: Session, message_id: str, receipts: bool, part: Part) -> None:
    """Show one message, with the receipts of its first ten recipients.

    A receipt says what is known of a recipient: that the message was sent to it (handed out), that
    it has seen it, that it has acknowledged or rejected it, or that it expired or was withdrawn
    before, and since when.
    """
    if is_for_llm() and not receipts:
        texts = fenced_texts(session)
        session.out.remark(await texts.message((await session.agent.message(message_id)).message))
        return
    if not receipts:
        shown = late.messages.Messages(session.out.max_chars)
        session.out.item(await session.agent.message(message_id), shown.record)
        return
    found = session.agent.receipts(message_id, page_token=part.page_token)
    await session.out.rows(part.of(found), late.lists.RECEIPTS)
    part.tell(session.out, found)


@message.command()
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
    response = late.messaging_pb2.MarkMessagesSeenResponse(seen_count=count)
    session.out.item(response, late.render.seen)


for each in lazy_commands(
    ("reject", "commands.endings:reject", "Reject messages that you cannot act on."),
    ("withdraw", "commands.endings:withdraw", "Take back a message that you sent."),
).values():
    message.add_command(each)


@message.command("list")
@click.option("--to", "recipient_id", default="", help="Only in this agent's inbox.")
@click.option("--from", "senders", multiple=True, help="Only from this sender.")
@click.option("--thread", "thread_id", default="", help="Only in this thread.")
@click.option("--task", "task_id", default="", help="Only about this task.")
@click.option("--newest", is_flag=True, help="The newest first.")
@label_option
@max_chars_option
@calls
@paged
async def list_(
    session: Session,
    recipient_id: str,
    senders: tuple[str, ...],
    thread_id: str,
    task_id: str,
    newest: bool,
    labels: tuple[tuple[str, str], ...],
    part: Part,
) -> None:
    """List the team's messages."""
    filter = late.messaging_pb2.MessageFilter(
        sender_ids=senders, thread_id=thread_id, task_id=task_id, labels=dict(labels)
    )
    order = late.types_pb2.ORDER_NEWEST_FIRST if newest else late.types_pb2.ORDER_OLDEST_FIRST
    found = session.agent.messages(
        recipient_id=recipient_id, filter=filter, order=order, page_token=part.page_token
    )
    shown = late.messages.Messages(session.out.max_chars)
    printed = 0
    with session.out.listing(shown.record, "no messages") as add:
        async for record in part.of(found):
            add(record)
            printed += 1
        if not printed:
            await require_known(session, senders)
            await require_known_task(session, task_id)
    part.tell(session.out, found)


async def _follow(session: Session, stream: late.client.Inbox, limit: int, ack: bool) -> None:
    """Print what is there, and then what arrives; without a limit, until Ctrl-C."""
    shown = late.messages.Messages(session.out.max_chars)
    printed = 0
    async for message in stream:
        session.out.item(message.delivery, shown.delivery)
        if ack:
            await message.acknowledge()
        printed += 1
        if printed == limit:
            return


async def _receive(
    session: Session, owner: str, wait: float, limit: int, through: int, ack: bool
) -> None:
    """Print what is there, or else the first message that arrives, with one call."""
    most = min(limit + 1, MESSAGES_MAX) if limit else MESSAGES_MAX
    received = await session.agent.receive(
        owner, max_wait=wait, max_messages=most, acknowledge_through=through
    )
    if not received:
        raise CommandError(f"nothing came in {wait:g} s", NOTHING_CAME)
    found = received[: limit or None]
    async with deliveries(session, "") as add:
        for message in found:
            add(message)
    if len(found) < len(received) and _is_default("limit"):
        session.out.more(limit, f"--ack-through {found[-1].sequence}")
    if ack:
        await session.agent.acknowledge([each.sequence for each in found], agent_id=owner)


def _thread_messages(
    session: Session, thread_id: str, part: Part
) -> late.client.Pages[late.client.MessageRecord]:
    filter = late.messaging_pb2.MessageFilter(thread_id=thread_id)
    return session.agent.messages(filter=filter, page_token=part.page_token)


async def _own_agent_id(session: Session) -> str:
    """Return the id of the caller, which must be known: reading registers no mistyped name.

    A subscription would register it, and would wait for a server that cannot be reached.
    """
    if not (session.agent.agent_id or session.servers.has_token):
        raise click.UsageError("whose inbox? Name its agent, or yourself: --as AGENT")
    return (await session.agent.agent()).agent_id


async def _backlog(
    stream: late.client.Inbox, seconds: float
) -> AsyncIterator[late.client.ReceivedMessage]:
    """Iterate over what is there now. Without a timeout the stream would wait for a lost server."""
    backlog = stream.backlog()
    while True:
        try:
            async with late.asyncio.timeout(seconds):
                message = await anext(backlog)
        except TimeoutError as error:
            raise CommandError(f"nothing came for {seconds:g} s", NO_ANSWER) from error
        except StopAsyncIteration:
            return
        yield message


def _batches(sequences: list[int]) -> list[list[int]]:
    starts = range(0, len(sequences), SEQUENCES_MAX)
    return [list(itertools.islice(sequences, at, at + SEQUENCES_MAX)) for at in starts]
