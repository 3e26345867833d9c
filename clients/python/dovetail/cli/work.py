"""`dovetail task claim`, `start`, `ask` and so on: what those do who work on a task."""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta
from typing import Any

import click

from dovetail.cli import render
from dovetail.cli.exit_codes import NOTHING_CAME, REFUSED, CommandError
from dovetail.cli.options import LENGTH, OBJECT, Session, calls, label_option, stacked
from dovetail.cli.tasks import Labels, change_options, repeatable_options, task_argument
from dovetail.cli.text import escape_controls
from dovetail.client.connection import pauses
from dovetail.tasks.v1 import tasks_pb2 as pb

LONGEST_WAIT = 50.0
MOST_CLAIMED = 100
TASK_ID = "DOVETAIL_TASK_ID"
LEASE_TOKEN = "DOVETAIL_LEASE_TOKEN"
"""Short-lived and good for one task alone, so it may stand on a command line."""


def _own(context: click.Context, _: click.Parameter, token: str | None) -> str:
    """The token that is given; that of the environment counts for the environment's task alone."""
    if token is not None:
        return token
    about = os.environ.get(TASK_ID, "")
    return os.environ.get(LEASE_TOKEN, "") if about in ("", context.params["task_id"]) else ""


token_option = click.option(
    "--lease-token",
    callback=_own,
    help=f"Proves that you hold the task.  [default: {LEASE_TOKEN}]",
)
holder_options = stacked(token_option, change_options)
lease_option = click.option(
    "--lease",
    "lease_duration",
    type=LENGTH,
    help="It is yours for so long after each heartbeat.  [default: 60s]",
)


@click.command()
@click.option("--wait", type=LENGTH, help="How long to wait for something.  [default: not at all]")
@click.option(
    "--max",
    "max_tasks",
    type=click.IntRange(1, MOST_CLAIMED),
    default=1,
    show_default=True,
    help="At most so many.",
)
@label_option
@lease_option
@click.option(
    "--request-id", default="", help="A repeat takes the same tasks, while their leases last."
)
@calls
async def claim(session: Session, wait: timedelta | None, labels: Labels, **options: Any) -> None:
    """Take what is ready: your own tasks first, then the pool. Exit code 7: there was nothing.

    The token of the lease that is printed proves that the task is yours: give it to the other
    commands as DOVETAIL_LEASE_TOKEN, and say `heartbeat` in time. `dovetail worker` does that by
    itself.
    """
    chosen = pb.TaskFilter(labels=dict(labels))
    seconds = wait.total_seconds() if wait else 0.0
    clock = asyncio.get_running_loop().time
    end = clock() + seconds
    while True:
        wait_seconds = max(0.0, min(end - clock(), LONGEST_WAIT))
        answered_by = clock() + wait_seconds
        found = await session.agent.tasks.claim(
            max_wait=wait_seconds,
            filter=chosen,
            **options,
        )
        for each in found:
            session.out.item(each, render.claimed)
        if found:
            return
        # A repeat is answered at once, also where nothing is held any more.
        if clock() >= end or (options["request_id"] and clock() < answered_by):
            raise CommandError(f"nothing was ready in {seconds:g} s", NOTHING_CAME)


@click.command()
@task_argument
@click.option("--lease", "lease_duration", type=LENGTH, help="Hold it under a lease so long.")
@repeatable_options
@calls
async def start(
    session: Session, task_id: str, lease_duration: timedelta | None, **options: Any
) -> None:
    """Begin work on a task; one without assignee becomes yours."""
    if lease_duration is None:
        session.out.item(await session.agent.tasks.start(task_id, **options), render.task)
        return
    begun = await session.agent.tasks.start_leased(task_id, lease_duration, **options)
    session.out.item(begun, render.claimed)


