"""`dovetail message save` and `task save`: attachments as files, in one folder and nowhere else."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click

from dovetail.cli import late
from dovetail.cli.options.calling import Session, calls
from dovetail.cli.options.values import COUNT, Word, stacked
from dovetail.cli.output.exit_codes import FAILED, MISUSED, NOT_FOUND, REFUSED, CommandError
from dovetail.cli.output.text import byte_count, escape_controls

Read = Callable[[str], Awaitable["late.client.Attachment"]]


@dataclass(frozen=True, kw_only=True)
class Source:
    """Attachments that belong together: what they are of, and how one is read by its name."""

    of: str
    shown: Sequence[late.client.Attachment]
    read: Read


@dataclass(frozen=True, kw_only=True)
class Target:
    """A folder, and whether files that are there are replaced."""

    folder: Path
    force: bool

    def check(self, names: Iterable[str]) -> None:
        """Raise CommandError if a file of one of these names is there and may not be replaced."""
        for name in names:
            if not self.force and os.path.lexists(self.folder / name):
                raise self._exists(name)

    def write(self, attachment: late.client.Attachment) -> Path:
        """Write an attachment under its name."""
        try:
            return attachment.save(self.folder, overwrite=self.force)
        except FileExistsError:
            raise self._exists(attachment.name) from None
        except OSError as error:
            text = f"{self.folder / attachment.name} cannot be written: {error.strerror}"
            raise CommandError(text, FAILED) from error

    def _exists(self, name: str) -> CommandError:
        text = f"{self.folder / name} exists already"
        return CommandError(text, REFUSED, hint="Replace it: --force")


save_options = stacked(
    click.argument("names", metavar="[NAME]...", nargs=-1),
    click.option(
        "--to",
        "folder",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        default=Path(),
        help="The folder to write into.  [default: this one]",
    ),
    click.option("--force", is_flag=True, help="Replace files that are there."),
)


@click.command("save")
@click.argument("message_id", metavar="MESSAGE")
@save_options
@calls
async def of_message(
    session: Session, message_id: str, names: tuple[str, ...], folder: Path, force: bool
) -> None:
    """Save the attachments of a message.

    All, or those that you name. What is attached as a URL is not fetched.
    """
    message = (await session.agent.message(message_id)).message
    read = partial(session.agent.attachment, message_id)
    source = Source(of=f"message {message_id}", shown=message.attachments, read=read)
    await _save(session, [source], names, Target(folder=folder, force=force))


@click.command("save")
@click.argument("task_id", metavar="TASK")
@save_options
@click.option("--of", "place", type=Word(("input", "result")), help="Only of its input, or result.")
@click.option(
    "--late", "start_event", type=COUNT, help="Of a late result: the attempt's first event."
)
@calls
async def of_task(
    session: Session,
    task_id: str,
    names: tuple[str, ...],
    place: str | None,
    start_event: int | None,
    **target: Any,
) -> None:
    """Save the attachments of a task.

    All of its input and result, or those that you name. What is attached as a URL is not fetched.
    """
    if place and start_event:
        raise click.UsageError("--late does not go with --of")
    sources = (
        [await _late_source(session, task_id, start_event)]
        if start_event
        else await _task_sources(session, task_id, place)
    )
    await _save(session, sources, names, Target(**target))


async def _task_sources(session: Session, task_id: str, place: str | None) -> list[Source]:
    task = await session.agent.tasks.get(task_id)
    shown = {
        "input": task.input_attachments,
        "result": task.result.attachments if task.result else (),
    }
    return [
        Source(
            of=f"the {each} of task {task_id}",
            shown=attachments,
            read=partial(session.agent.tasks.attachment, task_id, place=each),
        )
        for each, attachments in shown.items()
        if place in (None, each)
    ]


async def _late_source(session: Session, task_id: str, start_event: int) -> Source:
    """What an attempt brought too late."""
    async for attempt in session.agent.tasks.attempts(task_id, order="newest_first"):
        if attempt.start_event_number == start_event:
            late_result = attempt.late_result
            result = late_result.result if late_result else None
            return Source(
                of=f"the late result of task {task_id}",
                shown=result.attachments if result else (),
                read=partial(
                    session.agent.tasks.attachment,
                    task_id,
                    place="late_result",
                    start_event_number=start_event,
                ),
            )
    raise CommandError(
        f"no attempt of task {task_id} began with event {start_event}",
        NOT_FOUND,
        hint="See its attempts, with start_event_number: dovetail task attempts TASK --json",
    )


async def _save(
    session: Session, sources: Sequence[Source], names: Sequence[str], target: Target
) -> None:
    """Write what was chosen; where it is known before that it cannot be, nothing is written."""
    chosen = _chosen(sources, names)
    links = [each for _, each in chosen if each.url is not None]
    if names and links:
        name, url = links[0].name, links[0].url
        raise CommandError(
            f"{name!r} is a reference, which is not fetched: it is at {url}", REFUSED
        )
    # A hidden file, such as .bashrc, may be read by programs that nobody thinks of.
    hidden = [each for _, each in chosen if each.name.startswith(".") and not names]
    saved = [(read, each) for read, each in chosen if each not in (*links, *hidden)]
    target.check(each.name for _, each in saved)
    found = [await read(each.name) for read, each in saved]
    facts = [
        *({**_facts(each), "file": str(target.write(each))} for each in found),
        *({**_facts(each), "url": each.url} for each in links),
        *(_facts(each) for each in hidden),
    ]
    session.out.facts_list(facts, lambda: "\n".join(map(_line, facts)), _line)


def _chosen(
    sources: Sequence[Source], names: Sequence[str]
) -> list[tuple[Read, late.client.Attachment]]:
    """The attachments of these names, or all, each with how it is read."""
    everything = [(source, each) for source in sources for each in source.shown]
    known = [each.name for _, each in everything]
    of = " or ".join(source.of for source in sources)
    if not everything:
        raise CommandError(f"{of} has no attachments", NOT_FOUND)
    unknown = [name for name in names if name not in known]
    if unknown:
        named = ", ".join(map(repr, dict.fromkeys(known)))
        raise CommandError(f"{of} has no attachment {unknown[0]!r}. There are: {named}", NOT_FOUND)
    chosen = [(source.read, each) for source, each in everything if not names or each.name in names]
    twice = _repeated(each.name for _, each in chosen)
    if twice:
        raise CommandError(
            f"input and result both have {twice!r}",
            MISUSED,
            hint="Choose: --of input or --of result",
        )
    return chosen


def _repeated(names: Iterable[str]) -> str:
    """The first name that comes twice, or nothing."""
    seen: set[str] = set()
    return next((name for name in names if name in seen or seen.add(name)), "")


def _facts(attachment: late.client.Attachment) -> dict[str, Any]:
    return {
        "name": attachment.name,
        "media_type": attachment.media_type,
        "size": attachment.size,
    }


def _line(facts: Any) -> str:
    if "url" in facts:
        return escape_controls(f"not saved: {facts['name']} is at {facts['url']}")
    if "file" not in facts:
        return escape_controls(f"not saved: {facts['name']} is hidden. Name it to save it")
    size = byte_count(facts["size"])
    return escape_controls(f"saved {facts['file']}  {facts['media_type']}  {size}")
