"""`dovetail task history` and `task watch`: what was done to a task, and what is done to it."""
# ruff: noqa: PLR0913 - one parameter per option

from __future__ import annotations

from typing import Any

import click

from dovetail.cli import late
from dovetail.cli.commands.interleaving import Interleaved, Side, split
from dovetail.cli.commands.known import require_known
from dovetail.cli.options.calling import Session, calls
from dovetail.cli.options.formats import max_chars_option
from dovetail.cli.options.paging import Part, paged
from dovetail.cli.options.values import Word, stacked

VERBS = (
    *("create", "update", "delete", "assign", "unassign", "claim", "start", "heartbeat"),
    *("release", "request_input", "provide_input", "complete", "fail", "cancel", "reopen"),
    *("expire_lease", "become_ready", "fail_dependency", "become_overdue"),
    *("keep_late_result", "spend_budget"),
)

chosen_events = stacked(
    click.argument("task_id", metavar="[TASK]", default=""),
    click.option("--actor", "actors", multiple=True, metavar="AGENT", help="By this agent."),
    click.option("--verb", "verbs", type=Word(VERBS), multiple=True, help="Only these changes."),
)


@click.command()
@chosen_events
@click.option("--newest", is_flag=True, help="The newest first.")
@click.option("--no-talk", is_flag=True, help="Without messages.")
@max_chars_option
@calls
@paged
async def history(
    session: Session,
    task_id: str,
    actors: tuple[str, ...],
    verbs: tuple[str, ...],
    newest: bool,
    no_talk: bool,
    part: Part,
) -> None:
    """Show what was done to tasks.

    With TASK also what was said about it, unless --actor or --verb is given: messages, questions
    and answers, as far as you may read them.
    """
    order = "newest_first" if newest else "oldest_first"
    if task_id and not (no_talk or actors or verbs):
        found = _with_talk(session.agent, task_id, order, part.page_token)
        if await _may_read(found.second):
            items = (getattr(each, "message", each) async for each in found.items(part.limit))
            await session.out.rows(items, _listing(session))
            if part.limit and (token := await found.token()):
                session.out.more(part.limit, f"--page-token {token}")
            return
    events = session.agent.tasks.events(
        task_id=task_id,
        actor=actors or None,
        verbs=verbs or None,
        order=order,
        page_token=part.page_token,
    )
    await session.out.rows(
        part.of(events), _listing(session), lambda: require_known(session, actors)
    )
    part.tell(session.out, events)


def _listing(session: Session) -> late.lists.Listing[Any]:
    return late.lists.history(session.out.max_chars)


def _with_talk(agent: late.client.Agent, task_id: str, order: str, token: str) -> Interleaved:
    """The events of a task, and what was said about it."""
    first, second = split(token)
    work = Side(
        lambda token: agent.tasks.events(task_id=task_id, order=order, page_token=token),
        lambda event: event.create_time,
        first,
    )
    talk = Side(
        lambda token: agent.messages(task_id=task_id, order=order, page_token=token),
        lambda record: record.message.create_time,
        second,
        keep=_is_said,
    )
    return Interleaved(work, talk, newest=order == "newest_first")


async def _may_read(talk: Side[Any]) -> bool:
    """Whether the caller may read messages at all: an observer may not."""
    try:
        await talk.peek()
    except late.client.PermissionDeniedError:
        return False
    return True


def _is_said(record: late.client.MessageRecord) -> bool:
    """Whether an agent wrote it. Other notices only repeat what the events say."""
    notice = record.message.notice
    return notice is None or notice.verb in ("request_input", "provide_input")


@click.command()
@chosen_events
@click.option(
    "--after",
    "after_event",
    type=click.IntRange(0),
    metavar="EVENT",
    help="Begin after this event; 0: with the first.",
)
@click.option("--limit", "--max", type=click.IntRange(1), metavar="N", help="End after so many.")
@calls
async def watch(
    session: Session,
    task_id: str,
    actors: tuple[str, ...],
    verbs: tuple[str, ...],
    after_event: int | None,
    limit: int | None,
) -> None:
    """Print what happens to tasks, as it happens.

    From now on, until Ctrl-C. To go on later without a gap: --after EVENT, the number of the last
    one printed.
    """
    tasks = session.agent.tasks
    with late.readers.ending_with_reader():
        # This call fails if no server can be reached; a watch would wait for one.
        now = tasks.list(page_size=1)
        await now.next_page()
        after = now.through_event if after_event is None else after_event
        printed = 0
        async with tasks.watch(
            task_id=task_id, actor=actors or None, verbs=verbs or None, after_event=after
        ) as events:
            async for event in events:
                session.out.item(event, late.lists.event_line)
                printed += 1
                if printed == limit:
                    return