@click.command()
@task_argument
@click.option("--percent", type=click.IntRange(0, 100), help="How far the work is.")
@click.option("--note", default="", help="What it is at; with --percent.")
@token_option
@calls
async def heartbeat(
    session: Session, task_id: str, percent: int | None, note: str, lease_token: str
) -> None:
    """Say that you are at it: the lease lasts for its length again."""
    if note and percent is None:
        raise click.UsageError("--note goes with --percent")
    progress = None if percent is None else pb.TaskProgress(percent=percent, note=note)
    told = await session.agent.tasks.heartbeat(task_id, progress=progress, lease_token=lease_token)
    session.out.item(told, render.held)


@click.command()
@task_argument
@click.argument("reason", default="")
@token_option
@repeatable_options
@calls
async def release(session: Session, task_id: str, reason: str, **options: Any) -> None:
    """Give work back; one that came from the pool returns there."""
    session.out.item(await session.agent.tasks.release(task_id, reason, **options), render.task)


@click.command()
@task_argument
@click.argument("question")
@click.option("--to", "agent_id", default="", help="Who shall answer.  [default: its creator]")
@click.option("--data", type=OBJECT, help="The question for programs.")
@click.option("--wait", type=LENGTH, help="Wait so long, and print the answer.")
@token_option
@repeatable_options
@calls
async def ask(
    session: Session, task_id: str, question: str, wait: timedelta | None, **options: Any
) -> None:
    """Ask for what the work needs. Until the answer comes, the lease's clock stands still.

    With --wait the answer is printed, and exit code 7 means that none came; it still may.
    """
    asked = await session.agent.tasks.ask(task_id, question, **options)
    if wait is None:
        session.out.item(asked, render.task)
        return
    answered = await _answered(session, asked, wait.total_seconds())
    session.out.item(answered, lambda task: escape_controls(task.answer.text))


@click.command()
@task_argument
@click.argument("text", default="")
@click.option("--data", type=OBJECT, help="The answer for programs.")
@repeatable_options
@calls
async def answer(session: Session, task_id: str, text: str, **options: Any) -> None:
    """Answer what was asked about a task: the work goes on."""
    session.out.item(await session.agent.tasks.answer(task_id, text, **options), render.task)


@click.command()
@task_argument
@click.argument("summary", default="")
@click.option("--data", type=OBJECT, help="The result for programs.")
@holder_options
@calls
async def complete(session: Session, task_id: str, summary: str, **options: Any) -> None:
    """End work well; SUMMARY says what it gave."""
    changed = await session.agent.tasks.complete(task_id, summary, **options)
    session.out.item(changed, render.task)


@click.command()
@task_argument
@click.argument("message")
@click.option("--data", type=OBJECT, help="The failure for programs.")
@click.option("--retryable", is_flag=True, help="Another attempt may do better.")
@holder_options
@calls
async def fail(session: Session, task_id: str, message: str, **options: Any) -> None:
    """End work badly; MESSAGE says what went wrong."""
    session.out.item(await session.agent.tasks.fail(task_id, message, **options), render.task)


COMMANDS = (claim, start, heartbeat, ask, answer, complete, fail, release)


async def _answered(session: Session, asked: pb.Task, seconds: float) -> pb.Task:
    """The task once its question is answered. Any other end of the waiting is an error."""
    clock = asyncio.get_running_loop().time
    end = clock() + seconds
    for pause in pauses():
        task = await session.agent.tasks.get(asked.task_id)
        if task.question != asked.question:
            raise CommandError(f"task {task.task_id} was asked something else since", REFUSED)
        if task.HasField("answer"):
            return task
        if task.state != pb.TASK_STATE_INPUT_REQUIRED:
            name = pb.TaskState.Name(task.state).removeprefix("TASK_STATE_")
            raise CommandError(f"no answer will come: task {task.task_id} is {name}", REFUSED)
        if clock() >= end:
            raise CommandError(f"no answer came in {seconds:g} s", NOTHING_CAME)
        await asyncio.sleep(min(pause, max(0.0, end - clock())))
    raise AssertionError("pauses never end")
