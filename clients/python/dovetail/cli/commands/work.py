"""`dovetail task claim`, `start`, `ask` and so on: the commands of an agent at work."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

import click

from dovetail.cli import late
from dovetail.cli.commands.tasks import change_options, repeatable_options, task_argument
from dovetail.cli.options.calling import Session, calls
from dovetail.cli.options.files import attach_option
from dovetail.cli.options.texts import OBJECT, REASON, RESULT, SAYING, allow_empty_option
from dovetail.cli.options.usage import read_usage
from dovetail.cli.options.values import (
    INPUT_OPTION,
    LENGTH,
    Labels,
    acknowledge_option,
    label_option,
    lease_option,
    stacked,
)
from dovetail.cli.output.exit_codes import NOTHING_CAME, REFUSED, CommandError
from dovetail.cli.output.text import escape_controls

CLAIM_WAIT_SECONDS_MAX = 50.0
CLAIMED_TASKS_MAX = 100
TASK_ID = "DOVETAIL_TASK_ID"
LEASE_TOKEN = "DOVETAIL_LEASE_TOKEN"
"""A lease token is short-lived and valid for one task only, so a command line may show it."""


def _lease_token(context: click.Context, _: click.Parameter, token: str | None) -> str:
    """The given token; the one in the environment applies only to the environment's task."""
    if token is not None:
        return token
    about = os.environ.get(TASK_ID, "")
    return os.environ.get(LEASE_TOKEN, "") if about in ("", context.params["task_id"]) else ""


token_option = click.option(
    "--lease-token",
    callback=_lease_token,
    help=f"Proves that you hold the task.  [default: {LEASE_TOKEN}]",
)
usage_option = click.option(
    "--usage", type=OBJECT, callback=read_usage, help="What the attempt used so far, in all."
)
holder_options = stacked(token_option, usage_option, change_options)


@click.command()
@click.option("--wait", type=LENGTH, help="How long to wait for a task.  [default: not at all]")
@click.option(
    "--max",
    "max_tasks",
    type=click.IntRange(1, CLAIMED_TASKS_MAX),
    default=1,
    show_default=True,
    help="At most this many.",
)
@label_option
@lease_option
@click.option(
    "--request-id", default="", help="A repeat returns the same tasks, while their leases last."
)
@calls
async def claim(session: Session, wait: timedelta | None, labels: Labels, **options: Any) -> None:
    """Claim ready tasks, your own first. Exit code 7: none was ready.

    The lease token that is printed proves that you hold the task: pass it to the other commands as
    DOVETAIL_LEASE_TOKEN, and call `heartbeat` in time. `dovetail worker` does both automatically.
    """
    chosen = late.tasks_pb2.TaskFilter(labels=dict(labels))
    seconds = wait.total_seconds() if wait else 0.0
    clock = late.asyncio.get_running_loop().time
    end = clock() + seconds
    while True:
        wait_seconds = max(0.0, min(end - clock(), CLAIM_WAIT_SECONDS_MAX))
        answered_by = clock() + wait_seconds
        found = await session.agent.tasks.claim(
            max_wait=wait_seconds,
            filter=chosen,
            **options,
        )
        for each in found:
            session.out.item(each, late.render.claimed)
        if found:
            return
        # A repeat returns at once, also if its tasks are no longer held.
        if clock() >= end or (options["request_id"] and clock() < answered_by):
            raise CommandError(f"nothing was ready in {seconds:g} s", NOTHING_CAME)


@click.command()
@task_argument
@click.option("--lease", "lease_duration", type=LENGTH, help="Hold it under a lease this long.")
@acknowledge_option
@repeatable_options
@calls
async def start(
    session: Session, task_id: str, lease_duration: timedelta | None, **options: Any
) -> None:
    """Start a task; an unassigned one becomes yours."""
    if lease_duration is None:
        session.out.item(await session.agent.tasks.start(task_id, **options), late.render.task)
        return
    claimed = await session.agent.tasks.start_leased(task_id, lease_duration, **options)
    session.out.item(claimed, late.render.claimed)


@click.command()
@task_argument
@click.option("--percent", type=click.IntRange(0, 100), help="How far the work is.")
@click.option("--note", type=REASON, default="", help="What is being done now; with --percent.")
@token_option
@usage_option
@calls
async def heartbeat(
    session: Session, task_id: str, percent: int | None, note: str, **options: Any
) -> None:
    """Report progress, and extend the lease of a task."""
    if note and percent is None:
        raise click.UsageError("--note goes with --percent")
    response = await session.agent.tasks.heartbeat(task_id, percent=percent, note=note, **options)
    session.out.item(response, late.render.held)


@click.command()
@task_argument
@click.argument("reason", type=REASON, default="")
@token_option
@usage_option
@repeatable_options
@calls
async def release(session: Session, task_id: str, reason: str, **options: Any) -> None:
    """Release a task, to its pool if it has one."""
    session.out.item(
        await session.agent.tasks.release(task_id, reason, **options), late.render.task
    )


@click.command()
@task_argument
@click.argument("question", type=SAYING)
@click.option("--to", "agent_id", default="", help="The agent to ask.  [default: its creator]")
@click.option("--data", type=OBJECT, help="The question for programs.")
@click.option(
    "--option", "offered", type=INPUT_OPTION, multiple=True, help="An answer to choose; repeatable."
)
@click.option(
    "--within", "answer_within", type=LENGTH, help="When this has passed, --default is the answer."
)
@click.option("--default", "default_answer", default="", help="With --option the name of one.")
@click.option("--wait", type=LENGTH, help="Wait this long for the answer, and print it.")
@token_option
@repeatable_options
@calls
async def ask(
    session: Session,
    task_id: str,
    question: str,
    wait: timedelta | None,
    offered: tuple[tuple[str, str], ...],
    **options: Any,
) -> None:
    """Ask for input to the work. Until the answer comes, the lease does not expire.

    With --wait the answer is printed, and exit code 7 means that none came; it still may.
    """
    task = await session.agent.tasks.ask(task_id, question, options=offered, **options)
    if wait is None:
        session.out.item(task, late.render.task)
        return
    answered = await _wait_for_answer(session, task.proto, wait.total_seconds())
    text = escape_controls(late.render.answer_text(answered.answer))
    session.out.facts(late.json_values.fields(answered), lambda: text, lambda _: text)


@click.command()
@task_argument
@click.argument("text", type=RESULT, default="")
@click.option("--option", metavar="NAME", default="", help="The option that you choose.")
@click.option("--data", type=OBJECT, help="The answer for programs.")
@acknowledge_option
@allow_empty_option
@repeatable_options
@calls
async def answer(session: Session, task_id: str, text: str, **options: Any) -> None:
    """Answer the question about a task.

    By one of its options, by TEXT, or by both.
    """
    session.out.item(await session.agent.tasks.answer(task_id, text, **options), late.render.task)


@click.command()
@task_argument
@click.argument("summary", type=RESULT, default="")
@click.option("--data", type=OBJECT, help="The result for programs.")
@attach_option()
@acknowledge_option
@allow_empty_option
@holder_options
@calls
async def complete(session: Session, task_id: str, summary: str, **options: Any) -> None:
    """Complete a task; SUMMARY is its result."""
    changed = await session.agent.tasks.complete(task_id, summary, **options)
    session.out.item(changed, late.render.task)


@click.command()
@task_argument
@click.argument("message", type=SAYING)
@click.option("--data", type=OBJECT, help="The failure for programs.")
@click.option("--retryable", is_flag=True, help="Another attempt may succeed.")
@acknowledge_option
@holder_options
@calls
async def fail(session: Session, task_id: str, message: str, **options: Any) -> None:
    """Fail a task; MESSAGE says what went wrong."""
    session.out.item(await session.agent.tasks.fail(task_id, message, **options), late.render.task)


async def _wait_for_answer(
    session: Session, asked: late.tasks_pb2.Task, seconds: float
) -> late.tasks_pb2.Task:
    """Return the task once its question is answered. Raises CommandError if it will not be."""
    clock = late.asyncio.get_running_loop().time
    end = clock() + seconds
    for pause in late.reconnecting.pauses():
        task = (await session.agent.tasks.get(asked.task_id)).proto
        if task.question != asked.question:
            raise CommandError(f"task {task.task_id} has another question since then", REFUSED)
        if task.HasField("answer"):
            return task
        if task.state != late.tasks_pb2.TASK_STATE_INPUT_REQUIRED:
            name = late.tasks_pb2.TaskState.Name(task.state).removeprefix("TASK_STATE_")
            raise CommandError(f"no answer will come: task {task.task_id} is {name}", REFUSED)
        if clock() >= end:
            raise CommandError(f"no answer came in {seconds:g} s", NOTHING_CAME)
        await late.asyncio.sleep(min(pause, max(0.0, end - clock())))
    raise AssertionError("pauses never end")
